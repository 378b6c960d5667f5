"""What stands before an entry of a tar and belongs to it: PAX records, GNU tar's long names, maps of sparse files.

`tarfile` searches records by expressions that take hours for a megabyte (CVE-2024-6232), calls itself for every header
upon a header, and keeps a map however long it is. Here they are read once, from their beginning to their end, within
limits. (POSIX.1-2017, pax, "pax Extended Header"; GNU tar manual, "Sparse Formats".)
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import Any, cast

from buildkit_py.errors import IntegrityError
from buildkit_py.layer.limits import Allowance

EXTENDED = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
Read = Callable[[int], bytes]
"""That many bytes of the tar; fewer at its end."""

_BLOCK = tarfile.BLOCKSIZE
_DIGITS = 8
_LONGEST = 19
_OF_ONE = ("path", "linkpath", "size")
_SPARSE = "GNU.sparse."
_number_in: Any = tarfile.nti  # type: ignore[attr-defined]


class Extended:
    """The extended headers before one entry; `common` are the records of global headers, to which others are added."""

    def __init__(self, common: dict[str, str], allowance: Allowance) -> None:
        self._common = common
        self._allowance = allowance
        self._records = dict(common)
        self._map: list[int] = []
        self._name: str | None = None
        self._link: str | None = None

    def take(self, header: tarfile.TarInfo, data: bytes) -> None:
        """Take one in."""
        if header.type == tarfile.GNUTYPE_LONGNAME:
            self._name = _text(data)
        elif header.type == tarfile.GNUTYPE_LONGLINK:
            self._link = _text(data)
        elif header.type == tarfile.XGLTYPE:
            self._take_common(dict(records(data)))
        else:
            for key, value in records(data):
                self._records[key] = value
                if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
                    self._map.append(_whole(value))

    def _take_common(self, found: dict[str, str]) -> None:
        for key in found:
            if key in _OF_ONE or key.startswith(_SPARSE):
                raise IntegrityError(f"it has a global header that says the {key[:40]!r} of one entry")
        self._common |= found
        self._records = {**found, **self._records}
        if len(self._common) > self._allowance.limits.xattrs:
            raise self._allowance.limits.passed("xattrs", f"it has global headers of {len(self._common)} records")

    def complete(self, member: tarfile.TarInfo, header: bytes, read: Read) -> int:
        """Give an entry what was said of it; `header` is its own. Returns how many bytes of the tar it has, after what
        was `read` of a map: `member.sparse` says where they belong."""
        said = self._records
        if "size" in said:
            member.size = _whole(said["size"])
        member.uid, member.gid = (
            _whole(said.get(key) or str(own)) for key, own in (("uid", member.uid), ("gid", member.gid))
        )
        member.mtime = _time(said.get("mtime"), member.mtime)
        member.name = self._name or said.get("GNU.sparse.name") or said.get("path") or member.name
        member.linkname = self._link or said.get("linkpath") or member.linkname
        if member.type == tarfile.AREGTYPE and member.name.endswith("/"):
            member.type = tarfile.DIRTYPE
        if member.isdir():
            member.name = member.name.rstrip("/")
        member.pax_headers = said
        stored = member.size if member.isreg() or member.type not in tarfile.SUPPORTED_TYPES else 0
        return self._spread(member, header, read, stored)

    def _spread(self, member: tarfile.TarInfo, header: bytes, read: Read, stored: int) -> int:
        """The map of a sparse file, if it is one."""
        said, most = self._records, 2 * self._allowance.limits.holes
        if member.type == tarfile.GNUTYPE_SPARSE:
            found, size = _of_gnu(header, read, most), _number_in(header[483:495])
        elif not any(key.startswith(_SPARSE) for key in said):
            return stored
        elif said.get("GNU.sparse.major") == "1" and said.get("GNU.sparse.minor") == "0":
            found, taken = _of_data(read, stored, most)
            stored, size = stored - taken, _whole(said.get("GNU.sparse.realsize", ""))
        else:
            text = said.get("GNU.sparse.map")
            found = self._map if text is None else [_whole(each) for each in text.split(",")[: most + 1]]
            size = _whole(said.get("GNU.sparse.size", ""))
        if len(found) > most:
            raise self._allowance.limits.passed("holes", f"it has a file in {len(found) // 2} pieces or more")
        cast("Any", member).sparse, member.size = _checked(found, size, stored), size
        return stored


def records(data: bytes) -> Iterator[tuple[str, str]]:
    """The records of a PAX header, `LENGTH KEY=VALUE\\n` each. Raises `IntegrityError`."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _DIGITS + 1)
        digits = data[at : max(space, at)]
        end = at + int(digits) if digits.isdigit() else 0
        equals = data.find(b"=", space + 2, end - 1)
        if equals < 0 or end > len(data) or data[end - 1 : end] != b"\n":
            raise IntegrityError("it has a malformed extended header")
        yield _decoded(data[space + 1 : equals]), _decoded(data[equals + 1 : end - 1])
        at = end


def _of_gnu(header: bytes, read: Read, most: int) -> list[int]:
    """The map of GNU tar's own format: four pieces in the header, then blocks of 21."""
    found: list[int] = []
    block, start, pieces, more = header, 386, 4, header[482]
    while True:
        for at in range(start, start + 24 * pieces, 24):
            size = _number_in(block[at + 12 : at + 24])
            if size:
                found += (_number_in(block[at : at + 12]), size)
        if not more or len(found) > most:
            return found
        block, start, pieces = read(_BLOCK), 0, 21
        if len(block) < _BLOCK:
            raise IntegrityError("it ends in the middle of the map of a sparse file")
        more = block[504]


def _of_data(read: Read, stored: int, most: int) -> tuple[list[int], int]:
    """The map at the beginning of a file's bytes, a number a line and first how many pieces; and the bytes it took."""
    text, taken = b"", 0

    def number() -> int:
        nonlocal text, taken
        while b"\n" not in text and len(text) <= _LONGEST and (more := read(min(_BLOCK, stored - taken))):
            text += more
            taken += len(more)
        line, _, text = text.partition(b"\n")
        return _whole(_decoded(line))

    count = 2 * number()
    return [number() for _ in range(min(count, most + 2))], taken


def _checked(numbers: list[int], size: int, stored: int) -> list[tuple[int, int]]:
    """The pieces of a sparse file, which come one after another and fit into it."""
    pieces = list(zip(numbers[::2], numbers[1::2], strict=False))
    at = 0
    for offset, length in pieces:
        if length < 0 or offset < at:
            break
        at = offset + length
    else:
        if len(numbers) % 2 == 0 and at <= size and sum(length for _, length in pieces) <= stored:
            return pieces
    raise IntegrityError("it has a sparse file with a map that makes no sense")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST):
        raise IntegrityError(f"it has an extended header with an impossible number: {text[:40]!r}")
    return int(text)


def _time(text: str | None, own: float) -> float:
    try:
        return float(text[:40]) if text else own
    except ValueError:
        raise IntegrityError(f"it has an extended header with an impossible time: {(text or '')[:40]!r}") from None


def _text(data: bytes) -> str:
    return _decoded(data.partition(b"\0")[0])


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
