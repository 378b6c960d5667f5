"""How a step gets a tree to change: stacked by overlayfs, or copied where that can't be mounted.

Both end the same way: the area's `fs` holds the changes in the form of a snapshot, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import DirectoryRoot, OverlayRoot, in_user_namespace
from buildkit_py.layer.draft import checkout, dress_root
from buildkit_py.layer.upper import collect, collect_full

if TYPE_CHECKING:
    from buildkit_py.executor.sandbox import Runner
    from buildkit_py.layer.entry import Diff
    from buildkit_py.layer.tree import Tree
    from buildkit_py.store.snapshots import Area


class View(Protocol):
    """A writable view of one tree."""

    @property
    def root(self) -> OverlayRoot | DirectoryRoot:
        """As the sandbox takes it."""

    def collect(self, lower: Tree, *, stubs: Collection[str], epoch: int) -> Diff:
        """What was changed, left as a snapshot in the area."""


class Snapshotter(Protocol):
    """Makes views. `userxattr` says how overlays, those of mounts too, are to be mounted here."""

    @property
    def userxattr(self) -> bool:
        """Whether overlays need it here."""

    def view(self, lowers: Sequence[Path], area: Area, lower: Tree) -> View:
        """A view of the stacked directories (lowest first) whose merged tree is `lower`."""


@dataclass(frozen=True, slots=True)
class OverlayView:
    """Changes land in the area's `fs`, the upper directory."""

    root: OverlayRoot
    upper: Path

    def collect(self, lower: Tree, *, stubs: Collection[str], epoch: int) -> Diff:
        """Read the upper directory."""
        return collect(self.upper, lower, epoch=epoch, stubs=stubs)


@dataclass(frozen=True, slots=True)
class OverlaySnapshotter:
    """Stacks by overlayfs; `userxattr` inside a user namespace."""

    userxattr: bool

    def view(self, lowers: Sequence[Path], area: Area, lower: Tree) -> OverlayView:
        """Nothing is copied."""
        dress_root(lower, area.fs)
        root = OverlayRoot(
            lowers=tuple(map(str, lowers)), upper=str(area.fs), work=str(area.work), userxattr=self.userxattr
        )
        return OverlayView(root, area.fs)


@dataclass(frozen=True, slots=True)
class CopyView:
    """Changes land in a full copy and are moved to the area's `fs` afterwards."""

    root: DirectoryRoot
    tree: Path
    upper: Path

    def collect(self, lower: Tree, *, stubs: Collection[str], epoch: int) -> Diff:
        """Compare the copy with what it was made from."""
        return collect_full(self.tree, lower, self.upper, epoch=epoch, stubs=stubs)


@dataclass(frozen=True, slots=True)
class CopySnapshotter:
    """Copies the whole tree for every step (by reference where the file system can)."""

    userxattr: bool

    def view(self, lowers: Sequence[Path], area: Area, lower: Tree) -> CopyView:
        """A private copy below the area."""
        tree = area.work / "tree"
        tree.mkdir()
        checkout(lower, tree)
        return CopyView(DirectoryRoot(path=str(tree)), tree, area.fs)


def pick_snapshotter(name: str, runner: Runner, directory: Path, note: Callable[[str], None]) -> Snapshotter:
    """The snapshotter of that name; `auto` takes overlayfs where it can be mounted, and says so where it can't."""
    userxattr = in_user_namespace()
    if name == "copy":
        return CopySnapshotter(userxattr=userxattr)
    refusal = runner.overlay_refusal(directory, userxattr=userxattr)
    if refusal is None:
        return OverlaySnapshotter(userxattr=userxattr)
    if name == "overlay":
        raise SandboxError(f"overlayfs can't be used: {refusal}", hint="use --snapshotter copy")
    note(f"overlayfs can't be used ({refusal}): every step works on a copy of its tree, which is slower")
    return CopySnapshotter(userxattr=userxattr)
