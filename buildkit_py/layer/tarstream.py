"""Reading a tar file that somebody else made, once from its beginning to its end, within limits.

What no honest tool writes raises `IntegrityError`: damaged headers (which `tarfile` itself takes for the end), sizes
below nothing, extended headers without measure, names that lead out, bombs.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, BinaryIO, Self, TypeVar, cast

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError
from buildkit_py.layer.ahead import Ahead
from buildkit_py.layer.decompress import decompressed
from buildkit_py.layer.tree import MAX_DEPTH

BLOCK = 1 << 20
MAX_NAME = 255
MAX_TARGET = 4095
_LATEST = 1 << 33
_DAMAGED: tuple[type[Exception], ...] = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

_ALONE = frozenset(tarfile.SUPPORTED_TYPES) - {*_EXTENDED, tarfile.GNUTYPE_SPARSE}
"""Entries that are one header, and for files their bytes."""
_END = bytes(tarfile.BLOCKSIZE)
_FIELDS = struct.Struct("100s 8s 8s 8s 12s 12s 8s 1s 100s 72x 8s 8s 155s 12x").unpack

_Member = TypeVar("_Member", bound=tarfile.TarInfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one tar may hold: bytes unpacked, entries, attributes of an entry, bytes of an extended header.

    Beyond the first `free` bytes it may unpack to at most `ratio` times its compressed bytes; deflate can't do more
    than 1032.
    """

    bytes: int = 256 << 30
    entries: int = 10_000_000
    xattrs: int = 128
    pax: int = 1 << 20
    ratio: int = 2000
    free: int = 1 << 30


class TarStream:
    """The members of one tar, compressed or not. `digest` is that of the plain tar, once `drain` was called.

    A context manager: a thread inflates and hashes ahead of who takes the members, which costs Python's lock nothing.
    To `tarfile` it is a file that can be read and skipped forward: its own streams copy each block several times.
    """

    def __init__(self, blob: BinaryIO, limits: Limits) -> None:
        self._limits = limits
        self._compressed = _Counted(blob)
        self._plain = decompressed(cast(BinaryIO, self._compressed))
        self._hasher = hashlib.sha256()
        self._inflated = 0
        self._ahead = Ahead(self._inflate)
        self._read = 0
        self._held = 0
        self._chunk = b""
        self._next = 0
        self._archive: Any = None

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

    def read(self, size: int) -> bytes:
        """That many bytes of the tar, fewer at its end; for `tarfile`."""
        data = self._some(size)
        while len(data) < size and (more := self._some(size - len(data))):
            data += more
        return data

    def tell(self) -> int:
        """How many bytes were given out or skipped; for `tarfile`."""
        return self._read - len(self._chunk) + self._next

    def seek(self, position: int) -> None:
        """Skip to a position further on; for `tarfile`."""
        left = position - self.tell()
        if left < 0:
            raise tarfile.StreamError("seeking backwards is not allowed")
        while left and (skipped := len(self._some(left))):
            left -= skipped

    def _some(self, size: int) -> bytes:
        """At most so many bytes, at least one before the end."""
        if self._next == len(self._chunk):
            self._fill()
        data = self._chunk[self._next : self._next + size]
        self._next += len(data)
        return data

    def _fill(self) -> None:
        self._chunk, self._next = self._ahead.block(), 0
        self._read += len(self._chunk)

    def _inflate(self) -> bytes:
        """The next block of the plain tar."""
        data = self._plain.read(BLOCK)
        self._inflated += len(data)
        self._hasher.update(data)
        too_many = self._inflated > self._limits.bytes
        if too_many or self._inflated - self._limits.free > self._limits.ratio * self._compressed.count:
            raise IntegrityError(f"it unpacks to more than {self._inflated - 1} bytes, which is not allowed")
        return data

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Each entry in turn; the bytes of a file must be read (`blocks`) before the next is asked for."""
        with _faults():
            archive: Any = tarfile.TarFile(
                fileobj=cast("IO[bytes]", self),
                tarinfo=_checked(self._limits),
                encoding="utf-8",
                errors="surrogateescape",
            )
        self._archive = archive
        # It reads the first entry to see whether it is a tar.
        member: tarfile.TarInfo | None = archive.firstmember
        count = 0
        while member is not None:
            count += 1
            if count > self._limits.entries:
                raise IntegrityError(f"it has more than {self._limits.entries} entries")
            self._held += member.size
            if self._held > self._limits.bytes:
                raise IntegrityError(f"its files have more than {self._limits.bytes} bytes")
            yield member
            member = self._member(archive)

    def _member(self, archive: Any) -> tarfile.TarInfo | None:
        """The next entry. What stands alone is read here: `tarfile` takes several times as long to get to the same."""
        with _faults():
            start = archive.offset
            self.seek(start)
            if self.tell() != start:
                raise tarfile.ReadError("unexpected end of data")
            header = self.read(tarfile.BLOCKSIZE)
            if not header or header == _END:
                return None
            member: tarfile.TarInfo = archive.tarinfo.frombuf(header, archive.encoding, archive.errors)
            member.offset = start
            if member.type not in _ALONE or archive.pax_headers:
                member = member._proc_member(archive)  # type: ignore[attr-defined]
                archive.members = []
                return member
            _measured(member)
            blocks = -(-member.size // tarfile.BLOCKSIZE) if member.type in tarfile.REGULAR_TYPES else 0
            archive.offset = start + (1 + blocks) * tarfile.BLOCKSIZE
            return member

    def blocks(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The bytes of a file."""
        left = member.size
        take = self._some if member.sparse is None else self._expanded(member)
        while left:
            block = take(min(left, BLOCK))
            if not block:
                raise IntegrityError(f"it ends in the middle of {member.name[:200]!r}")
            left -= len(block)
            yield block

    def drain(self) -> None:
        """Read what comes after the last entry."""
        while self._some(BLOCK):
            pass

    def _expanded(self, member: tarfile.TarInfo) -> Callable[[int], bytes]:
        """Reads a sparse file with its holes."""
        with _faults():
            source: IO[bytes] = self._archive.extractfile(member)

        def take(size: int) -> bytes:
            with _faults():
                return source.read(size)

        return take


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


