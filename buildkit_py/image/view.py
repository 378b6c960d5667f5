"""What `pybuild inspect` shows of an image: one JSON value, made of the documents in the store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from buildkit_py.errors import IntegrityError, NotFoundError, PybuildError
from buildkit_py.image.stored import StoredImage, described_by, read, total_size
from buildkit_py.oci import Descriptor, ImageConfigDoc, Index, Manifest
from buildkit_py.reference import Reference

if TYPE_CHECKING:
    from buildkit_py.store import Store

_BEGUN = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})\Z")
_LAYER_WORDS = "pybuild: layer "


def inspect_document(store: Store, name: str) -> dict[str, Any]:
    """An image by its name in the store, or by the digest of its manifest or index, or by how that digest begins (six
    digits at the least), with or without `sha256:`.

    Holds `name`, `digest`, `media_type`, `size` (bytes of all blobs) and `images`, one a platform: `platform`,
    `digest`, `size`, `created`, `config` as the specification writes it, `annotations`, and `layers`, lowest first
    (`name`, `digest`, `diff_id`, `size`, `media_type`). Raises `NotFoundError`.
    """
    descriptor = find(store, name)
    return {
        "name": name,
        "digest": str(descriptor.digest),
        "media_type": descriptor.media_type,
        "size": total_size(store, descriptor),
        "images": [_image(StoredImage.load(store, item)) for item in _manifests(store, descriptor)],
    }


def find(store: Store, name: str) -> Descriptor:
    """What a name in the store, or how a digest begins, stands for; raises `NotFoundError`."""
    found = store.images.find(name)
    if found is not None:
        return described_by(found)
    matches = _beginning(store, name) if _BEGUN.match(name) else {}
    if len(matches) > 1:
        raise NotFoundError(
            f"{len(matches)} images have a digest that begins with {name!r}", hint="they are " + ", ".join(matches)
        )
    for descriptor in matches.values():
        return descriptor
    raise unknown(store, name)


def unknown(store: Store, name: str) -> NotFoundError:
    """That no image of the store is called so, with the name that may have been meant."""
    there = next((record.place for record in store.images.everywhere() if record.name == name), None)
    if there is not None:
        return NotFoundError(f"the image {name!r} is in the additional store {there}, which is only read")
    told = _near(name, [record.name for record in store.images.list()])
    listed = "`pybuild ls` lists the images that are"
    return NotFoundError(f"no image called {name!r} is in the store", hint=f"{told} {listed}" if told else listed)


def _near(name: str, known: Sequence[str]) -> str | None:
    """What may have been meant by a name that is not known, as a question; None where nothing is near."""
    from buildkit_py.suggest import suggest

    wanted = _reference(name)
    same = [each for each in known if wanted is not None and _reference(each) == wanted]
    tagged = [each for each in known if each.rpartition(":")[0] == name]
    found = next(iter((*same, *tagged)), None) or suggest(name, known)
    return f"did you mean {found!r}?" if found else None


def _reference(name: str) -> Reference | None:
    """What a registry would call it, None where none could."""
    try:
        return Reference.parse(name)
    except PybuildError:
        return None


def begins(digest: str, text: str) -> bool:
    """Whether `text` is how a digest begins: six digits at the least, with or without `sha256:`."""
    begun = _BEGUN.match(text)
    return begun is not None and digest.partition(":")[2].startswith(begun[1])


def _beginning(store: Store, text: str) -> dict[str, Descriptor]:
    """The named images, and those that their indexes hold, whose digests begin so, by digest."""
    found: dict[str, Descriptor] = {}
    for record in store.images.everywhere():
        descriptor = described_by(record.descriptor)
        with suppress(IntegrityError):
            for item in (descriptor, *_manifests(store, descriptor)):
                if begins(str(item.digest), text):
                    found[str(item.digest)] = item
    return found


def _manifests(store: Store, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    document = read(store, descriptor)
    return document.manifests if isinstance(document, Index) else (descriptor,)


def _image(image: StoredImage) -> dict[str, Any]:
    return image_document(image.descriptor, image.manifest, image.config)


def image_document(descriptor: Descriptor, manifest: Manifest, config: ImageConfigDoc) -> dict[str, Any]:
    """One of the `images` of `inspect_document`."""
    blobs = {str(item.digest): item.size for item in (descriptor, manifest.config, *manifest.layers)}
    return {
        "platform": str(config.platform),
        "digest": str(descriptor.digest),
        "size": sum(blobs.values()),
        "created": config.created,
        "config": dict(config.config),
        "annotations": dict(manifest.annotations),
        "layers": list(_layers(manifest, config)),
    }


def _layers(manifest: Manifest, config: ImageConfigDoc) -> Iterator[dict[str, Any]]:
    lines = [line for line in config.history if not line.empty_layer]
    for place, (layer, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=False)):
        by = lines[place].created_by if place < len(lines) else ""
        yield {
            "name": by.removeprefix(_LAYER_WORDS),
            "digest": str(layer.digest),
            "diff_id": str(diff_id),
            "size": layer.size,
            "media_type": layer.media_type,
        }
