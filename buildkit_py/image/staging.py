"""Writing an output as a whole or not at all.

A file is made without a name (`O_TMPFILE`), or under a hidden one where the file system can't do that; a directory
under a hidden name that its writer keeps locked. Both are beside the destination, so that the last act is one rename.
What a killed writer left under a hidden name is removed by the next one.

    out/web.oci.tar                          the destination
    out/.web.oci.tar.pybuild-4f1d09ab        not finished; locked while its writer lives
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.errors import OutputError

if TYPE_CHECKING:
    from buildkit_py.store import Store

_MARK = ".pybuild-"
_ATTRIBUTE = "user.pybuild.output"
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CHUNK = 1 << 20


@contextmanager
def new_file(destination: Path, *, known: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write, seekable; it replaces `destination` when the block ends well, and leaves no trace otherwise.

    Where `destination` is a link, what it points to is replaced, if `check_replaceable` takes it or the caller knows
    that it is one of pybuild's (`known`). Unless it is to be `durable`, a loss of power soon after may cost it. Raises
    `OutputError`, also for every failure of the file system inside the block.
    """
    with translated(destination):
        destination = destination.resolve()
        _prepare(destination)
        if not known:
            check_replaceable(destination)
        with _open(destination) as out:
            yield out
            out.flush()
            _make_ours(out.fileno())
            if durable:
                os.fsync(out.fileno())
            _publish(out, destination, durable=durable)


@contextmanager
def new_file_or_stream(destination: Path | None, store: Store, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write as `new_file` gives it; without a destination one that goes to standard output when it is whole,
    and lies in the store without a name until then. Raises `OutputError`."""
    if destination is not None:
        with new_file(destination, durable=durable) as out:
            yield out
        return
    with translated(None), TemporaryFile(dir=store.root) as whole:
        yield whole
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout.buffer, _CHUNK)
        sys.stdout.buffer.flush()


def check_replaceable(destination: Path) -> None:
    """Raise `OutputError` where a file output would take the place of something else than an output.

    Replaced are files that pybuild wrote, which it knows by an extended attribute, other tar archives, and empty files.
    """
    with translated(destination):
        if not destination.exists():
            return
        if not destination.is_file():
            raise OutputError(
                f"{destination} is there and is not a file, so no output can take its place", hint="name another path"
            )
        if not _is_ours(destination) and not _is_tar_or_empty(destination):
            raise OutputError(
                f"{destination} is there and is no archive, so no output takes its place",
                hint="remove it, or name another path",
            )


def _is_tar_or_empty(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
    return not head or head[_TAR_MAGIC_AT:] == _TAR_MAGIC


@contextmanager
def exclusive(destination: Path) -> Iterator[None]:
    """Let one writer at a time make or fill a directory, by a lock on its parent, which is made where it is missing."""
    with translated(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        with locked(destination.parent):
            yield


@contextmanager
def new_directory(destination: Path) -> Iterator[Path]:
    """An empty directory to fill; it takes the place of `destination`. Needs `exclusive`.

    What is there must be empty, or be an earlier output: pybuild replaces what it made, which it knows by an extended
    attribute, and nothing else. Raises `OutputError`, also for every failure of the file system inside the block.
    """
    with translated(destination):
        _prepare(destination)
        earlier = _is_ours(destination)
        if destination.is_symlink() or (destination.exists() and not is_empty(destination) and not earlier):
            raise OutputError(
                f"{destination} exists and is not an empty directory",
                hint="remove it, or name another path: an output never mixes with what is there",
            )
        hidden = hidden_name(destination)
        hidden.mkdir(mode=0o755)
        with locked(hidden) as lock, _removed_on_error(hidden):
            yield hidden
            _make_ours(hidden)
            _sync_tree(lock)
            if earlier:
                _exchange(hidden, destination)
                _remove(hidden)
            else:
                hidden.replace(destination)
        sync(destination.parent)


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        return bool(os.getxattr(path, _ATTRIBUTE))
    return False


def _make_ours(path: Path | int) -> None:
    # Without the attribute the next build may refuse to replace it, which is safe.
    with suppress(OSError):
        os.setxattr(path, _ATTRIBUTE, b"output")


def _exchange(one: Path, other: Path) -> None:
    """Swap two names in one step, so that there is always a whole directory at each."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def is_empty(directory: Path) -> bool:
    """Whether it is a directory without entries."""
    return directory.is_dir() and next(directory.iterdir(), None) is None


def _prepare(destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    for left in destination.parent.glob(f".{_escaped(destination.name)}{_MARK}*"):
        _remove_if_abandoned(left)


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
        finally:
            os.close(fd)


@contextmanager
def _open(destination: Path) -> Iterator[BinaryIO]:
    """A locked file without a name, or with a hidden one where the file system knows no other."""
    try:
        fd, hidden = os.open(destination.parent, os.O_TMPFILE | os.O_RDWR, 0o666), None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        hidden = hidden_name(destination)
        fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with open(fd, "w+b") as out:
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield out
        finally:
            if hidden is not None:
                hidden.unlink(missing_ok=True)


def _publish(out: BinaryIO, destination: Path, *, durable: bool) -> None:
    """Give the open file a hidden name, and with one rename the real one."""
    hidden = hidden_name(destination)
    parent = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(f"/proc/self/fd/{out.fileno()}", hidden.name, dst_dir_fd=parent, follow_symlinks=True)
        with _removed_on_error(hidden):
            hidden.replace(destination)
        if durable:
            os.fsync(parent)
    finally:
        os.close(parent)


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Hold a directory for this process alone; the lock ends with the process. Yields its file descriptor."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def hidden_name(destination: Path) -> Path:
    """A new name beside `destination`, that the next writer takes for abandoned unless it is locked."""
    return destination.with_name(f".{destination.name}{_MARK}{secrets.token_hex(4)}")


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _remove(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def translated(destination: Path | None) -> Iterator[None]:
    """Make an `OutputError` about `destination` of every failure of the file system. Without one it is standard output,
    which the title of the output names."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "free some space, or write it elsewhere" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        if destination is None:
            ended = error.errno == errno.EPIPE
            text = "the program that reads it ended first" if ended else f"it can't be written: {reason}"
            raise OutputError(text, hint=hint) from error
        raise OutputError(f"the output {destination} can't be written: {reason}", hint=hint) from error


def sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_tree(directory: int) -> None:
    """One sync of the file system instead of one a file."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(directory) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
