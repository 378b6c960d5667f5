"""Where the members of an uncompressed tar lie, without unpacking it and without reading what is in them.

Only regular files with plain names are found; devices are passed over, and links too unless they are asked for, which
then stand for the members that they name. A name that leaves the archive's root
or stands twice is an error, and so is a header that asks for more memory than a header needs.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from typing import BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError

_BLOCK = 512
_MAX_MEMBERS = 100_000
_MAX_EXTENSION = 1 << 16
_MAX_EXTENSIONS = 1 << 26
"""Bytes of all that are read for names, which memory holds; those of the largest images are a thousandth of it."""
_DIGITS = 8
_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"))
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A regular member: its bytes are `[start, start + size)` of the archive."""

    start: int
    size: int


@dataclass(slots=True, kw_only=True)
class _Pending:
    """What extension headers said of the member that comes next."""

    name: str | None = None
    size: int | None = None


def index_members(archive: BinaryIO, name: str, *, links: bool = False) -> dict[str, Member]:
    """The regular members by normalised name; with `links` also the links among them that lead to one.

    Raises `IntegrityError` on what is no sound archive.
    """
    end = os.fstat(archive.fileno()).st_size
    _refuse_compressed(os.pread(archive.fileno(), 8, 0), name)
    members: dict[str, Member] = {}
    leads: dict[str, str] = {}
    pending, at, count, extended = _Pending(), 0, 0, 0
    while at + _BLOCK <= end:
        header = _header(os.pread(archive.fileno(), _BLOCK, at), name)
        if header is None:
            break
        count += 1
        extends = header.type in _EXTENSIONS
        size = header.size if pending.size is None or extends else pending.size
        start = at + _BLOCK
        if count > _MAX_MEMBERS:
            raise IntegrityError(f"the archive {name} has more than {_MAX_MEMBERS} members; no image has that many")
        if size < 0 or start + size > end:
            raise IntegrityError(f"the archive {name} is cut short")
        if extends:
            extended += size
            if extended > _MAX_EXTENSIONS:
                raise IntegrityError(f"the archive {name} has more than {_MAX_EXTENSIONS} bytes of extension headers")
            _extend(pending, header, archive, start, name)
        else:
            if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                _add(members, pending.name or header.name, Member(start=start, size=size), name)
            elif header.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                leads[pending.name or header.name] = _target(header, pending.name or header.name)
            pending = _Pending()
        at = start + -(-size // _BLOCK) * _BLOCK
    return {**_led(leads, members), **members} if links else members


def _target(header: tarfile.TarInfo, link: str) -> str:
    """What a link leads to, as a name from the archive's root; it may lead out of it, where nothing is."""
    beside = posixpath.dirname(link) if header.type == tarfile.SYMTYPE else ""
    return posixpath.normpath(posixpath.join(beside, header.linkname))


def _led(leads: dict[str, str], members: dict[str, Member]) -> dict[str, Member]:
    """The members that links lead to, by one step, under the links' names."""
    return {posixpath.normpath(link): members[target] for link, target in leads.items() if target in members}


def _refuse_compressed(start: bytes, name: str) -> None:
    for magic, kind in _COMPRESSED:
        if start.startswith(magic):
            hint = f"decompress it first, with {kind} -d"
            raise IntegrityError(f"the archive {name} is compressed with {kind}", hint=hint)


def _header(block: bytes, name: str) -> tarfile.TarInfo | None:
    if not any(block):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise IntegrityError(f"{name} is not a sound tar archive: {error}") from None


def _extend(pending: _Pending, header: tarfile.TarInfo, archive: BinaryIO, start: int, name: str) -> None:
    if header.size > _MAX_EXTENSION:
        raise IntegrityError(
            f"the archive {name} has an extension header of {header.size} bytes; the limit is {_MAX_EXTENSION}"
        )
    data = os.pread(archive.fileno(), header.size, start)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        pending.name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
    elif header.type == tarfile.XHDTYPE:
        records = _records(data, name)
        pending.name = records.get("path", pending.name)
        size = records.get("size")
        if size is not None and size.isascii() and size.isdigit() and len(size) < 19:
            pending.size = int(size)
        if any(key.startswith("GNU.sparse") for key in records):
            raise IntegrityError(f"the archive {name} has sparse members, which an image layout can't have")


def _records(data: bytes, name: str) -> dict[str, str]:
    """The records of a PAX header: `LENGTH KEY=VALUE\\n` each."""
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _DIGITS + 1)
        length = data[at : max(space, at)]
        end = at + int(length) if length.isdigit() else 0
        if not space + 1 < end <= len(data):
            raise IntegrityError(f"the archive {name} has a malformed extension header")
        key, _, value = data[space + 1 : end - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at = end
    return records


def _add(members: dict[str, Member], path: str, member: Member, name: str) -> None:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise IntegrityError(f"the archive {name} has a member outside of its root: {path[:100]!r}")
    plain = "/".join(parts)
    if plain in members:
        raise IntegrityError(f"the archive {name} has two members called {plain[:100]!r}")
    members[plain] = member
