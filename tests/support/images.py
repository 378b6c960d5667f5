"""Small images for tests, made of bytes that nobody unpacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from buildkit_py.platform import Platform


class Puts(Protocol):
    """Something that keeps blobs."""

    def put(self, data: bytes, /) -> str:
        """Keep a blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeImage:
    """An image and all its bytes."""

    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]
    descriptor: Descriptor

    def store(self, blobs: Puts) -> Descriptor:
        """Put everything into a store."""
        for data in (*self.layers, self.config, self.manifest):
            blobs.put(data)
        return self.descriptor


def digest_of(data: bytes) -> str:
    """The digest of these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def plain_descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    """A descriptor as JSON."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def make_image(
    *layers: bytes,
    platform: str = "linux/amd64",
    config: Mapping[str, Any] | None = None,
    types: Sequence[str] = (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER),
) -> MadeImage:
    """An image of these (uncompressed) layers; `types` are the media types of manifest, configuration and layers."""
    wanted = Platform.parse(platform)
    document = {
        "architecture": wanted.architecture,
        "os": wanted.os,
        **({"variant": wanted.variant} if wanted.variant else {}),
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
    }
    config_raw = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": types[0],
        "config": plain_descriptor(config_raw, types[1]),
        "layers": [plain_descriptor(layer, types[2]) for layer in layers],
    }
    raw = json.dumps(manifest).encode()
    return MadeImage(manifest=raw, config=config_raw, layers=layers, descriptor=Descriptor.of(raw, types[0], wanted))


def make_index(*images: MadeImage) -> tuple[bytes, Descriptor]:
    """An index of images by platform."""
    plain = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [image.descriptor.to_plain() for image in images],
    }
    raw = json.dumps(plain).encode()
    return raw, Descriptor.of(raw, OCI_INDEX)
