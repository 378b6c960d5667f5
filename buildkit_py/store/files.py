"""Durable writes and safe removals: the few operations on files that the whole store is made of.

Nothing here follows a link: files are opened with `O_NOFOLLOW`, trees are removed relative to open directories.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from buildkit_py.store.faults import of_os_error

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o644
_CHUNK = 1 << 20
_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHIES = 0x80086601, 0x40086602, 0x00020000


@contextmanager
def directory(path: str | os.PathLike[str], *, dir_fd: int | None = None) -> Iterator[int]:
    """The descriptor of a directory that is not a link."""
    fd = os.open(path, DIRECTORY, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def refuse_link(path: Path) -> None:
    """Raise `OSError` (ELOOP) where a link, or a file, stands in the place of a directory."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


def fsync_directory(path: Path) -> None:
    """Make the names inside a directory durable."""
    with directory(path) as fd:
        os.fsync(fd)


def spread(path: Path) -> None:
    """Tell the file system that what will be below a directory are trees that have nothing to do with each other.

    ext4 then looks for room for each in a part of the disk of its own (ioctl_iflags(2), `FS_TOPDIR_FL`). In one part,
    without a journal, it would look through every file that was lately deleted there for each that is made. A hint:
    where it can't be given, nothing is lost.
    """
    with suppress(OSError), directory(path) as fd:
        flags = bytearray(8)
        fcntl.ioctl(fd, _GET_FLAGS, flags)
        wanted = int.from_bytes(flags[:4], sys.byteorder) | _TOP_OF_HIERARCHIES
        fcntl.ioctl(fd, _SET_FLAGS, wanted.to_bytes(8, sys.byteorder))


def sync_file_system(fd: int) -> None:
    """Write out the file system that `fd` lies on; raises `OSError` on any write-back error since `fd` was opened."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_new(path: Path, data: bytes, *, durable: bool) -> None:
    """Make a file that must not exist yet, with mode 0644 whatever the umask is."""
    fd = os.open(path, NEW_FILE, 0o600)
    try:
        write_all(fd, data)
        os.fchmod(fd, FILE_MODE)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, scratch: Path) -> None:
    """Give `path` a new content, atomically and durably, by way of the temporary name `scratch`."""
    try:
        write_new(scratch, data, durable=True)
        scratch.rename(path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink()
        raise
    fsync_directory(path.parent)


def publish(fd: int, source: Path, target: Path) -> None:
    """Make the file `source`, open as `fd`, durable, and give it its final name."""
    os.fchmod(fd, FILE_MODE)
    os.fsync(fd)
    if not target.parent.is_dir():
        with suppress(FileExistsError):
            target.parent.mkdir()
            target.parent.chmod(0o755)
        fsync_directory(target.parent.parent)
    refuse_link(target.parent)
    source.rename(target)
    fsync_directory(target.parent)


def is_regular(path: Path) -> bool:
    """Whether a regular file, not a link to one, has that name."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise of_os_error(error, "looking for a file", path) from error


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file, one more than `limit` at the most."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(limit + 1)


def remove(path: Path) -> None:
    """Remove a file or a whole tree; what is not there is fine.

    A directory that is not empty is first moved up to the top of the tree, then emptied: two descriptors are enough
    for any depth. A directory is entered only after rmdir(2) refused it as not empty; on a mount point that fails with
    EBUSY instead, so nothing is ever removed through a mount.
    """
    with directory(path.parent) as parent:
        remove_in(parent, path.name)


def remove_in(parent: int, name: str) -> None:
    """The same for a name in an open directory."""
    with suppress(FileNotFoundError):
        if _unlinked(name, parent):
            return
        with _writable(name, parent) as top:
            _remove_below(top)
        os.rmdir(name, dir_fd=parent)


def _remove_below(top: int) -> None:
    fresh = (f"removing-{number}" for number in count())
    pending = [name for name in os.listdir(top) if not _unlinked(name, top)]
    while pending:
        name = pending.pop()
        with _writable(name, top) as inner:
            for child in os.listdir(inner):
                if not _unlinked(child, inner):
                    pending.append(_move(child, inner, top, fresh))
        os.rmdir(name, dir_fd=top)


def _unlinked(name: str, parent: int) -> bool:
    """Remove a file, or an empty directory; False for a directory with something in it."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
    return True


def _move(name: str, source: int, top: int, fresh: Iterator[str]) -> str:
    for target in fresh:
        try:
            os.rename(name, target, src_dir_fd=source, dst_dir_fd=top)
        except PermissionError:
            # An ordinary user may move a directory only while it is writable.
            os.chmod(name, 0o700, dir_fd=source)
            os.rename(name, target, src_dir_fd=source, dst_dir_fd=top)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                continue
            raise
        return target
    raise AssertionError("unreachable: the names never end")


@contextmanager
def _writable(name: str, parent: int) -> Iterator[int]:
    try:
        fd = os.open(name, DIRECTORY, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        fd = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        if not os.access(name, os.W_OK | os.X_OK, dir_fd=parent, effective_ids=True):
            os.fchmod(fd, 0o700)
        yield fd
    finally:
        os.close(fd)


def names(path: Path) -> list[str]:
    """The sorted names inside a directory that is not a link."""
    with directory(path) as fd:
        return sorted(os.listdir(fd))


def tree_size(path: Path) -> int:
    """The bytes of all files of a tree, each hard-linked file once; what vanishes meanwhile counts nothing."""
    total, seen, pending = 0, set(), [os.fspath(path)]
    while pending:
        with suppress(FileNotFoundError, PermissionError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif state.st_nlink == 1 or state.st_ino not in seen:
                    seen.add(state.st_ino)
                    total += state.st_size
    return total


def free_bytes(path: Path) -> int | None:
    """What the file system of a path has left for this user; None where it has no size to tell, as ramfs."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize if state.f_blocks else None


def file_digest(path: Path, algorithm: str) -> str:
    """The digest of a regular file's bytes."""
    state = hashlib.new(algorithm)
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return f"{algorithm}:{state.hexdigest()}"
