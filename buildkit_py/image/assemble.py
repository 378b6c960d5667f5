"""Assembling: layers and a configuration become an OCI image, as documents in the store.

    index (several platforms) ──▶ manifest ──▶ configuration (with diff ids and history)
                                          └──▶ layers: the base's, then the new ones

Every document is canonical JSON of its inputs alone: no clock, host name or locale is read, so equal inputs give equal
digests on every machine. OCI image specification 1.1.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.image.config import to_document
from buildkit_py.image.stored import StoredImage, total_size
from buildkit_py.oci import Descriptor, History, ImageConfigDoc, Manifest
from buildkit_py.oci.descriptor import platform_to_plain
from buildkit_py.oci.media_types import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    layer_compression,
)
from buildkit_py.platform import Platform

if TYPE_CHECKING:
    from buildkit_py.graph.definition import ImageTarget
    from buildkit_py.layer.commit import LayerBlob
    from buildkit_py.store import Store

_LAYER_TYPES = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """What an image takes over from its base: layers with their diff ids, lowest first, and the history.

    `config` is the digest of the base's configuration.
    """

    layers: tuple[Descriptor, ...]
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...] = ()
    config: str = ""

    @property
    def lines(self) -> int:
        """How many lines of history an image takes over from it: its own, or one a layer where those do not fit."""
        return len(self.history) if self._fits else len(self.layers)

    @property
    def _fits(self) -> bool:
        return sum(not line.empty_layer for line in self.history) == len(self.layers)

    @classmethod
    def of(cls, manifest: Manifest, config: ImageConfigDoc) -> BaseImage:
        """From a base's documents; raises `IntegrityError` where they disagree on the number of layers."""
        if len(manifest.layers) != len(config.diff_ids):
            raise IntegrityError(
                f"the base image {manifest.digest} has {len(manifest.layers)} layers,"
                f" but its configuration has {len(config.diff_ids)} diff ids"
            )
        return cls(layers=manifest.layers, diff_ids=config.diff_ids, history=config.history, config=str(config.digest))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLayer:
    """A layer to put on top, with its name in the build file."""

    name: str
    blob: LayerBlob

    @property
    def descriptor(self) -> Descriptor:
        """As a manifest names it."""
        return Descriptor(media_type=self.blob.media_type, digest=Digest.parse(self.blob.digest), size=self.blob.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """An image in the store: its manifest's descriptor (with the platform), the bytes of all its blobs, and the digest
    of its configuration (none of an index)."""

    descriptor: Descriptor
    size: int
    config: str = ""


def assemble(
    store: Store, target: ImageTarget, base: BaseImage | None, layers: Sequence[NewLayer], *, epoch: int
) -> Assembled:
    """Write the configuration and the manifest of an image; layer blobs are not looked at.

    `epoch`, in seconds, is every `created`. Raises `IntegrityError` where a base's layer has a type that is no layer's.
    """
    under = base or BaseImage(layers=(), diff_ids=())
    platform = Platform.parse(target.platform)
    created = rfc3339(epoch)
    config: dict[str, Any] = {
        "created": created,
        **platform_to_plain(platform),
        "config": to_document(target.config),
        "rootfs": {
            "type": "layers",
            "diff_ids": [*map(str, under.diff_ids), *(layer.blob.diff_id for layer in layers)],
        },
        "history": [*_base_history(under, created), *_history(target, layers, created)],
    }
    if target.config.author:
        config["author"] = target.config.author
    described = _put(store, config, OCI_CONFIG)
    stack = [*map(_relabelled, under.layers), *(layer.descriptor for layer in layers)]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described.to_plain(),
        "layers": [layer.to_plain() for layer in stack],
    }
    if target.annotations:
        manifest["annotations"] = dict(target.annotations)
    descriptor = replace(_put(store, manifest, OCI_MANIFEST), platform=platform)
    return Assembled(descriptor=descriptor, size=StoredImage.load(store, descriptor).size, config=str(described.digest))


def assemble_index(
    store: Store, images: Iterable[Descriptor], *, annotations: Mapping[str, str] | None = None
) -> Assembled:
    """Write the index of one image for several platforms, sorted by platform whatever order they come in."""
    manifests = sorted(images, key=lambda item: str(item.platform))
    index: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [item.to_plain() for item in manifests],
    }
    if annotations:
        index["annotations"] = dict(annotations)
    descriptor = _put(store, index, OCI_INDEX)
    return Assembled(descriptor=descriptor, size=total_size(store, descriptor))


def rfc3339(epoch: int) -> str:
    """Seconds since 1970 as the specification writes a time, in UTC."""
    now = time.gmtime(epoch)
    date = f"{now.tm_year:04}-{now.tm_mon:02}-{now.tm_mday:02}"
    return f"{date}T{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}Z"


def _history(target: ImageTarget, layers: Sequence[NewLayer], created: str) -> list[dict[str, Any]]:
    """The target's own lines; where it has none, one that names each layer."""
    if not target.history:
        return [{"created": created, "created_by": f"pybuild: layer {layer.name}"} for layer in layers]
    lines = (
        History(created=created, created_by=line.text, comment=line.comment, empty_layer=line.empty)
        for line in target.history
    )
    return [_history_document(line) for line in lines]


def _base_history(base: BaseImage, created: str) -> list[dict[str, Any]]:
    """The base's own lines; where they do not fit its layers (tools leave them out), one line a layer instead."""
    if base._fits:
        return [_history_document(line) for line in base.history]
    return [{"created": created, "created_by": f"pybuild: base layer {item.digest}"} for item in base.layers]


def _history_document(line: History) -> dict[str, Any]:
    fields = {name: getattr(line, name) for name in History.__slots__}
    return {name: value for name, value in fields.items() if value}


def _relabelled(layer: Descriptor) -> Descriptor:
    """A base's layer under the OCI type of its compression: an OCI manifest holds no Docker types."""
    compression = layer_compression(layer.media_type)
    if compression is None:
        raise IntegrityError(f"the base image has a layer of an unknown type: {layer.media_type[:100]!r}")
    return replace(layer, media_type=_LAYER_TYPES[compression], platform=None)


def _put(store: Store, document: dict[str, Any], media_type: str) -> Descriptor:
    raw = canonical.dumps(document)
    store.blobs.put(raw)
    return Descriptor.of(raw, media_type)
