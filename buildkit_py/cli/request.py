"""From parsed arguments to what the engine is asked to do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.outputs import parse as parse_output
from buildkit_py.cli.outputs import store_name
from buildkit_py.cli.parser import Namespace
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.engine import BuildOptions


def options_of(args: Namespace, shell: Shell) -> BuildOptions:
    """The request that the arguments of `build`, `graph` or `update` make; raises `UsageError`."""
    from buildkit_py.engine.options import BuildOptions

    graph = getattr(args, "graph", None)
    if args.file and graph:
        raise UsageError("--file and --graph exclude each other", hint="a graph holds all that a build file would say")
    if graph and args.param:
        raise UsageError("--param and --graph exclude each other", hint="a graph is what params have been put into")
    context = Path(args.context)
    if context.is_file():
        raise UsageError(
            f"{args.context} is a file, not the directory to build from",
            hint=f"write: -f {args.context} {context.parent}",
        )
    return BuildOptions(
        context=context,
        file=Path(args.file) if args.file else None,
        graph=Path(graph) if graph else None,
        params=params_of(args.param),
        platforms=tuple(platforms_of(args.platform)),
        targets=tuple(args.target),
        tags=tuple(store_name(text) for text in getattr(args, "tag", ())),
        outputs=tuple(parse_output(text) for text in getattr(args, "output", ())),
        push=getattr(args, "push", False),
        no_cache=getattr(args, "no_cache", False),
        refresh=getattr(args, "refresh", False),
        locked=args.locked,
        keep_going=getattr(args, "keep_going", False),
        jobs=getattr(args, "jobs", None),
        secrets=tuple(getattr(args, "secret", ())),
        ssh=tuple(getattr(args, "ssh", ())),
        allow_short_secret=getattr(args, "allow_short_secret", False),
        runtime=getattr(args, "runtime", "auto"),
        snapshotter=getattr(args, "snapshotter", "auto"),
        epoch=epoch_of(shell.environ.get("SOURCE_DATE_EPOCH")),
    )


def params_of(texts: Iterable[str]) -> dict[str, str | list[str]]:
    """`NAME=VALUE` words as a mapping; a name given several times is a list."""
    found: dict[str, str | list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"can't read --param {text!r}", hint="write --param NAME=VALUE")
        before = found.get(name)
        if before is None:
            found[name] = value
        else:
            found[name] = [*(before if isinstance(before, list) else [before]), value]
    return found


def platforms_of(texts: Iterable[str]) -> list[str]:
    """Platforms, normalised, each once; several may stand in one word, parted by commas."""
    from buildkit_py.platform import Platform

    return list(dict.fromkeys(str(Platform.parse(part)) for text in texts for part in text.split(",")))


def epoch_of(text: str | None) -> int | None:
    """The seconds of $SOURCE_DATE_EPOCH; raises `UsageError` where it is no time."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is not a time: {text!r}", hint="it is a number of seconds since 1970, or unset"
        )
    return int(text)
