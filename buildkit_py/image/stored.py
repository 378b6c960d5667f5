"""An image in the store, read through its documents. Layers are named here, never opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, NotFoundError
from buildkit_py.oci import Descriptor, ImageConfigDoc, Index, Manifest, choose, read_config, read_document
from buildkit_py.platform import Platform

if TYPE_CHECKING:
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One image of one platform. `descriptor` is the manifest's."""

    store: Store
    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfigDoc

    @classmethod
    def load(cls, store: Store, descriptor: Descriptor | Mapping[str, Any]) -> StoredImage:
        """Read a manifest and its configuration; raises `IntegrityError` where the descriptor is an index's."""
        described = described_by(descriptor)
        document = read(store, described)
        if not isinstance(document, Manifest):
            raise IntegrityError(f"{described.digest} is an index of several platforms, not one image")
        config = read_config(store.blobs.read(str(document.config.digest)))
        return cls(store=store, descriptor=described, manifest=document, config=config)

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers' descriptors, lowest first."""
        return self.manifest.layers

    @property
    def platform(self) -> Platform | None:
        """What the configuration says; None where it says nothing usable."""
        return self.config.platform

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Everything that the image is made of, each once: manifest, configuration, layers."""
        return _unique((self.descriptor, self.manifest.config, *self.layers))

    @property
    def size(self) -> int:
        """The bytes of all its blobs."""
        return sum(item.size for item in self.blobs)


def described_by(descriptor: Descriptor | Mapping[str, Any]) -> Descriptor:
    """A descriptor as a record, whichever form it came in."""
    return descriptor if isinstance(descriptor, Descriptor) else Descriptor.from_plain(descriptor)


def read(store: Store, descriptor: Descriptor) -> Manifest | Index:
    """The manifest or index that a descriptor names."""
    return read_document(store.blobs.read(str(descriptor.digest)), descriptor.media_type)


def images(store: Store, descriptor: Descriptor | Mapping[str, Any]) -> Iterator[StoredImage]:
    """Every image that a manifest's or an index's descriptor leads to."""
    described = described_by(descriptor)
    document = read(store, described)
    if isinstance(document, Manifest):
        yield StoredImage.load(store, described)
        return
    for item in document.manifests:
        yield StoredImage.load(store, item)


def one_image(
    store: Store, descriptor: Descriptor | Mapping[str, Any], platform: Platform | None = None
) -> StoredImage:
    """The image itself, or that of `platform` (else of the host, else the only one) in an index.

    Raises `NotFoundError` where an index does not say which one is meant.
    """
    described = described_by(descriptor)
    document = read(store, described)
    if isinstance(document, Manifest):
        return StoredImage.load(store, described)
    if len(document.manifests) == 1 and platform is None:
        return StoredImage.load(store, document.manifests[0])
    found = choose(document, platform or Platform.host())
    if found is None:
        offered = ", ".join(str(item.platform) for item in document.manifests)
        raise NotFoundError(f"the image is not made for {platform or Platform.host()}, only for {offered}")
    return StoredImage.load(store, found)


def closure(store: Store, descriptor: Descriptor | Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """Every blob that a manifest or an index needs, itself included, each once."""
    described = described_by(descriptor)
    found = [described] if isinstance(read(store, described), Index) else []
    for image in images(store, described):
        found.extend(image.blobs)
    return _unique(found)


def total_size(store: Store, descriptor: Descriptor | Mapping[str, Any]) -> int:
    """The bytes of everything in `closure`."""
    return sum(item.size for item in closure(store, descriptor))


def _unique(descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple({str(item.digest): item for item in descriptors}.values())
