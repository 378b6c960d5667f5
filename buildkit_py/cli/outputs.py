"""`-o`: where an image goes besides what the build file says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Output

Kind = Literal["archive", "layout", "docker", "registry", "rootfs", "store"]
KINDS: tuple[str, ...] = get_args(Kind)
_HINT = f"write KIND:PLACE or type=KIND,dest=PLACE; kinds are {', '.join(KINDS)}"
_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
_STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z")
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
    if kind == "store":
        store_name(value)
    elif kind == "registry":
        from buildkit_py.reference import Reference

        Reference.parse(value)
    if kind in ("archive", "docker") and value.endswith(_PACKED):
        raise UsageError(f"{text!r}: an archive is written as a plain tar", hint="let the name end with .tar")
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
    if text in KINDS:
        raise UsageError(
            f"the output {text!r} does not say where to", hint=f"write {text}:PLACE (or ./{text} for a directory)"
        )
    return _kind_of(text), text


def store_name(text: str) -> str:
    """A name for an image in the store, as it is; raises `UsageError` for what a build file could not say either."""
    if not _STORE_NAME.match(text):
        raise UsageError(f"not a name for the store: {text!r}", hint="write letters, digits and . _ - / :")
    return text


def _kind_of(path: str) -> str:
    if path.endswith(_PACKED):
        raise UsageError(f"{path!r}: an archive is written as a plain tar", hint="let the name end with .tar")
    return "archive" if path.endswith(".tar") else "layout"
