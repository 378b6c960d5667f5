"""Images: pinned by their documents alone; layers are fetched and unpacked when a step needs their bytes.

What the store remembers of an image, so that nobody has to be asked again (kinds of `store.memo`):

    image    manifest digest → content id (the chain id of all layers)
    origin   layer digest    → the reference it can be fetched from
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.executor.source.meter import Meter
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.platform import Platform
from buildkit_py.registry.pull import PulledImage, fetch_layers, fetch_metadata, stored_documents, stored_image

if TYPE_CHECKING:
    from buildkit_py.executor.workshop import Workshop
    from buildkit_py.graph.op import ImageSource
    from buildkit_py.oci import Descriptor, ImageConfigDoc, Manifest
    from buildkit_py.registry.blobs import ImageReader, Progress
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.store import Store

Tell = Callable[[int, int | None], None]
"""Told how many bytes were moved, and of how many, where that is known."""


class Images:
    """Reads images for one build; connections are shared. Local paths are relative to `directory`."""

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._client: RegistryClient | None = None

    @property
    def client(self) -> RegistryClient:
        """The way to registries, configured when it is first needed."""
        if self._client is None:
            from buildkit_py.registry.client import RegistryClient
            from buildkit_py.registry.config import load

            self._client = RegistryClient(load())
        return self._client

    def describe(self, ref: str, platform: Platform, digest: str | None = None) -> PulledImage:
        """Pin an image (at `digest`, if it is given) and remember what it consists of."""
        reader = self._reader(ref)
        known = stored_image(reader, digest, self._store) if digest is not None else None
        pinned = Digest.parse(digest) if digest is not None else None
        pulled = known or fetch_metadata(reader, platform, self._store, pinned=pinned)
        self._remember(ref, pulled)
        return pulled

    def documents(self, op: ImageSource) -> tuple[Manifest, ImageConfigDoc]:
        """Manifest and configuration of a pinned image; nobody is asked for what the store has."""
        known = stored_documents(op.digest, self._store) if op.digest is not None else None
        if known is not None:
            return known
        pulled = self.describe(op.ref, Platform.parse(op.platform), op.digest)
        return pulled.manifest, pulled.config

    def unpack(self, shop: Workshop, op: ImageSource, cancelled: Event, tell: Tell) -> str:
        """Bring an image's tree into the store; returns its content id. `tell` gets the bytes that were fetched."""
        pulled = self.describe(op.ref, Platform.parse(op.platform), op.digest)
        parent = EMPTY_TREE
        chain = [str(each) for each in pulled.chain_ids]
        missing = [not shop.trees.complete(content_id) for content_id in chain]
        if any(missing):
            wanted = {layer.digest: layer for layer, lacks in zip(pulled.layers, missing, strict=True) if lacks}
            absent = [layer.size for layer in wanted.values() if not self._store.blobs.has(str(layer.digest))]
            meter = Meter(tell, sum(absent))
            fetch_layers(pulled, self._store, only=wanted, cancel=cancelled.is_set, progress=meter)
        for layer, diff_id, content_id in zip(pulled.layers, pulled.diff_ids, chain, strict=True):
            with self._store.lock(f"unpack-{content_id}"):
                if not shop.trees.complete(content_id):
                    self._unpack_layer(shop, layer, str(diff_id), parent, content_id)
            parent = content_id
        return parent

    def fetch(self, descriptors: Iterable[Descriptor], progress: Progress | None = None) -> None:
        """Bring layers that were left where they are into the store."""
        from buildkit_py.registry.download import fetch_blobs

        by_origin: dict[str, list[Descriptor]] = {}
        for descriptor in descriptors:
            by_origin.setdefault(self._origin(descriptor), []).append(descriptor)
        for ref, wanted in by_origin.items():
            sources = self._reader(ref).sources()
            fetch_blobs(wanted, sources, self._store.blobs, retry=self.client.retry, progress=progress)

    def _origin(self, descriptor: Descriptor) -> str:
        ref: str | None = self._store.memo.get("origin", str(descriptor.digest))
        if ref is None:
            raise IntegrityError(f"the blob {descriptor.digest} is not in the store", hint="build once with --no-cache")
        return ref

    def _reader(self, ref: str) -> ImageReader:
        from buildkit_py.registry.source import open_reader

        return open_reader(ref, self.client, directory=self._directory)

    def _remember(self, ref: str, pulled: PulledImage) -> None:
        from buildkit_py.registry.source import is_local

        digest = str(pulled.digest)
        if self._store.memo.get("image", digest) is not None:
            return
        origin = self._absolute(ref) if is_local(ref) else ref.partition("@")[0]
        with self._store.transaction():
            for layer in pulled.layers:
                self._store.memo.put("origin", str(layer.digest), origin)
            content_id = str(pulled.chain_ids[-1]) if pulled.layers else EMPTY_TREE
            self._store.memo.put("image", digest, {"content_id": content_id})

    def _absolute(self, ref: str) -> str:
        kind, _, rest = ref.partition(":")
        return f"{kind}:{(self._directory / rest).absolute()}"

    def _unpack_layer(self, shop: Workshop, layer: Descriptor, diff_id: str, parent: str, content_id: str) -> None:
        from buildkit_py.layer.apply import apply_layer

        with self._store.snapshots.area() as area, self._store.blobs.open(str(layer.digest)) as blob:
            applied = apply_layer(blob, area.fs, lower=shop.trees.tree(parent))
            if applied.diff_id != diff_id:
                raise IntegrityError(
                    f"the layer {layer.digest} holds {applied.diff_id}, but the image's configuration says {diff_id}"
                )
            self._store.snapshots.commit(area, applied.diff.digest, applied.diff.encoded, applied.size)
        self._store.trees.put(content_id, parent, applied.diff.digest)
