"""The store as a destination. Blobs that another process fetches at this moment are waited for, not fetched twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci import Descriptor, Index, Manifest, parse_config
from buildkit_py.oci.media_types import CONFIGS, DOCUMENTS, layer_compression
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.download import fetch_blob
from buildkit_py.registry.parallel import JOBS
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.transfer.destination import Outcome
from buildkit_py.transfer.plan import Node

if TYPE_CHECKING:
    from buildkit_py.store import Store


class StoreDestination:
    """The store, under a lease of the caller's. `name` is what images are called that come without a name, `origin` the
    repository that they come from, so that a later push mounts their layers from there."""

    jobs = JOBS
    keeps_manifests = True

    def __init__(self, store: Store, name: str, retry: Retry, *, origin: Reference | None = None) -> None:
        self._store = store
        self._name = name
        self._retry = retry
        self._origin = origin

    def accept(self, document: Manifest | Index) -> None:
        """The store holds container images alone: everything in it can be inspected, mounted and built upon."""
        if isinstance(document, Index):
            if any(item.media_type not in DOCUMENTS for item in document.manifests):
                raise IntegrityError(f"the index {document.digest} names something else than manifests")
            return
        if document.config.media_type not in CONFIGS:
            kind = document.artifact_type or document.config.media_type
            raise RegistryError(
                f"{document.digest} is not a container image but an artifact of type {kind[:100]!r}",
                hint="the store takes images; copy it to a registry or to oci:DIR",
            )

    def holds(self, root: Node, name: str | None) -> bool:
        """Never: each part is looked at by itself."""
        return False

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """Fetch it, or go on with what an earlier process left of it."""
        if self._store.blobs.has(str(item.digest)):
            return "existing"
        fetched = fetch_blob(item, sources, self._store.blobs, retry=self._retry, progress=progress, cancel=cancel)
        return "copied" if fetched else "existing"

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Take it, a manifest only with a configuration that fits."""
        if isinstance(document, Manifest):
            self._check(document)
            self._remember(document)
        self._store.blobs.put(document.raw)

    def _remember(self, manifest: Manifest) -> None:
        if self._origin is None:
            return
        with self._store.index.transaction(durable=False):
            for layer in manifest.layers:
                self._store.memo.put("origin", str(layer.digest), str(self._origin).partition("@")[0])

    def _check(self, manifest: Manifest) -> None:
        """What is in the store is read without looking at it again, so it is looked at here."""
        config = parse_config(self._store.blobs.read(str(manifest.config.digest)), manifest.config.media_type)
        images = [layer for layer in manifest.layers if layer_compression(layer.media_type) is not None]
        if len(images) == len(manifest.layers) and len(config.diff_ids) != len(images):
            raise IntegrityError(
                f"{manifest.digest} has {len(images)} layers, but its configuration lists {len(config.diff_ids)}"
            )

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """Give the image its name."""
        named = name or self._name
        before = self._store.images.get(named)
        plain = Descriptor(media_type=root.media_type, digest=root.digest, size=root.size)
        self._store.images.put(named, plain.to_plain())
        digest = str(before["digest"]) if before is not None else None
        return digest if digest != str(root.digest) else None
