"""How a step gets a tree to change, and trees to look at: stacked by overlayfs, or copied where that can't be mounted.

    overlay   stacked: nothing is copied
    reflink   a copy of the tree whose files share the blocks of the store's until they are changed
    copy      a copy of every byte

All end the same way: the area's `fs` holds the changes in the form of a snapshot, and nothing else.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Protocol

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import BindMount, DirectoryRoot, OverlayMount, OverlayRoot, in_user_namespace
from buildkit_py.executor.sandbox.overlay import MAX_LOWERS
from buildkit_py.layer import clone
from buildkit_py.layer.draft import checkout, dress_root
from buildkit_py.layer.upper import collect, collect_full

if TYPE_CHECKING:
    from buildkit_py.executor.sandbox import Runner
    from buildkit_py.graph import op
    from buildkit_py.layer.entry import Diff
    from buildkit_py.layer.tree import Tree
    from buildkit_py.layer.upper import Attributes
    from buildkit_py.store.snapshots import Area


class View(Protocol):
    """A writable view of one tree."""

    @property
    def root(self) -> OverlayRoot | DirectoryRoot:
        """As the sandbox takes it."""

    def collect(
        self, lower: Tree, *, stubs: Collection[str], epoch: int, attributes: Attributes, cancelled: Event
    ) -> Diff:
        """What was changed, left as a snapshot in the area; `attributes` are those that it keeps."""


class Snapshotter(Protocol):
    """Shows stacked directories `lowers` (lowest first), whose merged tree is `lower`."""

    def view(self, lowers: Sequence[Path], area: Area, lower: Tree) -> View:
        """As the tree that a step changes."""

    def scratch(self, lowers: Sequence[Path], lower: Tree, place: Path) -> OverlayRoot | DirectoryRoot:
        """As a root whose changes, below the new directory `place`, nobody keeps."""

    def mount(self, mount: op.BindMount, lowers: Sequence[Path], lower: Tree, place: Path) -> OverlayMount | BindMount:
        """As a mount; what is written to it lies below the new directory `place`, or in memory."""


@dataclass(frozen=True, slots=True)
class OverlayView:
    """Changes land in the area's `fs`, the upper directory."""

    root: OverlayRoot
    upper: Path

    def collect(
        self, lower: Tree, *, stubs: Collection[str], epoch: int, attributes: Attributes, cancelled: Event
    ) -> Diff:
        """Read the upper directory."""
        return collect(self.upper, lower, epoch=epoch, stubs=stubs, attributes=attributes, cancelled=cancelled)


@dataclass(frozen=True, slots=True)
class Flattened:
    """Trees of more directories than overlayfs stacks, each laid down once as a single one below `directory`."""

    directory: Path
    _made: dict[tuple[Path, ...], Path] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shorten(self, lowers: Sequence[Path], lower: Tree) -> Sequence[Path]:
        """Directories that show the same and can be stacked; a tree that grew from one laid down starts with that."""
        if len(lowers) <= MAX_LOWERS:
            return lowers
        with self._lock:
            known = max((made for made in self._made if tuple(lowers[: len(made)]) == made), key=len, default=())
            if len(lowers) - len(known) >= MAX_LOWERS:
                known = tuple(lowers)
                self._made[known] = self._lay_down(lower)
            return (self._made[known], *lowers[len(known) :])

    def _lay_down(self, tree: Tree) -> Path:
        place = Path(tempfile.mkdtemp(dir=self.directory))
        checkout(tree, place, reflink="trusted")
        return place


