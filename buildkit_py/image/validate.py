"""Checking an image as a whole: every byte against its digest, every document against the others.

What it accepts is what the specification calls an image and any runtime can start; unlike reading, it trusts nothing
that is in the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.image.stored import described_by
from buildkit_py.image.unpacked import chunks, digest_of, pieces_of
from buildkit_py.oci import Descriptor, ImageConfigDoc, Index, Manifest, check_bytes, parse_config, parse_document

if TYPE_CHECKING:
    from buildkit_py.store import Store


def validate(store: Store, descriptor: Descriptor | Mapping[str, Any]) -> None:
    """Raise `IntegrityError` for the first fault of an image or of any image of an index.

    Checked: digests and sizes of all blobs; media types; as many diff ids as layers, each that of the unpacked layer;
    as many lines of history that made a layer; the platform of an index's entry and of its configuration.
    """
    described = described_by(descriptor)
    document = parse_document(_bytes(store, described, "the manifest"), described.media_type)
    if isinstance(document, Index):
        if not document.manifests:
            raise IntegrityError(f"the index {described.digest} holds no image")
        for item in document.manifests:
            validate(store, item)
        return
    config = parse_config(_bytes(store, document.config, "the configuration"), document.config.media_type)
    _check_config(described, document, config)
    for layer, diff_id in zip(document.layers, config.diff_ids, strict=True):
        _check_layer(store, layer, diff_id)


def _bytes(store: Store, descriptor: Descriptor, what: str) -> bytes:
    raw = store.blobs.read(str(descriptor.digest))
    check_bytes(raw, descriptor, f"{what} {descriptor.digest}")
    return raw


def _check_config(described: Descriptor, manifest: Manifest, config: ImageConfigDoc) -> None:
    name = f"the image {described.digest}"
    if config.platform is None:
        raise IntegrityError(f"{name} has no usable platform in its configuration")
    if described.platform is not None and described.platform != config.platform:
        raise IntegrityError(f"{name} is listed for {described.platform}, but made for {config.platform}")
    if len(config.diff_ids) != len(manifest.layers):
        raise IntegrityError(f"{name} has {len(manifest.layers)} layers, but {len(config.diff_ids)} diff ids")
    filled = sum(not line.empty_layer for line in config.history)
    if config.history and filled != len(manifest.layers):
        raise IntegrityError(f"{name} has {len(manifest.layers)} layers, but a history of {filled}")


def _check_layer(store: Store, layer: Descriptor, diff_id: Digest) -> None:
    with store.blobs.open(str(layer.digest)) as blob:
        actual = digest_of(pieces_of(blob), layer.digest.algorithm)
        if actual != str(layer.digest) or blob.tell() != layer.size:
            raise IntegrityError(f"the layer {layer.digest} does not match its digest or its size")
        blob.seek(0)
        if digest_of(chunks(layer, blob), diff_id.algorithm) != str(diff_id):
            raise IntegrityError(f"the layer {layer.digest} does not unpack to its diff id {diff_id}")
