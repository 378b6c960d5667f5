"""The distribution that an image is made of, and its packages as `dpkg`, `apk` and `rpm` write them down."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from email.parser import BytesHeaderParser

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError
from buildkit_py.scan.model import Source
from buildkit_py.scan.packages.language import MAX_PATH, may_describe, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """os-release(5): `id`, `version` (`VERSION_ID`), `like`, `name` for people; empty where nothing is said."""

    id: str = ""
    version: str = ""
    like: tuple[str, ...] = ()
    name: str = ""

    @property
    def qualifier(self) -> str:
        """As a purl names it: `debian-12`."""
        return f"{self.id}-{self.version}" if self.version else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A package of a distribution. `describing` are the paths among its files that may describe packages themselves."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    licences: tuple[str, ...] = ()
    source: Source | None = None
    epoch: str = ""
    describing: tuple[str, ...] = ()


def os_release(data: bytes) -> Distribution:
    """What an os-release file says; what can't be read in it is left out."""
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            try:
                fields[name.strip()] = "".join(shlex.split(value))
                # A name for people keeps its spaces.
                fields[f"{name.strip()} "] = " ".join(shlex.split(value))
            except ValueError:
                continue
    return Distribution(
        id=fields.get("ID", "").lower(),
        version=fields.get("VERSION_ID", ""),
        like=tuple(fields.get("ID_LIKE ", "").split()),
        name=fields.get("PRETTY_NAME ", ""),
    )


_STANZA = re.compile(rb"\n[ \t]*\n+")
_MAX_STANZAS = 200_000
"""A few letters are one that is read as slowly as a real one; so many take some seconds."""
_SOURCE = re.compile(r"(\S+)(?: \((\S+)\))?\Z")
_THERE = re.compile(r"\S+ \S+ (?:installed|unpacked|half-configured|triggers-awaited|triggers-pending)\Z")


def _stanzas(data: bytes) -> list[bytes]:
    found = _STANZA.split(data, _MAX_STANZAS)
    if len(found) > _MAX_STANZAS:
        raise IntegrityError(f"it has more than {_MAX_STANZAS} paragraphs")
    return found


def dpkg(data: bytes) -> Iterator[Installed]:
    """`var/lib/dpkg/status`, or a file of `status.d`: what is installed, not what was. Raises `IntegrityError`."""
    parser = BytesHeaderParser()
    for stanza in _stanzas(data.replace(b"\r\n", b"\n")):
        fields = parser.parsebytes(stanza.lstrip(b"\n"))
        name, version = one_line(fields["Package"]), one_line(fields["Version"])
        if not name or not version or not _THERE.match(one_line(fields["Status"]) or "install ok installed"):
            continue
        match = _SOURCE.match(one_line(fields["Source"]))
        source = Source(name=match[1], version=match[2] or version) if match else Source(name=name, version=version)
        yield Installed(
            kind="deb", name=name, version=version, architecture=one_line(fields["Architecture"]), source=source
        )


_LICENCE = re.compile(rb"^License:[ \t]*(\S[^\n]{0,200})$", re.MULTILINE)
_MACHINE_READABLE = re.compile(rb"\A\s*Format(?:-Specification)?:", re.IGNORECASE)
COPYRIGHT_LIMIT = 1 << 20


def copyright_licences(data: bytes) -> tuple[str, ...]:
    """The short names of licences in a machine-readable `copyright` file of Debian (DEP 5); none of another."""
    if not _MACHINE_READABLE.match(data):
        return ()
    found = (match[1].decode("utf-8", "replace").strip() for match in _LICENCE.finditer(data))
    return tuple(dict.fromkeys(found))


def apk(data: bytes) -> Iterator[Installed]:
    """`lib/apk/db/installed`: a line a field, of one letter; an empty line between. Raises `IntegrityError`."""
    for stanza in _stanzas(data):
        fields: dict[str, str] = {}
        describing: list[str] = []
        for line in stanza.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            folder = fields.get("F", "")
            # One long name and many short ones would make any amount of text.
            if name == "R" and len(folder) <= MAX_PATH and may_describe(path := f"{folder}/{value}"):
                describing.append(path)
            elif name == "F" or name not in fields:
                fields[name] = value.strip()
        if fields.get("P") and fields.get("V"):
            yield Installed(
                kind="apk",
                name=fields["P"],
                version=fields["V"],
                architecture=fields.get("A", ""),
                licences=(fields["L"],) if fields.get("L") else (),
                source=Source(name=fields.get("o") or fields["P"], version=fields["V"]),
                describing=tuple(describing),
            )
