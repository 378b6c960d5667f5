"""Tar files that depend on nothing but what is put into them: time 0, owner 0:0, no names, the order as given."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

_LARGE = 1 << 20
_NOT_HERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What the kernel says where it can't copy between two files by itself."""


class Tarball:
    """Writes members to a stream. POSIX.1-2001 (PAX), with extended headers only where a size or a name needs one."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._tar = tarfile.TarFile(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)

    def directory(self, name: str) -> None:
        """Add a directory, 0755."""
        self._tar.addfile(_member(name, type_=tarfile.DIRTYPE, mode=0o755))

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        member = _member(name, type_=tarfile.SYMTYPE, mode=0o777)
        member.linkname = target
        self._tar.addfile(member)

    def file(self, name: str, size: int, content: BinaryIO) -> None:
        """Add a file of `size` bytes, 0644; raises `OSError` where `content` has fewer."""
        member = _member(name, type_=tarfile.REGTYPE, mode=0o644)
        member.size = size
        if size < _LARGE:
            self._tar.addfile(member, content)
            return
        self._tar.addfile(member)
        self._out.flush()
        _copy(content, self._out, size)
        self._out.write(bytes(-size % tarfile.BLOCKSIZE))
        self._tar.offset += size + -size % tarfile.BLOCKSIZE

    def rewind(self, mark: int) -> None:
        """Forget what was added since the archive was `mark` bytes long."""
        self._out.seek(mark)
        self._out.truncate()
        self._tar.offset = mark

    @property
    def size(self) -> int:
        """How many bytes long the archive is now."""
        return self._tar.offset

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """Copy so many bytes to the end of `target`, in the kernel where it can."""
    left = size
    try:
        while left and (copied := os.copy_file_range(source.fileno(), target.fileno(), left)):
            left -= copied
    except OSError as error:
        if error.errno not in _NOT_HERE and not isinstance(error, io.UnsupportedOperation):
            raise
    target.seek(0, os.SEEK_END)
    while left and (block := source.read(min(left, _LARGE))):
        target.write(block)
        left -= len(block)
    if left:
        raise OSError(errno.ENODATA, "a file has fewer bytes than it should")


@contextmanager
def tarball(out: BinaryIO) -> Iterator[Tarball]:
    """A tar file on `out`, ended when the block ends well."""
    tar = Tarball(out)
    yield tar
    tar.close()


def _member(name: str, *, type_: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = type_, mode
    return member
