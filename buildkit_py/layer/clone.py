"""Reflinks: files that share their blocks until one of them is written to (ioctl_ficlone(2); btrfs, XFS and others)."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Literal

from buildkit_py.store.mounts import Mounts

Reflink = Literal["never", "checked", "trusted"]
"""Whether files that are laid down share blocks with those that they are made from: their bytes are `checked` against
the digest all the same, or `trusted` as an overlay trusts what it stacks."""

_FICLONE = 0x40049409
_UNABLE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS)
_SIZE = 1 << 16


def clone(source: int, target: int) -> None:
    """Let the empty file `target` share all blocks of `source`; raises `OSError` where that is not possible."""
    fcntl.ioctl(target, _FICLONE, source)


class Cloner:
    """Makes clones on one file system; where that can't, it is not asked again."""

    def __init__(self, reflink: Reflink) -> None:
        self.trusts = reflink == "trusted"
        self._able = reflink != "never"
        # A small file is as soon copied, if it must be read to be checked.
        self._least = 1 if self.trusts else _SIZE

    def wants(self, source: BinaryIO, size: int) -> bool:
        """Whether it is worth a try: the source must be a whole file that nothing was read of."""
        return self._able and size >= self._least and isinstance(source, io.FileIO)

    def clone(self, source: int, target: int) -> bool:
        """Do it; False where that is not possible."""
        try:
            clone(source, target)
        except OSError as error:
            self._able = error.errno not in _UNABLE
            return False
        return True


def refusal(directory: Path) -> str | None:
    """Why files in a directory can't be reflinked, None where they can. What is made to try it is gone afterwards."""
    try:
        with tempfile.TemporaryFile(dir=directory) as one, tempfile.TemporaryFile(dir=directory) as other:
            os.pwrite(one.fileno(), bytes(_SIZE), 0)
            clone(one.fileno(), other.fileno())
    except OSError as error:
        if error.errno in _UNABLE:
            return f"the file system there ({Mounts().kind(directory)}) has no reflinks"
        return f"{error.strerror} ({directory})"
    return None
