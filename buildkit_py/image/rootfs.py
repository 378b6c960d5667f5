"""The file tree of an image, without the image: in a directory, or in a plain tar file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.image.staging import exclusive, new_directory, new_file
from buildkit_py.layer.apply import apply_layer
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.draft import Draft, materialise
from buildkit_py.layer.entry import Diff
from buildkit_py.layer.flat import flat
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage


def write_rootfs(image: StoredImage, destination: Path, *, epoch: int) -> None:
    """Write the merged tree, whiteouts applied, owners and modes kept, every time `epoch`.

    A path that ends with `.tar` becomes a tar file, any other a directory: a new one, or in the place of an empty one
    or an earlier output. Layers are unpacked inside the store first, and always from their blobs, so it works
    whichever snapshots the store has.
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
            with image.store.blobs.verified(str(layer.digest)) as blob:
                applied = apply_layer(blob, area.fs, lower=tree)
            if applied.diff_id != str(diff_id):
                raise IntegrityError(f"the layer {layer.digest} does not unpack to its diff id {diff_id}")
            snapshots.append((area.fs, applied.diff))
            tree = ChainTree(snapshots)
        yield tree
