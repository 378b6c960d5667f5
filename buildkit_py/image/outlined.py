"""What is where in an image, layer by layer, without laying anything down.

What the store knows of an image's trees is used; a layer that nobody looked at yet is read once from its beginning to
its end, and remembered as a build would remember it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from buildkit_py.errors import IntegrityError
from buildkit_py.layer.apply import outline_layer
from buildkit_py.layer.entry import EMPTY_TREE, Diff
from buildkit_py.layer.stored import StoredTrees, image_content_ids
from buildkit_py.layer.tree import Tree

if TYPE_CHECKING:
    from buildkit_py.image.subject import Subject
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store

Bring = Callable[["Subject", list["Descriptor"]], None]
"""Has layers of an image in the store when it returns."""


class OutlinedTrees:
    """The trees of images, as metadata. Used under a lease; `tell` is told of each layer before it is read."""

    def __init__(self, store: Store, bring: Bring, tell: Callable[[Descriptor], None]) -> None:
        self._store = store
        self._bring = bring
        self._tell = tell
        self._trees = StoredTrees(store)

    def diffs(self, subject: Subject) -> list[Diff]:
        """What each layer changes, lowest first. Raises `IntegrityError` where one is not what the image says of it."""
        top = self._learn(subject)
        return [self._trees.diff(digest) for digest in self._trees.chain(top)]

    def tree(self, subject: Subject) -> Tree:
        """The merged view; no file of it can be opened."""
        return self._trees.tree(self._learn(subject))

    def _learn(self, subject: Subject) -> str:
        """Have the store know every tree of the image; gives the content id of the whole."""
        ids = image_content_ids(str(layer.digest) for layer in subject.layers)
        known = next((place for place in range(len(ids), 0, -1) if self._trees.described(ids[place - 1])), 0)
        if known < len(ids):
            self._bring(subject, list(subject.layers[known:]))
        for place in range(known, len(ids)):
            self._read(subject, place, ids)
        return ids[-1] if ids else EMPTY_TREE

    def _read(self, subject: Subject, place: int, ids: list[str]) -> None:
        layer, parent = subject.layers[place], ids[place - 1] if place else EMPTY_TREE
        self._tell(layer)
        with self._store.blobs.verified(str(layer.digest)) as blob:
            outlined = outline_layer(blob, lower=self._trees.tree(parent))
        if outlined.diff_id != str(subject.diff_ids[place]):
            raise IntegrityError(
                f"the layer {layer.digest} holds {outlined.diff_id}, but the configuration of {subject.name} says"
                f" {subject.diff_ids[place]}"
            )
        self._store.blobs.put(outlined.diff.encoded)
        self._store.trees.put(ids[place], parent, outlined.diff.digest)
        self._trees.learn(outlined.diff)
