"""Files reached through descriptors only, so that no link can lead out of a root.

`openat2(2)` is called by number (437 on every architecture) because Python has no name for it.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 2, 4, 8
_NO_LINKS = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS
_INSIDE = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS
_ATTEMPTS = 100
_OUTSIDE = "it leads out of the directory"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_below(directory: int, path: str, flags: int = os.O_RDONLY, *, links: bool = False) -> int:
    """Open `path` below an open directory and give the descriptor; raises `OSError`.

    Links are refused (ELOOP), or with `links` followed as long as they stay below (else EXDEV).
    """
    resolve = _INSIDE if links else _NO_LINKS
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    name = os.fsencode(path) or b"."
    for _ in range(_ATTEMPTS):
        fd: int = _libc.syscall(
            ctypes.c_long(_OPENAT2), ctypes.c_int(directory), name, ctypes.byref(how), ctypes.c_size_t(24)
        )
        if fd >= 0:
            return fd
        # EAGAIN: a rename elsewhere raced with the walk, and the kernel can't tell whether it left the root.
        if ctypes.get_errno() != errno.EAGAIN:
            break
    number = ctypes.get_errno()
    raise OSError(number, _OUTSIDE if number == errno.EXDEV else os.strerror(number), path)


def open_directory(path: Path) -> int:
    """Open a root; the caller closes it."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_name(directory: int, name: str) -> int:
    """Open the regular file of that name in an open directory; no link is followed, and nothing blocks."""
    return _regular(open_any(directory, name), name)


def open_any(directory: int, name: str) -> int:
    """The same for who looks at what was opened: it may be anything but a link."""
    return os.open(name, _PLAIN, dir_fd=directory)


def open_regular(directory: int, path: str, *, links: bool = False) -> BinaryIO:
    """Open a regular file below a directory for reading; anything else raises `OSError`, and never blocks."""
    fd = open_below(directory, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, links=links)
    return os.fdopen(_regular(fd, path), "rb", buffering=0)


def _regular(fd: int, name: str) -> int:
    """A descriptor that was just opened, if it is of a regular file."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return fd


def open_in(root: Path, path: str) -> BinaryIO:
    """Open the regular file `path` of a tree, following no link at all; raises `OSError`."""
    with Root(root) as tree:
        return open_regular(tree.fd, path.lstrip("/"))


def open_beneath(root: Path, path: str) -> BinaryIO:
    """Open a regular file below `root`; links may be followed as long as none leaves it. Raises `OSError`."""
    with Root(root) as tree:
        return open_regular(tree.fd, path.lstrip("/"), links=True)


class Root:
    """An open directory and, kept open, the directory below it that was used last. A context manager.

    One that is given as `fd` belongs to who gave it: then only `forget` is to be called.
    """

    def __init__(self, path: Path, fd: int | None = None) -> None:
        self.fd = open_directory(path) if fd is None else fd
        self._last = ""
        self._last_fd = -1

    def __enter__(self) -> Root:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close both."""
        self.forget()
        os.close(self.fd)

    def forget(self) -> None:
        """Close the directory that was used last, before it is removed."""
        if self._last_fd >= 0:
            os.close(self._last_fd)
            self._last_fd = -1

    def parent(self, path: str) -> tuple[int, str]:
        """The descriptor of the directory that holds `path`, valid until the next call, and the last name."""
        folder, _, name = path.rpartition("/")
        if not folder:
            return self.fd, name
        if folder != self._last or self._last_fd < 0:
            fd = open_below(self.fd, folder, DIRECTORY)
            self.forget()
            self._last, self._last_fd = folder, fd
        return self._last_fd, name

    def open(self, path: str) -> BinaryIO:
        """Open a regular file below it for reading, as `open_regular` does; raises `OSError`."""
        return io.FileIO(open_name(*self.parent(path)), "rb")
