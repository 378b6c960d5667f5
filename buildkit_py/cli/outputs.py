"""`-o`: where an image goes besides what the build file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Output

Kind = Literal["archive", "layout", "docker", "registry", "rootfs", "store"]
KINDS: tuple[str, ...] = get_args(Kind)
_HINT = f"write KIND:PLACE or type=KIND,dest=PLACE; kinds are {', '.join(KINDS)}"
_PLACES = ("dest", "name")


def parse(text: str) -> Output:
    """Parse `type=archive,dest=PATH`, `archive:PATH`, or a bare path.

    A bare path is an archive if it ends with `.tar`, else a layout. A path becomes absolute: on the command line it is
    relative to the working directory, in a build file to the directory of the build. Raises `UsageError`.
    """
    from buildkit_py.graph.definition import Output

    kind, value = _fields(text) if text.startswith(("type=", "dest=", "name=")) else _short(text)
    if kind not in KINDS:
        from buildkit_py.cli.near import hint

        near = hint(kind, KINDS)
        raise UsageError(f"no such kind of output: {kind!r}", hint=f"{near} {_HINT}" if near else _HINT)
    if not value:
        raise UsageError(f"the output {text!r} does not say where to", hint=_HINT)
    return Output(kind=cast("Kind", kind), value=value if kind in ("registry", "store") else str(Path.cwd() / value))


def _fields(text: str) -> tuple[str, str]:
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name not in ("type", *_PLACES) or name in values:
            raise UsageError(f"can't read {part!r} in the output {text!r}", hint=_HINT)
        values[name] = value
    place = values.get("dest", values.get("name", ""))
    return values.get("type") or _kind_of(place), place


def _short(text: str) -> tuple[str, str]:
    head, colon, tail = text.partition(":")
    if colon and head.isalpha():
        return head, tail
    return _kind_of(text), text


def _kind_of(path: str) -> str:
    return "archive" if path.endswith(".tar") else "layout"
