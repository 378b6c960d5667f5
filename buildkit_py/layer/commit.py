"""Committing: the diffs of some steps become one layer blob in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import StoreError
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.compose import Composed, compose
from buildkit_py.layer.tree import EmptyTree

if TYPE_CHECKING:
    from buildkit_py.layer.entry import Entry
    from buildkit_py.layer.stored import StoredTrees
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBlob:
    """A layer in the store: `digest` and `size` (bytes) of the blob, `diff_id` of what is in it."""

    digest: str
    size: int
    diff_id: str
    media_type: str

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        return {name: getattr(self, name) for name in self.__slots__}


def commit(
    store: Store,
    trees: StoredTrees,
    diffs: Sequence[str],
    lower: str | None,
    *,
    compression: str,
    epoch: int,
    took: Callable[[Mapping[str, float]], None],
    check: Callable[[], None],
) -> LayerBlob:
    """Compose `diffs` (digests, lowest first) over the tree `lower` and write them as one blob.

    `lower` (a content id) may be None unless they `needs_lower`: then what is below does not matter. `took` is told the
    seconds of hashing and of compressing. What `check` raises ends it.
    """
    composed = compose([trees.diff(digest) for digest in diffs], trees.tree(lower) if lower else EmptyTree())
    return _write(store, trees, diffs, composed, compression=compression, epoch=epoch, took=took, check=check)


def pack(store: Store, trees: StoredTrees, digest: str, *, compression: str, epoch: int) -> LayerBlob:
    """Write one diff, whose bytes must be `readable`, as a blob by itself, removals too."""
    diff = trees.diff(digest)
    origin = {entry.path: (0, entry.path) for entry in diff.entries if entry.type == "file"}
    alone = Composed(diff=diff, origin=origin)
    return _write(
        store,
        trees,
        [digest],
        alone,
        compression=compression,
        epoch=epoch,
        took=lambda times: None,
        check=lambda: None,
    )


def _write(
    store: Store,
    trees: StoredTrees,
    diffs: Sequence[str],
    composed: Composed,
    *,
    compression: str,
    epoch: int,
    took: Callable[[Mapping[str, float]], None],
    check: Callable[[], None],
) -> LayerBlob:
    with store.blobs.writer() as writer, ExitStack() as stack:
        sources: dict[int, Callable[[str], BinaryIO]] = {}

        def content(entry: Entry) -> BinaryIO:
            number, path = composed.origin[entry.path]
            try:
                if number not in sources:
                    sources[number] = stack.enter_context(trees.opened(diffs[number]))
                return sources[number](path)
            except OSError as error:
                raise StoreError(
                    f"the snapshot {diffs[number]} has lost /{path}: {error.strerror}", hint="run `pybuild store check`"
                ) from None

        written = write_layer(composed.diff, content, writer, compression=compression, epoch=epoch, check=check)
        digest, size = writer.commit()
    took(written.times)
    return LayerBlob(digest=digest, size=size, diff_id=written.diff_id, media_type=written.media_type)
