"""Reading an image's layers, each once and from its blob: every file passes by who watches, and nothing is laid down.

The tree that comes out is the one that unpacking would make: the same code reads the same layers.

    blob ─▶ members ─▶ files ─▶ watchers (secrets, packages)
                  └──▶ diff ──▶ merged tree, and which layer each path comes from
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.layer.apply import outline_layer
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.outline import Outliner
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree, ancestors, same
from buildkit_py.layer.writer import Content
from buildkit_py.scan.model import State

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage


class Tap(Protocol):
    """Takes the bytes of one file."""

    def feed(self, block: bytes) -> None:
        """The next bytes."""

    def end(self, digest: str) -> None:
        """That was all; the digest is that of the whole file (`sha256:…`)."""


class Watcher(Protocol):
    """Says which files it wants to see."""

    def tap(self, layer: int, entry: Entry) -> Tap | None:
        """What takes the bytes of a file of the layer of that number; None where it is of no interest."""

    def laid(self, layer: int, tree: Tree) -> None:
        """A layer was read to its end; `tree` is what there is up to it."""


class _Passing(Outliner):
    """Hands each file's bytes to those who watch."""

    def __init__(self, layer: int, watchers: Sequence[Watcher]) -> None:
        self._layer = layer
        self._watchers = watchers

    def file(self, entry: Entry, content: Iterable[bytes], mtime: int) -> Content:
        """What the file holds."""
        taps = [tap for each in self._watchers if (tap := each.tap(self._layer, entry)) is not None]
        hashed, size = hashlib.sha256(), 0
        for block in content:
            hashed.update(block)
            size += len(block)
            for tap in taps:
                tap.feed(block)
        digest = f"sha256:{hashed.hexdigest()}"
        for tap in taps:
            tap.end(digest)
        return Content(size=size, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a file of a layer: where it is seen, if it is, and else the layer that took it away."""

    state: State
    path: str
    gone: int | None = None


class ReadImage:
    """The merged tree of an image whose layers were read, and each layer's part in it."""

    def __init__(self, tree: Tree, diffs: Sequence[Diff]) -> None:
        self.tree = tree
        self._entries = [{entry.path: entry for entry in diff.entries} for diff in diffs]
        self._links = [_links_of(diff) for diff in diffs]
        self._layers = _layers_of(diffs)
        self._fates: dict[tuple[int, str, str], Fate] = {}

    def layer(self, path: str) -> int:
        """The number of the layer since which a path of the tree is what it is."""
        return self._layers.get(path, 1)

    def paths(self) -> Iterable[str]:
        """Every path that some layer has; not all of them are in the tree."""
        return self._layers

    def fate(self, layer: int, path: str, digest: str) -> Fate:
        """What became of a file of that digest that the layer of that number has at a path."""
        known = self._fates.get((layer, path, digest))
        if known is None:
            known = self._fates[layer, path, digest] = self._fate(layer, path, digest)
        return known

    def _fate(self, layer: int, path: str, digest: str) -> Fate:
        entry = self._entries[layer - 1].get(path)
        if entry is None or entry.digest != digest:
            # Within its own layer something else came to its place.
            return self._lost(path, layer)
        first = entry.target if entry.type == "hardlink" else path
        gone = {name: self._gone(layer, name, digest) for name in (path, first, *self._links[layer - 1].get(first, ()))}
        for name, number in gone.items():
            if name is not None and number is None:
                return Fate(state="visible", path=name)
        return self._lost(path, gone[path] or layer)

    def _lost(self, path: str, gone: int) -> Fate:
        there = self.tree.lookup(path) is not None
        return Fate(state="replaced" if there else "deleted", path=path, gone=gone)

    def _gone(self, layer: int, path: str | None, digest: str) -> int | None:
        """The number of the first layer above that has another file at a path, or hides it."""
        above = list(ancestors(path or ""))
        for number in range(layer, len(self._entries)):
            entries = self._entries[number]
            found = entries.get(path or "")
            if found is not None and found.digest != digest:
                return number + 1
            if any((parent := entries.get(each)) and parent.type != "dir" for each in above):
                return number + 1
        return None


def read_image(
    image: StoredImage, watchers: Sequence[Watcher], begin: Callable[[int], None] = lambda number: None
) -> ReadImage:
    """Read every layer, lowest first; `begin` is told each one's number. All blobs must be in the store.

    Raises `IntegrityError` for a layer that can't be one, or is not the one that the configuration names.
    """
    tree: Tree = EmptyTree()
    diffs: list[Diff] = []
    for number, (layer, diff_id) in enumerate(zip(image.layers, image.config.diff_ids, strict=True), 1):
        begin(number)
        with image.store.blobs.verified(str(layer.digest)) as blob:
            applied = outline_layer(blob, lower=tree, outliner=_Passing(number, watchers))
        if applied.diff_id != str(diff_id):
            raise IntegrityError(f"the layer {layer.digest} does not unpack to its diff id {diff_id}")
        diffs.append(applied.diff)
        tree = ChainTree([(_unopened, diff) for diff in diffs])
        for each in watchers:
            each.laid(number, tree)
    return ReadImage(tree, diffs)


def _unopened(path: str) -> BinaryIO:
    raise StoreError(f"/{path} was read already")


def _links_of(diff: Diff) -> dict[str | None, list[str]]:
    links: dict[str | None, list[str]] = {}
    for entry in diff.entries:
        if entry.type == "hardlink":
            links.setdefault(entry.target, []).append(entry.path)
    return links


def _layers_of(diffs: Sequence[Diff]) -> dict[str, int]:
    """The layer since which each path is what it is; a directory that a layer merely repeats is older."""
    layers: dict[str, int] = {}
    last: dict[str, Entry] = {}
    for number, diff in enumerate(diffs, 1):
        for entry in diff.entries:
            if entry.type == "whiteout":
                layers.pop(entry.path, None)
                last.pop(entry.path, None)
            elif entry.type != "dir" or not same(entry, last.get(entry.path)):
                layers[entry.path], last[entry.path] = number, entry
    return layers
