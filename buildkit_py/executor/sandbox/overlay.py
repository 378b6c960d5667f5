"""Overlays of any number of directories, mounted by short names.

overlayfs takes its directories as one string of at most a page, in which `:`, `,` and `\\` have a meaning. So each
directory gets a symbolic link of a few letters in a scratch directory, and the string names the links:

    SCRATCH/<n>/u → upper   w → work   0, 1, 2 … → lowers   m  the mount point
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import kernel

MAX_LOWERS = 499
"""What the kernel allows (OVL_MAX_STACK), but for the empty directory that is always below."""

_OPTIONS = "redirect_dir=nofollow,metacopy=off,index=off"


class Overlays:
    """Mounts overlays below one scratch directory, which lies in memory."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._numbers = itertools.count()

    def writable(self, lowers: Sequence[str], upper: str, work: str, *, userxattr: bool) -> Path:
        """Mount with changes going to `upper`; returns where. Raises `SandboxError`."""
        area = self._area()
        (area / "u").symlink_to(upper)
        (area / "w").symlink_to(work)
        return self._mount(area, lowers, userxattr, ",upperdir=u,workdir=w,volatile")

    def read_only(self, lowers: Sequence[str], *, userxattr: bool) -> Path:
        """Mount what can't be changed."""
        return self._mount(self._area(), lowers, userxattr, "")

    def throw_away(self, lowers: Sequence[str], *, userxattr: bool) -> Path:
        """Mount with changes going to memory."""
        area = self._area()
        for name in ("upper", "work"):
            (area / name).mkdir()
        return self.writable(lowers, str(area / "upper"), str(area / "work"), userxattr=userxattr)

    def _area(self) -> Path:
        area = self._scratch / f"overlay{next(self._numbers)}"
        for name in ("", "m", "empty"):
            (area / name).mkdir()
        return area

    def _mount(self, area: Path, lowers: Sequence[str], userxattr: bool, more: str) -> Path:
        options = stack(area, lowers, userxattr=userxattr) + more
        with chdir(area):
            try:
                kernel.mount_overlay("m", options)
            except OSError as error:
                raise SandboxError(f"can't stack {len(lowers)} directories: {error.strerror}") from error
        return area / "m"


def stack(area: Path, lowers: Sequence[str], *, userxattr: bool) -> str:
    """The options that stack directories, lowest first, upon the directory `empty` of `area`, which has to be the
    working directory of whoever mounts; links are made in it. Raises `SandboxError`.

    A snapshot is named by its diff, and the same diff may come twice: a file copied, removed and copied again.
    overlayfs refuses a directory that it has already. The upper one alone shows the same: whatever the lower one says
    of a path, the upper one says too, and says it last.
    """
    lowers = [*dict.fromkeys(reversed(lowers))][::-1]
    if len(lowers) > MAX_LOWERS:
        raise SandboxError(
            f"a tree of {len(lowers)} snapshots can't be stacked, {MAX_LOWERS} is the most",
            hint="use --snapshotter copy",
        )
    names = [_link(area, number, lower) for number, lower in enumerate(reversed(lowers))]
    return f"{_OPTIONS}{',userxattr' if userxattr else ''},lowerdir={':'.join((*names, 'empty'))}"


def _link(area: Path, number: int, lower: str) -> str:
    name = format(number, "x")
    (area / name).symlink_to(lower)
    return name
