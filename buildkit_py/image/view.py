"""What `pybuild inspect` shows of an image: one JSON value, made of the documents in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, NotFoundError
from buildkit_py.image.stored import StoredImage, described_by, read, total_size
from buildkit_py.oci import Descriptor, Index

if TYPE_CHECKING:
    from buildkit_py.store import Store

_LAYER_WORDS = "pybuild: layer "


def inspect_document(store: Store, name: str) -> dict[str, Any]:
    """An image by its name in the store, or by the digest of its manifest or index.

    Holds `name`, `digest`, `media_type`, `size` (bytes of all blobs) and `images`, one a platform: `platform`,
    `digest`, `size`, `created`, `config` as the specification writes it, `annotations`, and `layers`, lowest first
    (`name`, `digest`, `diff_id`, `size`, `media_type`). Raises `NotFoundError`.
    """
    descriptor = _find(store, name)
    return {
        "name": name,
        "digest": str(descriptor.digest),
        "media_type": descriptor.media_type,
        "size": total_size(store, descriptor),
        "images": [_image(StoredImage.load(store, item)) for item in _manifests(store, descriptor)],
    }


def _find(store: Store, name: str) -> Descriptor:
    found = store.images.get(name)
    if found is not None:
        return described_by(found)
    try:
        digest = Digest.parse(name)
        for record in store.images.list():
            descriptor = described_by(record.descriptor)
            for item in (descriptor, *_manifests(store, descriptor)):
                if item.digest == digest:
                    return item
    except IntegrityError:
        pass
    raise NotFoundError(f"no image called {name!r} is in the store", hint="`pybuild ls` lists the images that are")


def _manifests(store: Store, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    document = read(store, descriptor)
    return document.manifests if isinstance(document, Index) else (descriptor,)


def _image(image: StoredImage) -> dict[str, Any]:
    return {
        "platform": str(image.platform),
        "digest": str(image.descriptor.digest),
        "size": image.size,
        "created": image.config.created,
        "config": dict(image.config.config),
        "annotations": dict(image.manifest.annotations),
        "layers": list(_layers(image)),
    }


def _layers(image: StoredImage) -> Iterator[dict[str, Any]]:
    lines = [line for line in image.config.history if not line.empty_layer]
    for place, (layer, diff_id) in enumerate(zip(image.layers, image.config.diff_ids, strict=False)):
        by = lines[place].created_by if place < len(lines) else ""
        yield {
            "name": by.removeprefix(_LAYER_WORDS),
            "digest": str(layer.digest),
            "diff_id": str(diff_id),
            "size": layer.size,
            "media_type": layer.media_type,
        }
