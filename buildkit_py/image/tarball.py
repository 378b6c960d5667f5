"""Tar files that depend on nothing but what is put into them: time 0, owner 0:0, no names, the order as given."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


class Tarball:
    """Writes members to a stream. POSIX.1-2001 (PAX), with extended headers only where a size or a name needs one."""

    def __init__(self, out: BinaryIO) -> None:
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
        self._tar.addfile(member, content)

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()


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
