"""Whiteouts on disk: a character device 0:0 stands for a name that is gone (kernel documentation, overlayfs)."""

from __future__ import annotations

import os
import stat

from buildkit_py.errors import StoreError


def make_whiteout(name: str, directory: int) -> None:
    """Make one in an open directory; raises `StoreError` where the file system, as an overlay does, refuses that."""
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)
    except PermissionError:
        raise StoreError(
            "the file system of the store can't keep that a file was removed; it seems to be an overlay itself",
            hint="in a container, put the store on a volume: --store DIR, or PYBUILD_STORE",
        ) from None
