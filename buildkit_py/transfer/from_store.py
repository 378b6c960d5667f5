"""An image of the store as a source; layers that were left in the registry of a base are read from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError, SourceInputError
from buildkit_py.image.view import find
from buildkit_py.oci import Descriptor, check_bytes
from buildkit_py.reference import Reference, is_local
from buildkit_py.registry.blobs import BlobSource, BlobStream
from buildkit_py.registry.layout import Span

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Images
    from buildkit_py.store import Store


class StoreReader:
    """An image by its name in the store, or by how its digest begins. Under a lease of the caller's."""

    def __init__(self, store: Store, name: str, images: Images) -> None:
        self.name = name
        self.pinned: Digest | None = None
        self._store = store
        self._images = images

    def root(self) -> tuple[bytes, Descriptor]:
        """The manifest or index of that name; raises `NotFoundError`."""
        descriptor = find(self._store, self.name)
        return self.document(descriptor), descriptor

    def by_digest(self, digest: Digest) -> bytes:
        """A document of the store."""
        return self._store.blobs.read(str(digest))

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest, an index or a configuration, checked against its descriptor."""
        raw = self._store.blobs.read(str(descriptor.digest))
        check_bytes(raw, descriptor, f"{descriptor.digest} of {self.name}")
        return raw

    def sources(self) -> Sequence[BlobSource]:
        """The store, and where what is not in it was left."""
        return [self._stored, self._elsewhere]

    def origin(self, item: Descriptor) -> Reference | None:
        """The repository that a blob was last seen in."""
        ref = self._store.memo.get("origin", str(item.digest))
        return Reference.parse(ref) if ref is not None and not is_local(ref) else None

    def _stored(self, item: Descriptor, offset: int) -> BlobStream:
        digest = str(item.digest)
        if not self._store.blobs.has(digest):
            raise SourceInputError(f"the blob {digest} is not in the store")
        return Span(self._store.blobs.open(digest), offset, item.size, offset)

    def _elsewhere(self, item: Descriptor, offset: int) -> BlobStream:
        sources = self._images.elsewhere(item)
        for source in sources[:-1]:
            try:
                return source(item, offset)
            except (RegistryError, IntegrityError, SourceInputError):
                continue
        return sources[-1](item, offset)
