"""Manifests (one image) and indexes (one image for several platforms)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.oci.descriptor import Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image: its configuration and its layers, lowest first. `raw` is what the digest is taken of."""

    raw: bytes = field(repr=False)
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    subject: Descriptor | None = None

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes."""
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """What points at this manifest."""
        return Descriptor.of(self.raw, self.media_type)

    @classmethod
    def from_plain(cls, raw: bytes, media_type: str, plain: Mapping[str, Any]) -> Manifest:
        """From a JSON value that is known to be well-formed, and the bytes that it was read from."""
        return cls(
            raw=raw,
            media_type=media_type,
            config=Descriptor.from_plain(plain["config"]),
            layers=tuple(Descriptor.from_plain(layer) for layer in plain["layers"]),
            annotations=plain.get("annotations") or {},
            artifact_type=plain.get("artifactType"),
            subject=Descriptor.from_plain(plain["subject"]) if plain.get("subject") else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Several manifests, most often one a platform. Docker calls it a manifest list."""

    raw: bytes = field(repr=False)
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes."""
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """What points at this index."""
        return Descriptor.of(self.raw, self.media_type)

    @classmethod
    def from_plain(cls, raw: bytes, media_type: str, plain: Mapping[str, Any]) -> Index:
        """From a JSON value that is known to be well-formed, and the bytes that it was read from."""
        return cls(
            raw=raw,
            media_type=media_type,
            manifests=tuple(Descriptor.from_plain(item) for item in plain["manifests"]),
            annotations=plain.get("annotations") or {},
        )
