"""Pulling in two steps: what an image is (manifest and configuration), and later, if ever, its layers' bytes."""

from __future__ import annotations

from collections.abc import Collection

from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci import (
    Descriptor,
    ImageConfigDoc,
    Index,
    Manifest,
    chain_ids,
    check_bytes,
    choose,
    parse_config,
    parse_document,
    rank,
    read_config,
    read_document,
)
from buildkit_py.oci.media_types import CONFIGS, layer_compression
from buildkit_py.platform import Platform
from buildkit_py.registry.blobs import BlobStore, HasBlobs, ImageReader, Progress
from buildkit_py.registry.download import Arrived, fetch_blobs
from buildkit_py.registry.retry import Cancel, Retry

_MAX_INDEXES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """An image whose manifest and configuration are in the store; its layers may be, or can be read by `reader`.

    `root` is what the name stands for: the index where there is one, else the manifest.
    """

    name: str
    root: Descriptor
    manifest: Manifest
    config: ImageConfigDoc
    reader: ImageReader = field(repr=False, compare=False)

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return self.manifest.digest

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers' blobs, lowest first."""
        return self.manifest.layers

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers' uncompressed bytes, lowest first; as many as `layers`."""
        return self.config.diff_ids

    @property
    def chain_ids(self) -> tuple[Digest, ...]:
        """The chain id of each layer and all below it, lowest first."""
        return chain_ids(self.config.diff_ids)


def fetch_metadata(
    reader: ImageReader, platform: Platform, store: HasBlobs, *, pinned: Digest | None = None
) -> PulledImage:
    """Manifest and configuration of an image, checked and stored; no layer is touched.

    `pinned` is the digest of a manifest or index that is taken instead of what the name stands for now; if it is in
    the store, nobody is asked. Raises `RegistryError`, `IntegrityError`, `SourceInputError`.
    """
    blobs = store.blobs
    document, root = _root(reader, blobs, pinned or reader.pinned)
    document = _descend(reader, blobs, document, platform)
    manifest, config = _image(reader, blobs, document, platform)
    return PulledImage(name=reader.name, root=root, manifest=manifest, config=config, reader=reader)


def stored_image(reader: ImageReader, digest: str, store: HasBlobs) -> PulledImage | None:
    """The image of a manifest that `fetch_metadata` accepted before; None where it is not in the store any more.

    Cheap: nothing is checked again but digests, and nobody is asked.
    """
    documents = stored_documents(digest, store)
    if documents is None:
        return None
    manifest, config = documents
    return PulledImage(name=reader.name, root=manifest.descriptor, manifest=manifest, config=config, reader=reader)


def stored_documents(digest: str, store: HasBlobs) -> tuple[Manifest, ImageConfigDoc] | None:
    """The manifest of that digest and the configuration that it names; None where the store lacks one of them."""
    blobs = store.blobs
    if not blobs.has(digest):
        return None
    manifest = read_document(blobs.read(digest))
    if not isinstance(manifest, Manifest) or not blobs.has(str(manifest.config.digest)):
        return None
    return manifest, read_config(blobs.read(str(manifest.config.digest)))


def fetch_layers(
    pulled: PulledImage,
    store: HasBlobs,
    *,
    only: Collection[Digest] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    retry: Retry | None = None,
    arrived: Arrived | None = None,
) -> None:
    """Bring the layers' blobs (or those in `only`) into the store, several at a time; what is there is not fetched.
    `arrived` is told of each that is there.

    Raises `RegistryError`, `IntegrityError`, `SourceInputError`, `Cancelled`.
    """
    wanted = [layer for layer in pulled.layers if only is None or layer.digest in only]
    fetch_blobs(
        wanted,
        pulled.reader.sources(),
        store.blobs,
        retry=retry or Retry(),
        progress=progress,
        cancel=cancel,
        arrived=arrived,
    )


def _root(reader: ImageReader, blobs: BlobStore, pinned: Digest | None) -> tuple[Manifest | Index, Descriptor]:
    if pinned is None:
        raw, descriptor = reader.root()
        document = parse_document(raw, descriptor.media_type)
    elif blobs.has(str(pinned)):
        raw = blobs.read(str(pinned))
        document = parse_document(raw)
        return document, Descriptor(media_type=document.media_type, digest=pinned, size=len(raw))
    else:
        document, descriptor = _pinned(reader, pinned)
    blobs.put(document.raw)
    return document, descriptor


def _pinned(reader: ImageReader, pinned: Digest) -> tuple[Manifest | Index, Descriptor]:
    """What a lock names, from a place whose name may stand for something else by now."""
    raw = reader.by_digest(pinned)
    document = parse_document(raw)
    descriptor = Descriptor(media_type=document.media_type, digest=pinned, size=len(raw))
    check_bytes(raw, descriptor, f"{reader.name}@{pinned}")
    return document, descriptor


def _descend(reader: ImageReader, blobs: BlobStore, document: Manifest | Index, platform: Platform) -> Manifest:
    for _ in range(_MAX_INDEXES):
        if isinstance(document, Manifest):
            return document
        chosen = choose(document, platform)
        if chosen is None:
            raise _no_platform(reader.name, document, platform)
        document = parse_document(_stored(reader, blobs, chosen), chosen.media_type)
    if isinstance(document, Manifest):
        return document
    raise IntegrityError(f"{reader.name} is an index of indexes of indexes, without an end")


def _stored(reader: ImageReader, blobs: BlobStore, descriptor: Descriptor) -> bytes:
    """A document, from the store if it is there."""
    digest = str(descriptor.digest)
    if blobs.has(digest):
        return blobs.read(digest)
    raw = reader.document(descriptor)
    blobs.put(raw)
    return raw


def _image(
    reader: ImageReader, blobs: BlobStore, manifest: Manifest, platform: Platform
) -> tuple[Manifest, ImageConfigDoc]:
    if manifest.config.media_type not in CONFIGS:
        kind = manifest.artifact_type or manifest.config.media_type
        raise RegistryError(f"{reader.name} is not a container image but an artifact of type {kind[:100]!r}")
    for layer in manifest.layers:
        if layer_compression(layer.media_type) is None:
            raise IntegrityError(f"{reader.name} has a layer of an unknown media type: {layer.media_type[:100]!r}")
    config = parse_config(_stored(reader, blobs, manifest.config), manifest.config.media_type)
    if len(config.diff_ids) != len(manifest.layers):
        raise IntegrityError(
            f"{reader.name} has {len(manifest.layers)} layers, but its configuration lists {len(config.diff_ids)}"
        )
    if config.platform is not None and rank(config.platform, platform) is None:
        raise RegistryError(
            f"{reader.name} is for {config.platform}, not for {platform}",
            hint=f"name an image that exists for {platform}, or build for another platform",
        )
    return manifest, config


def _no_platform(name: str, index: Index, platform: Platform) -> RegistryError:
    offered = sorted(
        {str(item.platform) for item in index.manifests if item.platform and item.platform.os != "unknown"}
    )
    hint = f"it exists for {', '.join(offered[:12])}" if offered else "it names no platform at all"
    return RegistryError(f"{name} does not exist for {platform}", hint=hint)
