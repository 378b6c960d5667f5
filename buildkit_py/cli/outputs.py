"""`-o`: where an image goes besides what the build file says, as pybuild spells it and as `docker build` does.

KIND:PLACE                       archive, layout, docker, rootfs, registry, store, local, tar
type=KIND,dest=PLACE,…           those, and oci, image, cacheonly; the fields are those of docker's exporters
PATH                             a Buildfile: an archive if it ends with .tar, else a layout
                                 a Dockerfile: the files of the image, in a directory; - is a tar on standard output
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.engine.options import Destination

Kind = Literal["archive", "layout", "docker", "registry", "rootfs", "store", "local", "tar"]
KINDS: tuple[str, ...] = get_args(Kind)
STDOUT = "-"
_FOREIGN = ("oci", "image", "cacheonly")
_NAMED = ("registry", "store", "image", "cacheonly")
_STREAMS = ("archive", "docker", "tar", "oci")
_HINT = f"write KIND:PLACE or type=KIND,dest=PLACE; kinds are {', '.join((*KINDS, *_FOREIGN))}"
_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
_FIELDS = re.compile(r'"?(?:type|dest|name)=|.*,"?type=')
_OWN = ("archive", "layout", "rootfs", "store", "cacheonly")
_SWITCHES = ("push", "tar")
_IDLE = frozenset(
    {
        *("push-by-digest", "registry.insecure", "dangling-name-prefix", "name-canonical", "unpack", "unpack-platform"),
        *("compression", "compression-level", "force-compression", "rewrite-timestamp", "oci-mediatypes"),
        *("oci-artifact", "prefer-nondist-layers", "buildinfo", "buildinfo-attrs", "attestation-prefix", "context"),
        *("platform-split", "store", "mode"),
    }
)
"""Fields of docker's exporters that change nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What all `-o` of a command line come to. `annotations` are those that fields ask for, as `--annotation` takes
    them; `idle` are the fields that change nothing; `loads`: an image is wanted in a daemon."""

    destinations: tuple[Destination, ...] = ()
    annotations: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    loads: bool = False


def outputs_of(texts: Sequence[str], *, tags: Sequence[str] = (), files: bool = False) -> Outputs:
    """Everything that `-o` asks for. `tags` are the names of outputs that have none of their own; with `files`, a bare
    path is a directory for the files of the image. Raises `UsageError`."""
    found = [_Output.parse(text, files=files) for text in texts]
    return Outputs(
        destinations=tuple(dict.fromkeys(place for output in found for place in output.destinations(tags))),
        annotations=tuple(text for output in found for text in output.annotations()),
        idle=tuple(dict.fromkeys(name for output in found for name in output.idle())),
        loads=any(output.kind == "docker" and not output.place for output in found),
    )


def parse(text: str) -> Destination:
    """The one place that an `-o` of a Buildfile names; raises `UsageError`."""
    (found,) = outputs_of([text]).destinations
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """One `-o`: its kind, its fields, and what it was written as."""

    kind: str
    fields: Mapping[str, str]
    text: str
    docker: bool = False

    @classmethod
    def parse(cls, text: str, *, files: bool) -> _Output:
        if _FIELDS.match(text):
            fields = _fields(text)
            kind = fields.pop("type", "")
            made = cls(
                kind=kind or _kind_of(fields.get("dest", ""), files=files), fields=fields, text=text, docker=bool(kind)
            )
        else:
            kind, place = _short(text, files=files)
            made = cls(kind=kind, fields={"dest": place}, text=text)
        made._check()
        return made

    @property
    def place(self) -> str:
        return self.fields.get("dest") or ("" if self.kind == "docker" else self.fields.get("name", ""))

    def _check(self) -> None:
        if self.kind not in (*KINDS, *_FOREIGN):
            from buildkit_py.cli.near import hint

            near = hint(self.kind, (*KINDS, *_FOREIGN))
            raise UsageError(f"no such kind of output: {self.kind!r}", hint=f"{near} {_HINT}" if near else _HINT)
        for name, value in self.fields.items():
            known = name in ("dest", "name") or (self.kind not in _OWN and _is_docker_field(name))
            if not known:
                raise UsageError(f"can't read {f'{name}={value}'!r} in the output {self.text!r}", hint=_HINT)
        if self.kind in ("archive", "docker", "tar", "oci") and self.place.endswith(_PACKED):
            raise UsageError(f"{self.text!r}: an archive is written as a plain tar", hint="let the name end with .tar")

    def destinations(self, tags: Sequence[str]) -> Iterator[Destination]:
        """The places; raises `UsageError` where none is named."""
        match self.kind:
            case "cacheonly":
                return
            case "image":
                names = self._names()
                yield from (_place("store", store_name(name)) for name in names)
                if self._is_on("push"):
                    yield from _pushed(names or tags, self.text)
            case "registry" if self.docker:
                yield from _pushed(self._names() or tags, self.text)
            case "docker" if not self.place and self.docker:
                # As `--load`: there is no daemon, and every image is in the store.
                return
            case "oci" | "docker" | "archive" if not self._is_on("tar", otherwise=True):
                yield _place("layout", self._path())
            case "oci":
                yield _place("archive", self._path(otherwise=STDOUT))
            case "tar":
                yield _place("tar", self._path(otherwise=STDOUT if self.docker else ""))
            case kind:
                yield _place(kind, self._path())

    def _names(self) -> list[str]:
        return [name for name in (self.fields.get("name") or self.fields.get("dest", "")).split(",") if name]

    def _path(self, otherwise: str = "") -> str:
        place = self.place or otherwise
        if not place:
            raise UsageError(f"the output {self.text!r} does not say where to", hint=_HINT)
        if place == STDOUT and self.kind not in _STREAMS:
            raise UsageError(
                f"the output {self.text!r} can't be standard output", hint=f"kinds that can: {', '.join(_STREAMS)}"
            )
        return place

    def _is_on(self, name: str, *, otherwise: bool = False) -> bool:
        text = self.fields.get(name, str(otherwise)).lower()
        if text not in ("true", "false", "1", "0"):
            raise UsageError(f"{name} is true or false, not {text!r}, in the output {self.text!r}", hint=_HINT)
        return text in ("true", "1")

    def annotations(self) -> Iterator[str]:
        """`annotation.KEY=VALUE` and `annotation-KIND.KEY=VALUE` as the option spells them."""
        for name, value in self.fields.items():
            head, _, key = name.partition(".")
            if head.startswith("annotation") and key:
                kind = head.removeprefix("annotation").lstrip("-")
                yield f"{'manifest' if kind[:1] in ('', '[') else ''}{kind}:{key}={value}"

    def idle(self) -> Iterator[str]:
        """The fields that change nothing."""
        return (name for name in self.fields if name in _IDLE)


def _is_docker_field(name: str) -> bool:
    return name in _SWITCHES or name in _IDLE or name.startswith("annotation")


def _place(kind: str, value: str) -> Destination:
    from buildkit_py.engine.options import Destination

    if kind == "store":
        store_name(value)
    elif kind == "registry":
        from buildkit_py.reference import Reference

        Reference.parse(value)
    elif value != STDOUT:
        value = str(Path.cwd() / value)
    return Destination(kind=cast("Kind", kind), value=value)


def pushed(name: str) -> Destination:
    """A registry, where the image is sent in any case; a short name is one of the usual registry."""
    from buildkit_py.engine.options import Destination
    from buildkit_py.reference import Reference

    return Destination(kind="registry", value=str(Reference.parse(name)), push=True)


def _pushed(names: Sequence[str], text: str) -> Iterator[Destination]:
    if not names:
        raise UsageError(f"{text!r} does not say what to push to", hint="name it with -t, or with name=REFERENCE")
    yield from map(pushed, names)


def _fields(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in _parts(text):
        name, equals, value = part.partition("=")
        name = name.strip().lower() if not name.startswith("annotation") else name
        if not equals or name in values:
            raise UsageError(f"can't read {part!r} in the output {text!r}", hint=_HINT)
        values[name] = value
    return values


def _parts(text: str) -> list[str]:
    """The fields of a line of comma-separated values."""
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text]))


def _short(text: str, *, files: bool) -> tuple[str, str]:
    head, colon, tail = text.partition(":")
    if colon and head.isalpha():
        return head, tail
    if text in KINDS:
        raise UsageError(
            f"the output {text!r} does not say where to", hint=f"write {text}:PLACE (or ./{text} for a directory)"
        )
    return _kind_of(text, files=files), text


def store_name(text: str) -> str:
    """A name for an image in the store, as it is; raises `UsageError` for what FROM could not say either."""
    from buildkit_py.reference import Reference

    if Reference.parse(text).digest is not None:
        raise UsageError(f"a name that is given holds no digest: {text!r}", hint=f"write {text.partition('@')[0]!r}")
    return text


def _kind_of(path: str, *, files: bool) -> str:
    if path == STDOUT:
        return "tar"
    if files and path:
        return "local"
    if path.endswith(_PACKED):
        raise UsageError(f"{path!r}: an archive is written as a plain tar", hint="let the name end with .tar")
    return "archive" if path.endswith(".tar") else "layout"