@dataclass(frozen=True, slots=True)
class OverlaySnapshotter:
    """Stacks by overlayfs; `userxattr` inside a user namespace."""

    userxattr: bool
    flattened: Flattened

    def view(self, lowers: Sequence[Path], area: Area, lower: Tree) -> View:
        """Nothing is copied."""
        dress_root(lower, area.fs)
        return OverlayView(self._root(self.flattened.shorten(lowers, lower), area.fs, area.work), area.fs)

    def scratch(self, lowers: Sequence[Path], lower: Tree, place: Path) -> OverlayRoot | DirectoryRoot:
        """Nothing is copied."""
        return self._root(self.flattened.shorten(lowers, lower), *self._changes(lower, place))

    def _changes(self, lower: Tree, place: Path) -> tuple[Path, Path]:
        upper, work = place / "fs", place / "work"
        for directory in (upper, work):
            directory.mkdir(parents=True)
        dress_root(lower, upper)
        return upper, work

    def mount(self, mount: op.BindMount, lowers: Sequence[Path], lower: Tree, place: Path) -> OverlayMount | BindMount:
        """Nothing is copied."""
        shown = OverlayMount(
            lowers=tuple(map(str, self.flattened.shorten(lowers, lower))),
            target=mount.target,
            path=mount.source,
            read_only=mount.read_only,
            userxattr=self.userxattr,
        )
        if mount.read_only:
            return shown
        upper, work = self._changes(lower, place)
        return replace(shown, upper=str(upper), work=str(work))

    def _root(self, lowers: Sequence[Path], upper: Path, work: Path) -> OverlayRoot:
        return OverlayRoot(lowers=tuple(map(str, lowers)), upper=str(upper), work=str(work), userxattr=self.userxattr)


@dataclass(frozen=True, slots=True)
class CopyView:
    """Changes land in a full copy and are moved to the area's `fs` afterwards."""

    root: DirectoryRoot
    tree: Path
    upper: Path

    def collect(
        self, lower: Tree, *, stubs: Collection[str], epoch: int, attributes: Attributes, cancelled: Event
    ) -> Diff:
        """Compare the copy with what it was made from."""
        return collect_full(
            self.tree, lower, self.upper, epoch=epoch, stubs=stubs, attributes=attributes, cancelled=cancelled
        )


@dataclass(frozen=True, slots=True)
class CopySnapshotter:
    """Copies the whole tree for every step; `reflink` says whether its files may share blocks with the store's."""

    reflink: clone.Reflink = "never"

    def view(self, lowers: Sequence[Path], area: Area, lower: Tree) -> CopyView:
        """A private copy below the area."""
        tree = area.work / "tree"
        return CopyView(self.scratch(lowers, lower, tree), tree, area.fs)

    def scratch(self, lowers: Sequence[Path], lower: Tree, place: Path) -> DirectoryRoot:
        """A private copy."""
        place.mkdir()
        checkout(lower, place, share=False, reflink=self.reflink)
        return DirectoryRoot(path=str(place))

    def mount(self, mount: op.BindMount, lowers: Sequence[Path], lower: Tree, place: Path) -> BindMount:
        """A private copy."""
        root = self.scratch(lowers, lower, place)
        return BindMount(
            source=root.path, target=mount.target, path=mount.source, read_only=mount.read_only, private=True
        )


NAMES = ("overlay", "reflink", "copy")
"""The snapshotters, best first."""
_ABLE = {"overlay": "overlayfs can't be used", "reflink": "files can't be cloned"}


def pick_snapshotter(name: str, runner: Runner, directory: Path, note: Callable[[str], None]) -> Snapshotter:
    """The snapshotter of that name; `auto` takes the first that can be used, and says so where that is not overlayfs.

    `directory` is on the file system of the snapshots; who made it removes it with what is in it. Raises `SandboxError`
    where the one that was named can't be used.
    """
    if name != "auto":
        refusal = refusal_of(name, runner, directory)
        if refusal is not None:
            raise SandboxError(f"{_ABLE[name]}: {refusal}", hint="use --snapshotter copy, or leave it out")
        return _made(name, directory)
    refusals = {}
    for each in NAMES:
        refusal = refusal_of(each, runner, directory)
        if refusal is None:
            break
        refusals[each] = refusal
    if refusals:
        how = "a copy of its tree with reflinks" if each == "reflink" else "a copy of its tree"
        note(f"overlayfs can't be used ({refusals['overlay']}): every step works on {how}, which is slower")
    return _made(each, directory)


def refusal_of(name: str, runner: Runner, directory: Path) -> str | None:
    """Why a snapshotter can't be used for snapshots on the file system of `directory`, None where it can."""
    if name == "overlay":
        return runner.overlay_refusal(directory, userxattr=in_user_namespace())
    return clone.refusal(directory) if name == "reflink" else None


def _made(name: str, directory: Path) -> Snapshotter:
    if name == "overlay":
        return OverlaySnapshotter(userxattr=in_user_namespace(), flattened=Flattened(directory))
    return CopySnapshotter(reflink="trusted" if name == "reflink" else "never")
