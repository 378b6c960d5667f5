"""From parsed arguments to what the engine is asked to do."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.outputs import outputs_of, store_name
from buildkit_py.cli.parser import Namespace
from buildkit_py.cli.settings import annotations_of, build_args, proxies_of, settings_of
from buildkit_py.cli.shell import Shell
from buildkit_py.dataclass import replace
from buildkit_py.errors import SourceError, SourceInputError, UsageError

if TYPE_CHECKING:
    from buildkit_py.engine import BuildOptions, Engine
    from buildkit_py.engine.options import CachePlace

EPOCH = "SOURCE_DATE_EPOCH"
DEFAULT_PLATFORM = "DOCKER_DEFAULT_PLATFORM"
_KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
_LIMITS = (
    *("step_timeout", "memory", "memory_swap", "pids_limit", "cpus", "cpuset_cpus", "cpu_shares", "cpu_quota"),
    "cpu_period",
)


def options_of(args: Namespace, shell: Shell) -> BuildOptions:
    """The request that the arguments of `build`, `graph` or `update` make; raises `UsageError`."""
    from buildkit_py.engine.options import BuildOptions

    _check_together(args)
    arguments = build_args(getattr(args, "build_arg", ()), shell.environ)
    outputs = outputs_of(getattr(args, "output", ()), tags=getattr(args, "tag", ()))
    settings = settings_of(args)
    graph, policy = getattr(args, "graph", None), getattr(args, "policy", None)
    return BuildOptions(
        context=Path(args.context),
        file=Path(args.file) if args.file else None,
        graph=Path(graph) if graph else None,
        params={**params_of(args.param), **arguments},
        platforms=tuple(platforms_of(args.platform)),
        targets=tuple(args.target),
        tags=tuple(store_name(text) for text in getattr(args, "tag", ())),
        outputs=outputs.destinations,
        push=getattr(args, "push", False),
        fsync_output=getattr(args, "fsync_output", False),
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
        epoch=_epoch(getattr(args, "timestamp", None), arguments, shell.environ),
        settings=settings,
        annotations=annotations_of((*getattr(args, "annotation", ()), *outputs.annotations)),
        lock=getattr(args, "lock", None),
        pull=getattr(args, "pull", False),
        cache_from=_caches(args, "--cache-from"),
        cache_to=_caches(args, "--cache-to"),
        allow=settings.allow,
        proxies=proxies_of(arguments),
        policy=Path(policy) if policy else None,
        limits=_limits(args),
    )


def _check_together(args: Namespace) -> None:
    """Refuse what can't be said at once."""
    if getattr(args, "graph", None):
        if args.file:
            raise UsageError(
                "--file and --graph exclude each other", hint="a graph holds all that a build file would say"
            )
        if args.param or getattr(args, "build_arg", ()):
            raise UsageError("--param and --graph exclude each other", hint="a graph is what params have been put into")
    context = Path(args.context)
    if context.is_file():
        raise UsageError(
            f"{args.context} is a file, not the directory to build from",
            hint=f"write: -f {args.context} {context.parent}",
        )
    if secrets := getattr(args, "secret", ()):
        from buildkit_py.executor.secrets import SecretSpec, SecretStore

        SecretStore(map(SecretSpec.parse, secrets))


def _limits(args: Namespace) -> Mapping[str, int | str]:
    """What every step may use at most; raises `UsageError`."""
    if not any(getattr(args, name, None) for name in _LIMITS):
        return {}
    from buildkit_py.cli.limits import limits_of

    return limits_of(args)


def _caches(args: Namespace, option: str) -> tuple[CachePlace, ...]:
    """The caches that machines share, by the option that names them; raises `UsageError`."""
    texts = getattr(args, option.removeprefix("--").replace("-", "_"), ())
    if not texts:
        return ()
    from buildkit_py.cli.caches import caches_of

    return caches_of(texts, option).places


