"""Writing entries into a directory: a snapshot in overlayfs upper format, or a plain tree.

Everything is found and made through descriptors below the directory, and no link in it is ever followed. Directories
get their modes and times last, when nothing more is made in them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError, StoreError
from buildkit_py.layer import xattrs
from buildkit_py.layer.clone import Cloner, Reflink
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.openat import DIRECTORY, Root, open_below
from buildkit_py.layer.tree import printable
from buildkit_py.layer.whiteout import make_whiteout
from buildkit_py.store.faults import of_os_error

BLOCK = 1 << 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a new file holds: its bytes' number and their digest (`sha256:…`)."""

    size: int
    digest: str


class TreeWriter:
    """Writes below `directory`, which exists; a parent comes before what is in it. A context manager.

    Times are in nanoseconds. Files that are copied share blocks with their source as `reflink` says. Raises
    `StoreError` where the disk refuses, `SandboxError` for what this user may not make.
    """

    def __init__(self, directory: Path, reflink: Reflink = "checked") -> None:
        self._directory = directory
        self._cloner = Cloner(reflink)
        with _Guard(self, ""):
            self._root = Root(directory)

    def __enter__(self) -> TreeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._root.close()

    def file(self, entry: Entry, content: Iterable[bytes], mtime: int) -> Content:
        """Write a regular file. The digest is for the caller to compare."""
        fd = self._new(entry.path)
        try:
            written = self._fill(fd, entry.path, content)
            with _Guard(self, entry.path):
                _dress(fd, entry, mtime)
        finally:
            os.close(fd)
        return written

    def copy(self, entry: Entry, source: BinaryIO, mtime: int) -> Content:
        """Write a regular file with the bytes of another, sharing its blocks where the file system can.

        The digest is for the caller to compare; of a source that is trusted it is the entry's own.
        """
        if not self._cloner.wants(source, entry.size):
            return self.file(entry, blocks(source), mtime)
        fd = self._new(entry.path)
        try:
            if not self._cloner.clone(source.fileno(), fd):
                written = self._fill(fd, entry.path, blocks(source))
            elif self._cloner.trusts:
                written = Content(size=os.fstat(fd).st_size, digest=entry.digest or "")
            else:
                # What the new file holds can't change any more, so that is what is read.
                written = self._read(fd, entry.path)
            with _Guard(self, entry.path):
                _dress(fd, entry, mtime)
        finally:
            os.close(fd)
        return written

    def _new(self, path: str) -> int:
        with _Guard(self, path):
            parent, name = self._root.parent(path)
            return os.open(name, _NEW, 0o600, dir_fd=parent)

    def _fill(self, fd: int, path: str, content: Iterable[bytes]) -> Content:
        hashed, size = hashlib.sha256(), 0
        for block in content:
            hashed.update(block)
            size += len(block)
            with _Guard(self, path):
                _write(fd, block)
        return Content(size=size, digest=f"sha256:{hashed.hexdigest()}")

    def _read(self, fd: int, path: str) -> Content:
        hashed, size = hashlib.sha256(), 0
        with _Guard(self, path):
            while block := os.pread(fd, BLOCK, size):
                hashed.update(block)
                size += len(block)
        return Content(size=size, digest=f"sha256:{hashed.hexdigest()}")

    def directory(self, path: str) -> None:
        """Make a directory that only its maker may enter; `finish` gives it what it shall have."""
        with _Guard(self, path):
            parent, name = self._root.parent(path)
            os.mkdir(name, 0o700, dir_fd=parent)

    def finish(self, entry: Entry, mtime: int) -> None:
        """Give a directory (or the root, the empty path) owner, mode, attributes and time, when all in it is made."""
        with _Guard(self, entry.path):
            fd = open_below(self._root.fd, entry.path, DIRECTORY)
            try:
                _dress(fd, entry, mtime)
            finally:
                os.close(fd)

    def link(self, path: str, target: str) -> None:
        """Give what is at `target` another name; a symbolic link there is not followed."""
        with _Guard(self, path):
            folder, _, name = target.rpartition("/")
            source = open_below(self._root.fd, folder, DIRECTORY)
            try:
                parent, own = self._root.parent(path)
                os.link(name, own, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)

    def other(self, entry: Entry, mtime: int) -> None:
        """Make a symbolic link, a device, a pipe or a whiteout (a character device 0:0)."""
        with _Guard(self, entry.path):
            parent, name = self._root.parent(entry.path)
            if entry.type == "symlink":
                os.symlink(entry.target or "", name, dir_fd=parent)
            else:
                self._node(entry, parent, name)
            if entry.type != "whiteout":
                _own(name, entry, parent)
                if entry.type != "symlink":
                    os.chmod(name, entry.mode, dir_fd=parent)
            os.utime(name, ns=(mtime, mtime), dir_fd=parent, follow_symlinks=False)

    def remove(self, path: str, *, directory: bool) -> None:
        """Remove one name; a directory must be empty."""
        with _Guard(self, path):
            parent, name = self._root.parent(path)
            if directory:
                os.rmdir(name, dir_fd=parent)
                self._root.forget()
            else:
                os.unlink(name, dir_fd=parent)

    @staticmethod
    def _node(entry: Entry, parent: int, name: str) -> None:
        if entry.type == "whiteout":
            make_whiteout(name, parent)
            return
        try:
            os.mknod(name, _KINDS[entry.type] | 0o600, os.makedev(*(entry.device or (0, 0))), dir_fd=parent)
        except PermissionError:
            raise SandboxError(
                f"the device /{printable(entry.path)} can't be made by an ordinary user",
                hint="build as root, or leave the device out",
            ) from None

    def fault(self, error: OSError, path: str) -> StoreError:
        """What a fault of the disk is, in words."""
        return of_os_error(error, f"writing /{printable(path)}", self._directory)


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """The bytes of a file, some at a time."""
    while block := source.read(BLOCK):
        yield block


class _Guard:
    """Translates what the disk refuses; cheaper than a generator for one of many thousand files."""

    __slots__ = ("_path", "_writer")

    def __init__(self, writer: TreeWriter, path: str) -> None:
        self._writer = writer
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise self._writer.fault(error, self._path) from error


def _write(fd: int, block: bytes) -> None:
    written = os.write(fd, block)
    if written < len(block):
        _write(fd, block[written:])


def _dress(fd: int, entry: Entry, mtime: int) -> None:
    # In this order: a change of owner clears set-id bits and capabilities.
    _own(fd, entry)
    os.fchmod(fd, entry.mode)
    xattrs.dress(fd, entry.xattrs)
    os.utime(fd, ns=(mtime, mtime))


def _own(place: int | str, entry: Entry, parent: int | None = None) -> None:
    try:
        if isinstance(place, int):
            os.fchown(place, entry.uid, entry.gid)
        else:
            os.chown(place, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        raise SandboxError(
            f"/{printable(entry.path)} belongs to {entry.uid}:{entry.gid}, which this user may not give a file to",
            hint="build as root, or give the user more numbers in /etc/subuid and /etc/subgid",
        ) from None
