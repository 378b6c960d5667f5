"""The client of registries: resolves names, reads documents and blobs through mirrors, pushes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from buildkit_py.dataclass import replace
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, check_bytes
from buildkit_py.oci.media_types import DOCUMENTS
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import BlobSource, BlobStore, BlobStream, Progress
from buildkit_py.registry.config import Endpoint, RegistryConfig
from buildkit_py.registry.credentials import find_credential
from buildkit_py.registry.download import fetch_blobs
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.registry.suggest import nearest_tag
from buildkit_py.registry.transport import Transport

if TYPE_CHECKING:
    from buildkit_py.registry.push import PushReport

T = TypeVar("T")
_MIRROR_ATTEMPTS = 2


class RegistryClient:
    """Talks to any registry as the configuration says. Thread-safe; connections and tokens are shared."""

    def __init__(
        self, config: RegistryConfig, *, environ: Mapping[str, str] = os.environ, retry: Retry | None = None
    ) -> None:
        self.config = config
        self.retry = retry or Retry()
        self._environ = environ
        self._transport = Transport(config, environ)
        self._lock = Lock()
        self._repositories: dict[tuple[Endpoint, str, tuple[str, ...]], Repository] = {}

    def reader(self, ref: Reference) -> RegistryReader:
        """A reader of the image; nothing is asked yet."""
        return RegistryReader(self, ref)

    def resolve(self, ref: Reference) -> Descriptor:
        """What a reference stands for now: its manifest's or index's descriptor. Raises `RegistryError`."""
        return self.reader(ref).resolve()

    def manifest(self, ref: Reference) -> tuple[bytes, Descriptor]:
        """The manifest or index of a reference. Raises `RegistryError`, `IntegrityError`."""
        return self.reader(ref).root()

    def fetch(
        self,
        ref: Reference,
        descriptors: Sequence[Descriptor],
        into: BlobStore,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Fetch blobs of the reference's repository. Raises `RegistryError`, `IntegrityError`, `Cancelled`."""
        sources = self.reader(ref).sources()
        fetch_blobs(descriptors, sources, into, retry=self.retry, progress=progress, cancel=cancel)

    def push(
        self,
        ref: Reference,
        descriptor: Descriptor,
        blobs: BlobStore,
        *,
        origins: Mapping[str, Reference] | None = None,
        bring: Callable[[Descriptor], None] | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> PushReport:
        """Push what `descriptor` names, under `ref`; see `registry.push.push`."""
        from buildkit_py.registry.push import push

        return push(self, ref, descriptor, blobs, origins=origins or {}, bring=bring, progress=progress, cancel=cancel)

    def tags(self, ref: Reference, cancel: Cancel | None = None) -> list[str]:
        """Every tag of the reference's repository, in the registry's order. Raises `RegistryError`."""
        return self.reader(ref).tags(cancel)

    def delete(self, ref: Reference, cancel: Cancel | None = None) -> Descriptor:
        """Remove the manifest or index that a reference stands for from its registry; what it was.

        All its tags go with it. Raises `RegistryError`, also where the registry has deletion switched off.
        """
        from buildkit_py.registry.tags import delete_manifest

        repository = self.repository(self.config.origin(ref.registry), ref.repository, delete=True)
        return delete_manifest(repository, str(ref.digest or ref.tag), cancel)

    def repository(
        self,
        endpoint: Endpoint,
        name: str,
        *,
        push: bool = False,
        delete: bool = False,
        others: Sequence[str] = (),
    ) -> Repository:
        """One repository at one endpoint; `others` are repositories of the same registry to mount blobs from."""
        actions = ",".join(["pull", *(["push"] if push else []), *(["delete"] if delete else [])])
        scopes = (
            f"repository:{endpoint.repository(name)}:{actions}",
            *(f"repository:{endpoint.repository(other)}:pull" for other in sorted(set(others) - {name})),
        )
        with self._lock:
            key = (endpoint, name, scopes)
            if key not in self._repositories:
                self._repositories[key] = self._open(endpoint, name, scopes)
            return self._repositories[key]

    def _open(self, endpoint: Endpoint, name: str, scopes: tuple[str, ...]) -> Repository:
        return Repository(
            self._transport,
            endpoint,
            name,
            scopes=scopes,
            lookup=lambda: find_credential(endpoint.host, endpoint.repository(name), self._environ),
            retry=replace(self.retry, attempts=_MIRROR_ATTEMPTS) if endpoint.mirror else self.retry,
        )


class RegistryReader:
    """An image in a registry, read through its mirrors and, after them, from the registry itself."""

    def __init__(self, client: RegistryClient, ref: Reference) -> None:
        self._client = client
        self._ref = ref
        self._dead: set[Endpoint] = set()

    @property
    def name(self) -> str:
        """The reference, normalised."""
        return str(self._ref)

    @property
    def pinned(self) -> Digest | None:
        """The reference's digest."""
        return self._ref.digest

    @property
    def _target(self) -> str:
        return str(self._ref.digest or self._ref.tag)

    def resolve(self) -> Descriptor:
        """What the reference stands for now, without its bytes where the registry tells enough."""

        def ask(repository: Repository) -> Descriptor:
            found = repository.head(self._target)
            return found if found is not None else repository.document(self._target)[1]

        return self._first(ask)

    def root(self) -> tuple[bytes, Descriptor]:
        """The manifest or index of the reference."""
        document, descriptor = self._first(lambda repository: repository.document(self._target))
        return document.raw, descriptor

    def by_digest(self, digest: Digest) -> bytes:
        """A manifest or index of the same repository."""
        return self._first(lambda repository: repository.document(str(digest)))[0].raw

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest, an index or a configuration."""
        return self._first(lambda repository: _document(repository, descriptor))

    def tags(self, cancel: Cancel | None = None) -> list[str]:
        """Every tag of the repository."""
        from buildkit_py.registry.tags import tags_of

        return self._first(lambda repository: tags_of(repository, cancel))

    def sources(self) -> Sequence[BlobSource]:
        """The endpoints' blobs."""

        def source(repository: Repository) -> BlobSource:
            def blob(descriptor: Descriptor, offset: int) -> BlobStream:
                return repository.blob(descriptor, offset)

            return blob

        return [source(repository) for repository in self._repositories()]

    def _repositories(self) -> list[Repository]:
        *mirrors, origin = self._client.config.endpoints(self._ref.registry)
        alive = [endpoint for endpoint in mirrors if endpoint not in self._dead]
        return [self._client.repository(endpoint, self._ref.repository) for endpoint in (*alive, origin)]

    def _first(self, ask: Callable[[Repository], T]) -> T:
        """The answer of the first endpoint that has one; an unreachable mirror is not asked again."""
        failures: list[RegistryError | IntegrityError] = []
        for repository in self._repositories():
            try:
                return ask(repository)
            except (RegistryError, IntegrityError) as error:
                failures.append(self._explained(repository, error))
        raise _summary(failures)

    def _explained(
        self, repository: Repository, error: RegistryError | IntegrityError
    ) -> RegistryError | IntegrityError:
        if isinstance(error, TransferError) and error.status is None:
            self._dead.add(repository.endpoint)
        if isinstance(error, TransferError) and error.status == 404 and self._ref.digest is None:
            near = nearest_tag(repository, self._target)
            error.hint = f"did you mean {repository}:{near}?" if near else error.hint
        return error


def _document(repository: Repository, descriptor: Descriptor) -> bytes:
    if descriptor.media_type in DOCUMENTS:
        document, found = repository.document(str(descriptor.digest))
        if found.media_type != descriptor.media_type:
            raise IntegrityError(
                f"{descriptor.digest} is listed as {descriptor.media_type!r}, "
                f"but {repository} gives {found.media_type!r}"
            )
        raw = document.raw
    else:
        raw = repository.retry.call(lambda: _small_blob(repository, descriptor))
    check_bytes(raw, descriptor, f"{repository}@{descriptor.digest}")
    return raw


def _small_blob(repository: Repository, descriptor: Descriptor) -> bytes:
    if descriptor.size > MAX_DOCUMENT:
        raise IntegrityError(f"{descriptor.digest} is a document of {descriptor.size} bytes, which is too large")
    pieces, left = [], descriptor.size
    with repository.blob(descriptor) as stream:
        while left and (piece := stream.read(left)):
            pieces.append(piece)
            left -= len(piece)
    if left:
        raise TransferError(f"{descriptor.digest} ended {left} bytes too early at {repository}", retry=True)
    return b"".join(pieces)


def _summary(failures: Sequence[RegistryError | IntegrityError]) -> RegistryError | IntegrityError:
    """One failure out of all: the last endpoint that answered leads, for an answer tells more than silence."""
    answered = [error for error in failures if not isinstance(error, RegistryError) or error.status is not None]
    lead = answered[-1] if answered else failures[-1]
    if len(failures) == 1:
        return lead
    message = "; also, ".join([lead.message, *(error.message for error in failures if error is not lead)])
    if isinstance(lead, IntegrityError):
        return IntegrityError(message, hint=lead.hint)
    return RegistryError(message, hint=lead.hint, status=lead.status)
