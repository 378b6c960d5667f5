"""The file tree of an image, without the image: in a directory, or in a plain tar file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.image.staging import exclusive, new_directory, new_file
from buildkit_py.layer.apply import apply_layer
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.draft import Draft, materialise
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree, walk

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage


def write_rootfs(image: StoredImage, destination: Path, *, epoch: int) -> None:
    """Write the merged tree, whiteouts applied, owners and modes kept, every time `epoch`.

    A path that ends with `.tar` becomes a tar file, any other a directory, which must be empty or not be there. Layers
    are unpacked inside the store first, and always from their blobs, so it works whichever snapshots the store has.
    """
    with merged(image) as tree:
        diff = flat(tree)
        if destination.suffix == ".tar":
            with new_file(destination) as out:
                write_layer(diff, lambda entry: tree.open(entry.path), out, compression="none", epoch=epoch)
            return
        contents = {entry.path: partial(tree.open, entry.path) for entry in diff.entries if entry.type == "file"}
        with exclusive(destination), new_directory(destination) as directory:
            try:
                materialise(Draft(diff=diff, contents=contents), directory, epoch)
            except StoreError as error:
                # The file system that failed is the destination's, not the store's.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


@contextmanager
def merged(image: StoredImage) -> Iterator[Tree]:
    """The tree of an image, unpacked into work areas of the store, which are removed when the block ends."""
    tree: Tree = EmptyTree()
    snapshots: list[tuple[Path, Diff]] = []
    with ExitStack() as areas:
        for layer, diff_id in zip(image.layers, image.config.diff_ids, strict=True):
            area = areas.enter_context(image.store.snapshots.area())
            with image.store.blobs.open(str(layer.digest)) as blob:
                applied = apply_layer(blob, area.fs, lower=tree)
            if applied.diff_id != str(diff_id):
                raise IntegrityError(f"the layer {layer.digest} does not unpack to its diff id {diff_id}")
            snapshots.append((area.fs, applied.diff))
            tree = ChainTree(snapshots)
        yield tree


def flat(tree: Tree) -> Diff:
    """A whole tree as the diff that makes it out of nothing.

    The first name of a hard link may be gone, or be another file by now: the first name that is left takes its place.
    """
    found = sorted(walk(tree, ""), key=lambda entry: entry.path)
    first = {(entry.path, entry.digest): entry for entry in found if entry.type == "file"}
    for place, entry in enumerate(found):
        if entry.type != "hardlink":
            continue
        original = first.get((str(entry.target), entry.digest))
        if original is not None and _same_file(original, entry):
            found[place] = replace(entry, target=original.path)
        else:
            found[place] = first[str(entry.target), entry.digest] = replace(entry, type="file", target=None)
    return Diff.of(found)


def _same_file(one: Entry, other: Entry) -> bool:
    return (one.mode, one.uid, one.gid, one.xattrs) == (other.mode, other.uid, other.gid, other.xattrs)
