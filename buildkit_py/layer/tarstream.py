"""Reading a tar file that somebody else made, once from its beginning to its end, within limits.

What no honest tool writes raises `IntegrityError`: damaged headers (which `tarfile` itself takes for the end), sizes
below nothing, extended headers without measure, names that lead out, bombs.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO

from buildkit_py.errors import IntegrityError
from buildkit_py.layer.ahead import Ahead
from buildkit_py.layer.decompress import Inflating
from buildkit_py.layer.extended import EXTENDED, Extended
from buildkit_py.layer.limits import Allowance, Limits
from buildkit_py.layer.tree import MAX_DEPTH

BLOCK = 1 << 20
MAX_NAME = 255
MAX_TARGET = 4095
_LATEST = 1 << 33
_MAX_ID = 2**32 - 2
_ALONE = frozenset(tarfile.SUPPORTED_TYPES) - EXTENDED - {tarfile.GNUTYPE_SPARSE}
"""Entries that are one header, and for files their bytes."""
_END = bytes(tarfile.BLOCKSIZE)
_FIELDS = struct.Struct("100s 8s 8s 8s 12s 12s 8s 1s 100s 72x 8s 8s 155s 12x").unpack


class TarStream:
    """The members of one tar, compressed or not. `digest` is that of the plain tar, once `drain` was called.

    A context manager: a thread inflates and hashes ahead of who takes the members, which costs Python's lock nothing.
    Raises `IntegrityError` where it is damaged or beyond its `limits`.
    """

    def __init__(self, blob: BinaryIO, limits: Limits | None = None) -> None:
        self._allowance = Allowance(limits or Limits.current())
        self._plain = Inflating(blob, self._allowance)
        self._hasher = hashlib.sha256()
        self._ahead = Ahead(self._inflate)
        self._read = 0
        self._chunk = b""
        self._next = 0
        self._following = 0
        self._common: dict[str, str] = {}
        self._more = 0

    def __enter__(self) -> TarStream:
        self._ahead.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.__exit__(kind, error, trace)

    @property
    def digest(self) -> str:
        """SHA-256 of what was read."""
        return f"sha256:{self._hasher.hexdigest()}"

    def _all(self, size: int) -> bytes:
        """That many bytes of the tar, fewer at its end."""
        data = self._some(size)
        while len(data) < size and (more := self._some(size - len(data))):
            data += more
        return data

    def _at(self) -> int:
        """How many bytes were taken or skipped."""
        return self._read - len(self._chunk) + self._next

    def _some(self, size: int) -> bytes:
        """At most so many bytes, at least one before the end."""
        if self._next == len(self._chunk):
            self._chunk, self._next = self._ahead.block(), 0
            self._read += len(self._chunk)
        data = self._chunk[self._next : self._next + size]
        self._next += len(data)
        return data

    def _inflate(self) -> bytes:
        """The next block of the plain tar."""
        data = self._plain.read(BLOCK)
        self._hasher.update(data)
        return data

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Each entry in turn; the bytes of a file must be read (`blocks`) before the next is asked for."""
        while (member := self._member()) is not None:
            self._allowance.entry(member.size if member.isreg() else 0)
            yield member
        if not self._read:
            raise IntegrityError("it is no whole tar: it is empty")

    def _member(self) -> tarfile.TarInfo | None:
        """The next entry, with what extended headers say of it."""
        with _faults():
            header = self._header()
            if not header:
                return None
            member = member_of(header)
            if member.type in _ALONE and not self._common:
                stored = member.size if member.type in tarfile.REGULAR_TYPES else 0
            else:
                said = Extended(self._common, self._allowance)
                while member.type in EXTENDED:
                    self._take(member, said)
                    header = self._header()
                    if not header:
                        raise IntegrityError("it is no whole tar: an entry is missing at its end")
                    member = member_of(header)
                stored = said.complete(member, header, self._all)
            self._following = _padded(self._at() + stored)
            return member

    def _take(self, member: tarfile.TarInfo, said: Extended) -> None:
        """Read an extended header."""
        self._allowance.header(member.size)
        said.take(member, self._all(member.size))
        self._following += _padded(member.size)

    def _header(self) -> bytes:
        """The header that stands at the place of the next one; none at the end."""
        left = self._following - self._at()
        while left and (skipped := len(self._some(left))):
            left -= skipped
        if left:
            raise IntegrityError("it is no whole tar: it ends in the middle of an entry")
        header = self._all(tarfile.BLOCKSIZE)
        self._following += len(header)
        return b"" if header == _END else header

    def blocks(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The bytes of a file."""
        return self._stored(member, member.size) if member.sparse is None else self._spread(member)

    def _stored(self, member: tarfile.TarInfo, left: int) -> Iterator[bytes]:
        while left:
            block = self._some(min(left, BLOCK))
            if not block:
                raise IntegrityError(f"it ends in the middle of {member.name[:200]!r}")
            left -= len(block)
            yield block

    def _spread(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """A sparse file with its holes."""
        at = 0
        for offset, size in (*(member.sparse or ()), (member.size, 0)):
            while at < offset:
                hole = bytes(min(offset - at, BLOCK))
                at += len(hole)
                self.made(len(hole))
                yield hole
            yield from self._stored(member, size)
            at += size

    def made(self, size: int) -> None:
        """So many bytes more came of it than it holds: holes, or files of other layers that it links to."""
        self._more += size
        self._allowance.unpacked(self._plain.count + self._more, self._plain.packed)

    def drain(self) -> None:
        """Read what comes after the last entry."""
        while self._some(BLOCK):
            pass


def mtime_of(member: tarfile.TarInfo) -> int:
    """Nanoseconds, within what file systems can hold."""
    return int(min(max(member.mtime, 0), _LATEST) * 1_000_000_000) if math.isfinite(member.mtime) else 0


def parts_of(name: str) -> list[str]:
    """The names in a path of a tar; a leading slash says nothing. Raises `IntegrityError` for one that leads out."""
    parts = [part for part in name.split("/") if part and part != "."]
    if ".." in parts or "\0" in name:
        raise IntegrityError(f"it has a name that leads out of it: {name[:200]!r}")
    too_long = len(name) > MAX_NAME // 4 and any(len(os.fsencode(part)) > MAX_NAME for part in parts)
    if too_long or len(parts) > MAX_DEPTH:
        raise IntegrityError(f"it has a name that is too long: {name[:200]!r}…")
    return parts


def target_of(text: str, name: str) -> str:
    """Where the symbolic link `name` leads, as text; raises `IntegrityError` for what no link can hold."""
    if not text or "\0" in text or len(text.encode("utf-8", "surrogateescape")) > MAX_TARGET:
        raise IntegrityError(f"it has a link that leads nowhere: {name[:200]!r}")
    return text


def device_of(member: tarfile.TarInfo) -> tuple[int, int]:
    """Major and minor number of a device; raises `IntegrityError` for what no device has."""
    major, minor = member.devmajor, member.devminor
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20) or (major == minor == 0):
        raise IntegrityError(f"it has an impossible device: /{member.name.strip('/')[:200]}, {major}:{minor}")
    return major, minor


def id_of(number: int, path: str) -> int:
    """The number of a user or group; raises `IntegrityError` for what the kernel has no place for."""
    if not 0 <= number <= _MAX_ID:
        raise IntegrityError(f"it gives /{path[:200]} to the user or group {number}")
    return number


def member_of(header: bytes) -> tarfile.TarInfo:
    """What a header says; raises `IntegrityError` for what is none."""
    try:
        member = _plain(header) or tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise IntegrityError(f"it has a damaged header: {error}") from None
    if member.size < 0:
        raise IntegrityError("it has an entry of less than no bytes")
    return member


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _plain(header: bytes) -> tarfile.TarInfo | None:
    """Read a header as nearly all are: octal numbers, UTF-8, a right checksum. Others are left to `tarfile`.

    POSIX.1-2017, pax, "ustar Interchange Format".
    """
    if len(header) != tarfile.BLOCKSIZE:
        return None
    name, mode, uid, gid, size, mtime, check, kind, link, major, minor, prefix = _FIELDS(header)
    member = tarfile.TarInfo()
    try:
        if kind not in _ALONE or int(_text(check), 8) != sum(header) - sum(check) + 8 * 0x20:
            return None
        member.mode, member.uid, member.gid = int(_text(mode), 8), int(_text(uid), 8), int(_text(gid), 8)
        member.size, member.mtime = int(_text(size), 8), int(_text(mtime), 8)
        member.devmajor, member.devminor = int(_text(major) or b"0", 8), int(_text(minor) or b"0", 8)
        member.name, member.linkname = _text(name).decode(), _text(link).decode()
        above = _text(prefix).decode()
    except ValueError:
        return None
    member.type = tarfile.DIRTYPE if kind == tarfile.AREGTYPE and member.name.endswith("/") else kind
    if above:
        member.name = f"{above}/{member.name}"
    if member.type == tarfile.DIRTYPE:
        member.name = member.name.rstrip("/")
    return member


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


@contextmanager
def _faults() -> Iterator[None]:
    """Everything that is raised for malformed bytes."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, LookupError, ArithmeticError, TypeError) as error:
        raise IntegrityError(f"it is no whole tar: {error}") from None
