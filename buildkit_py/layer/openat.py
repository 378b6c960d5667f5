"""Opening files below a directory so that no symbolic link and no `..` can lead out of it (openat2, Linux 5.6)."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO

_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10
_libc = ctypes.CDLL(None, use_errno=True)


def openat2(directory: int, path: str, flags: int, *, resolve: int, mode: int = 0) -> int:
    """The system call; raises `OSError`."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    fd: int = _libc.syscall(_OPENAT2, directory, os.fsencode(path), how, len(how))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return fd


def open_directory(path: Path | str) -> int:
    """A descriptor of a directory to start from."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def open_in(root: Path | str | int, path: str) -> BinaryIO:
    """A regular file below `root`, following no link at all; raises `OSError`."""
    return _open_file(root, path, _NO_SYMLINKS | _BENEATH)


def open_beneath(root: Path | str, path: str) -> BinaryIO:
    """A regular file below `root`, following links that stay below it; raises `OSError`."""
    return _open_file(root, path, _BENEATH | _NO_MAGICLINKS)


def _open_file(root: Path | str | int, path: str, resolve: int) -> BinaryIO:
    directory = root if isinstance(root, int) else open_directory(root)
    try:
        # O_NONBLOCK so that a FIFO in the place of the file can't hang the build.
        fd = openat2(directory, path, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
    finally:
        if directory is not root:
            os.close(directory)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(22, "not a regular file", path)
    return open(fd, "rb", buffering=0)
