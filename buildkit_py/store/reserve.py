"""A little room that is kept back on the disk, so that a full one can still be cleaned up.

SQLite writes before it reads: with no byte left no index can be opened, not even by what would make room. Whoever is
about to remove something gives this room up first; it is taken again as soon as there is plenty.

    ROOT/reserve             nothing, in as many bytes as an index needs to be opened and written to
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from buildkit_py.store import files

NAME = "reserve"
SIZE = 256 << 10
_PLENTY = 64 * SIZE
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def keep(root: Path) -> None:
    """Have the room, where it is not had yet and there is plenty of it; no failure of that costs anything."""
    path = root / NAME
    with suppress(OSError):
        with suppress(FileNotFoundError):
            if path.lstat().st_size >= SIZE:
                return
        if (files.free_bytes(root) or 0) >= _PLENTY:
            fd = os.open(path, _FLAGS, 0o600)
            try:
                os.posix_fallocate(fd, 0, SIZE)
            finally:
                os.close(fd)


def give_up(root: Path) -> None:
    """Give the room up, where there is no other."""
    with suppress(OSError):
        if (files.free_bytes(root) or 0) < SIZE:
            fd = os.open(root / NAME, _FLAGS & ~os.O_CREAT)
            try:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)
