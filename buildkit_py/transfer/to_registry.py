"""A registry as a destination: blobs are mounted, found there, or streamed through; the tag comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from buildkit_py.errors import UsageError
from buildkit_py.oci import Descriptor, Index, Manifest
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.incoming import Incoming
from buildkit_py.registry.parallel import JOBS
from buildkit_py.registry.push import put_document
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.retry import Cancel
from buildkit_py.registry.upload import Upload
from buildkit_py.transfer.destination import Outcome, from_first
from buildkit_py.transfer.plan import Node

Origin = Callable[[Descriptor], Reference | None]
"""Says which repository has a blob, as far as that is known."""


class RegistryDestination:
    """A repository. `origin` says of a blob where it may be mounted from."""

    jobs = JOBS
    keeps_manifests = True

    def __init__(self, client: RegistryClient, ref: Reference, origin: Origin) -> None:
        self._client = client
        self._ref = ref
        self._origin = origin
        self._endpoint = client.config.origin(ref.registry)
        self._raw: dict[str, bytes] = {}

    def accept(self, document: Manifest | Index) -> None:
        """A registry holds whatever has a manifest."""

    def holds(self, root: Node, name: str | None) -> bool:
        """Never: each part is looked at by itself. Raises `UsageError` where the place is another image's."""
        self._check(root.descriptor)
        return False

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """Mount it, find it, or send it on while it is read; the upload is finished only if the digest was right."""
        origin = self._origin(item)
        near = origin is not None and origin.registry == self._ref.registry
        other = origin.repository if origin and near and origin.repository != self._ref.repository else None
        take = partial(self._upload, item, other, cancel)
        return from_first(item, sources, take, retry=self._client.retry, progress=progress, cancel=cancel)

    def _upload(self, item: Descriptor, other: str | None, cancel: Cancel, incoming: Incoming) -> Outcome:
        repository = self._repository(other)
        mount = self._endpoint.repository(other) if other else None
        outcome = Upload(repository, item, incoming, None, cancel).run(mount)
        return "copied" if outcome == "uploaded" else outcome

    def _repository(self, other: str | None = None) -> Repository:
        others = [other] if other else []
        return self._client.repository(self._endpoint, self._ref.repository, push=True, others=others)

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Put it under its digest."""
        put_document(self._repository(), item, document.raw, None)
        self._raw[str(item.digest)] = document.raw

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """Tag it. What the tag meant before is the registry's affair."""
        self._check(root)
        tag = name or self._ref.tag
        if tag is not None:
            put_document(self._repository(), root, self._raw[str(root.digest)], None, tag=tag)
        return None

    def _check(self, root: Descriptor) -> None:
        digest = self._ref.digest
        if digest is not None and digest != root.digest:
            raise UsageError(
                f"the image is {root.digest}, not {digest}",
                hint=f"name the destination by a tag, as {self._ref.name}:latest",
            )