@contextmanager
def opened(args: Namespace, options: BuildOptions, engine: Engine, shell: Shell) -> Iterator[BuildOptions]:
    """The same request with a directory that is there; what had to be fetched for it is gone afterwards."""
    from buildkit_py.cli.places import is_plain, wanted_of

    named = getattr(args, "build_context", ())
    if options.graph is not None or is_plain(args.context, args.file, named):
        yield _settled(args, options, shell.environ)
        return
    wanted = wanted_of(args.context, args.file, named, keep_git=options.params.get(_KEEP_GIT) in ("1", "true"))
    from buildkit_py.engine.contexts import gathered

    with gathered(engine.store, options, wanted, lambda: shell.stdin.buffer) as found:
        yield _settled(args, found, shell.environ)


def _settled(args: Namespace, options: BuildOptions, environ: Mapping[str, str]) -> BuildOptions:
    """What depends on the kind of build file: the meaning of a bare path, and what makes sense at all."""
    kind = kind_of(options)
    if kind == "dockerfile":
        found = outputs_of(getattr(args, "output", ()), tags=options.tags, files=True)
        usual = environ.get(DEFAULT_PLATFORM)
        platforms = options.platforms or tuple(platforms_of([usual] if usual else []))
        return replace(options, outputs=found.destinations, platforms=platforms)
    if kind is None and options.graph is None:
        return options
    _refuse_foreign(args, "a graph" if options.graph is not None else "a Buildfile")
    params = {name: value for name, value in options.params.items() if name != EPOCH and name not in options.proxies}
    return replace(options, params=params)


def kind_of(options: BuildOptions) -> str | None:
    """The frontend of the build file, None where there is a graph, or none that can be read: the engine says so."""
    from buildkit_py.engine.buildfile import find_build_file

    if options.graph is not None:
        return None
    try:
        return find_build_file(options).frontend
    except (SourceInputError, SourceError):
        return None


_INSTEAD = {
    "build_context": "a Buildfile copies from its own directory, and names images and URLs itself",
    "no_cache_filter": "use --no-cache, or --refresh",
    "network": "write `network` into the Buildfile",
    "add_host": "write the line in a `run` step",
    "ulimit": "set it in a `run` step",
    "shm_size": "mount a tmpfs in the Buildfile",
    "layers": "write `layer` into the Buildfile",
    "squash": "write one `layer` into the Buildfile",
}
"""What only a Dockerfile can be told from outside, and what to do of a Buildfile."""


def _refuse_foreign(args: Namespace, what: str) -> None:
    for name, instead in _INSTEAD.items():
        value = getattr(args, name, None)
        if value and value != "default":
            raise UsageError(f"--{name.replace('_', '-')} says nothing to {what}", hint=instead)


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
    """Platforms, normalised, each once; several may stand in one word, parted by commas; `local` is the machine's."""
    from buildkit_py.platform import Platform

    words = (part for text in texts for part in text.split(","))
    return list(dict.fromkeys(str(Platform.host() if word == "local" else Platform.parse(word)) for word in words))


def _epoch(timestamp: str | None, arguments: Mapping[str, str], environ: Mapping[str, str]) -> int | None:
    """The time of files and images: `--timestamp`, else the variable as a build argument, else that of who builds."""
    if timestamp == "now":
        return int(time.time())
    if timestamp is not None:
        return epoch_of(timestamp, "--timestamp")
    return epoch_of(arguments.get(EPOCH) or environ.get(EPOCH))


def epoch_of(text: str | None, name: str = EPOCH) -> int | None:
    """Seconds since 1970; raises `UsageError` where it is no time."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        otherwise = "unset" if name == EPOCH else "`now`"
        raise UsageError(
            f"{name} is not a time: {text!r}", hint=f"it is a number of seconds since 1970, or {otherwise}"
        )
    return int(text)


def progress_of(args: Namespace, environ: Mapping[str, str]) -> str:
    """How progress is shown: what is asked for, else what the environment says, else by what is there."""
    if args.quiet:
        return "quiet"
    named = args.progress or environ.get("BUILDKIT_PROGRESS", "")
    from buildkit_py.cli.arguments import PROGRESS

    if named not in PROGRESS:
        return "auto"
    return "json" if named == "rawjson" else named
