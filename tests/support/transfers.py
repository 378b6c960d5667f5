"""An image, two registries in the test's own process, and copies between them and anything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.source import open_reader
from buildkit_py.transfer.copy import CopyReport, copy
from buildkit_py.transfer.destination import Destination
from buildkit_py.transfer.plan import Wishes
from buildkit_py.transfer.to_registry import RegistryDestination
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry
from tests.support.images import MadeImage, make_image

SMALL, LARGE = b"small layer", bytes(range(256)) * 4000
IMAGE = make_image(SMALL, LARGE)
ARM = make_image(b"arm layer", platform="linux/arm64")


def hold(registry: FaultyRegistry, image: MadeImage, repository: str = "team/app", tag: str = "v1") -> None:
    """Put an image into a registry."""
    for data in (*image.layers, image.config):
        registry.put(data)
    registry.add_manifest(repository, tag, image.manifest, image.descriptor.media_type)


@dataclass
class Pair:
    """A registry to read from, another to write to, and a client for both."""

    source: FaultyRegistry
    target: FaultyRegistry
    waits: list[float] = field(default_factory=list)

    @property
    def client(self) -> RegistryClient:
        """A client without credentials that does not wait."""
        return make_client(self.source.name, self.target.name, waits=self.waits)

    def to_registry(self, ref: str | None = None, origin: str | None = None) -> RegistryDestination:
        """The second registry as a destination; `origin` is where blobs may be mounted from."""
        reference = Reference.parse(origin) if origin else None
        return RegistryDestination(
            self.client, Reference.parse(ref or f"{self.target.name}/copy/app:v2"), lambda _: reference
        )

    def copy(self, to: Destination | None = None, source: str | None = None, **more: Any) -> CopyReport:
        """Copy the image of the first registry, or another, to the second, or elsewhere."""
        wishes = more.pop("wishes", Wishes())
        reader = open_reader(
            source or f"docker://{self.source.name}/team/app:v1", self.client, directory=Path("/nonexistent")
        )
        return copy(reader, to or self.to_registry(), wishes, called="there", retry=self.client.retry, **more)
