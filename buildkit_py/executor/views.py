"""Views of trees for the programs of this machine: overlays that stay mounted when this process has ended.

Nothing of an image is run through a view, so none of its files can be: a view is `noexec`, `nosuid` and `nodev`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import in_user_namespace, kernel
from buildkit_py.executor.sandbox.overlay import stack
from buildkit_py.executor.snapshotter import Flattened
from buildkit_py.layer.draft import dress_root
from buildkit_py.layer.tree import Tree

_QUIET = kernel.NOSUID | kernel.NODEV | kernel.NOEXEC
_HINTS = {
    errno.EPERM: "mounting needs root; `pybuild shell` looks into an image without mounting anything here",
    errno.EINVAL: "the file system of the store may be one that overlayfs can't stack: choose another with --store DIR",
}


def show(name: str, lowers: Sequence[Path], tree: Tree, place: Path, point: int, *, writable: bool) -> None:
    """Mount stacked directories `lowers` (lowest first), whose merged tree is `tree`, at the open directory `point`,
    called `name` in mount tables. What is needed for it, and what is written to it, lies in the directory `place`.

    Raises `SandboxError`.
    """
    (place / "empty").mkdir()
    stacked = [str(path) for path in Flattened(place).shorten(lowers, tree)]
    if not stacked:
        (place / "nothing").mkdir()
        stacked = [str(place / "nothing")]
    options = stack(place, stacked, userxattr=in_user_namespace())
    if writable:
        options += f",upperdir={_upper(tree, place)},workdir=work,volatile"
    attributes = _QUIET if writable else _QUIET | kernel.READ_ONLY
    try:
        with chdir(place):
            kernel.mount_overlay(f"/proc/self/fd/{point}", options, name=name, attributes=attributes)
    except OSError as error:
        where = os.readlink(f"/proc/self/fd/{point}")
        raise SandboxError(f"can't mount at {where}: {error.strerror}", hint=_HINTS.get(error.errno or 0)) from error


def _upper(tree: Tree, place: Path) -> str:
    for name in ("upper", "work"):
        (place / name).mkdir()
    dress_root(tree, place / "upper")
    return "upper"
