"""A descriptor: what a blob is, its digest and its size; the edge of the graph that an image is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.errors import UsageError
from buildkit_py.platform import Platform

REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """An OCI content descriptor. `size` is in bytes. A descriptor's `urls` are never kept: nothing may fetch them."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None

    @classmethod
    def of(cls, raw: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
        """The descriptor of these bytes."""
        return cls(media_type=media_type, digest=Digest.of(raw), size=len(raw), platform=platform)

    @property
    def ref_name(self) -> str | None:
        """The name that an image layout gives to what is described."""
        return self.annotations.get(REF_NAME)

    def to_plain(self) -> dict[str, Any]:
        """As the JSON value that the specification defines; fields without a value are left out."""
        plain: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.platform is not None:
            plain["platform"] = platform_to_plain(self.platform)
        if self.annotations:
            plain["annotations"] = dict(self.annotations)
        if self.artifact_type is not None:
            plain["artifactType"] = self.artifact_type
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Descriptor:
        """From a JSON value that is known to be well-formed."""
        return cls(
            media_type=plain["mediaType"],
            digest=Digest.parse(plain["digest"]),
            size=plain["size"],
            platform=platform_from_plain(plain.get("platform")),
            annotations=plain.get("annotations") or {},
            artifact_type=plain.get("artifactType"),
        )


def platform_to_plain(platform: Platform) -> dict[str, str]:
    """A platform as descriptors and configurations write it."""
    plain = {"architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        plain["variant"] = platform.variant
    return plain


def platform_from_plain(plain: Mapping[str, Any] | None) -> Platform | None:
    """The platform of a descriptor or a configuration; None where it is absent, empty or no platform at all."""
    if not plain or not plain.get("os") or not plain.get("architecture"):
        return None
    text = "/".join(part for part in (plain["os"], plain["architecture"], plain.get("variant")) if part)
    try:
        return Platform.parse(text)
    except UsageError:
        return None