def target_of(member: tarfile.TarInfo) -> str:
    """Where a symbolic link leads, as text; raises `IntegrityError` for what no link can hold."""
    return checked_target(member.name, member.linkname)


def checked_target(name: str, target: str) -> str:
    """The target of the link `name`, if a link can have it; raises `IntegrityError`."""
    if not target or "\0" in target or len(target.encode("utf-8", "surrogateescape")) > MAX_TARGET:
        raise IntegrityError(f"it has a link that leads nowhere: {name[:200]!r}")
    return target


def device_of(member: tarfile.TarInfo) -> tuple[int, int]:
    """Major and minor number of a device; raises `IntegrityError` for what no device has."""
    major, minor = member.devmajor, member.devminor
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20) or (major == minor == 0):
        raise IntegrityError(f"it has an impossible device: /{member.name.strip('/')[:200]}, {major}:{minor}")
    return major, minor


class _Counted(io.RawIOBase):
    """Counts what is read of the compressed bytes."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        self.count += len(data)
        buffer[: len(data)] = data
        return len(data)


def _checked(limits: Limits) -> type[tarfile.TarInfo]:
    class Member(tarfile.TarInfo):
        """Refuses what `tarfile` would pass over or take in whole."""

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            try:
                return _plain(cls(), bytes(buf)) or super().frombuf(buf, encoding, errors)
            except _DAMAGED as error:
                raise IntegrityError(f"it has a damaged header: {error}") from None

        def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
            _measured(self)
            if self.type in _EXTENDED and self.size > limits.pax:
                raise IntegrityError(f"it has an extended header of {self.size} bytes, {limits.pax} is the most")
            made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
            return _measured(made)

    return Member


def _measured(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if member.size < 0:
        raise IntegrityError("it has an entry of less than no bytes")
    return member


def _plain(member: _Member, header: bytes) -> _Member | None:
    """Fill in a header as nearly all are: octal numbers, UTF-8, a right checksum. Others are left to `tarfile`.

    POSIX.1-2017, pax, "ustar Interchange Format".
    """
    if len(header) != tarfile.BLOCKSIZE:
        return None
    name, mode, uid, gid, size, mtime, check, kind, link, major, minor, prefix = _FIELDS(header)
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
    """Everything that `tarfile` raises for malformed bytes."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, LookupError, ArithmeticError, TypeError, RecursionError) as error:
        raise IntegrityError(f"it is no whole tar: {error}") from None
