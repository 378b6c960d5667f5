"""The two ends of a copy, opened by what a person wrote for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import OutputError
from buildkit_py.image.staging import new_file
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.config import load
from buildkit_py.registry.source import open_reader
from buildkit_py.transfer.destination import Destination
from buildkit_py.transfer.place import Place
from buildkit_py.transfer.to_registry import Origin, RegistryDestination

if TYPE_CHECKING:
    from buildkit_py.store import Store
    from buildkit_py.transfer.plan import Node, Plan
    from buildkit_py.transfer.to_archive import DockerArchive, OciArchive
    from buildkit_py.trust.gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an image comes from. `origin` says which repository has a blob, as far as that is known."""

    place: Place
    reader: ImageReader
    origin: Origin


class Ends:
    """Opens sources and destinations of one command; the store and connections are shared, and opened when needed.

    A context manager: the store is under a lease until it is left. What comes from elsewhere is held against the trust
    policy: `policy`, or the one of this machine.
    """

    def __init__(self, open_store: Callable[[bool], Store], directory: Path, policy: str | None = None) -> None:
        self._open_store = open_store
        self._directory = directory
        self._policy = Path(policy) if policy else None
        if self._policy is not None:
            from buildkit_py.trust.policy import load as load_policy

            # Even if no image is asked of it: who names one means it to hold.
            load_policy(given=self._policy)
        self._gate: Gate | None = None
        self._stack = ExitStack()
        self._store: Store | None = None
        self._client: RegistryClient | None = None

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def client(self) -> RegistryClient:
        """The way to registries."""
        if self._client is None:
            self._client = RegistryClient(load())
        return self._client

    def store(self, *, make: bool) -> Store:
        """The store; with `make` it is made where there is none."""
        if self._store is None:
            self._store = self._stack.enter_context(self._open_store(make))
            self._stack.enter_context(self._store.lease())
        return self._store

    def admit(self, place: Place, plan: Plan) -> None:
        """Return if the trust policy lets an image be taken from a place. Raises `TrustError`, `SignatureError`.

        What is in the store passed when it came there.
        """
        if place.kind == "store":
            return
        from buildkit_py.trust.gate import Candidate, Gate

        if self._gate is None:
            self._gate = Gate(self._store, lambda: self.client, given=self._policy)
        index = plan.index if plan.index is not None else plan.root.descriptor.digest
        files = None if place.kind == "docker" else (place.path, place.name)
        # An index of no manifests may still hold blobs, so it is asked about itself.
        for digest in [item.digest for item in plan.root.manifests()] or [index]:
            found_by = index if index != digest else None
            self._gate.admit(Candidate(name=place.text, digest=digest, index=found_by, files=files))

    def carry(self, source: Place, target: Place, root: Node) -> tuple[str, ...]:
        """Copy the signatures of an image from a repository to another; the digests of the manifests that hold them."""
        from buildkit_py.trust.carry import carry
        from buildkit_py.trust.place import Place as Repository

        assert source.reference is not None
        assert target.reference is not None
        here, there = (Repository(self.client, each) for each in (source.reference, target.reference))
        return tuple(str(found) for node in root.all() for found in carry(here, there, node.descriptor.digest))

    def source(self, place: Place) -> Source:
        """Where an image comes from; of a registry or a file nothing is read yet."""
        if place.kind != "store":
            reader = open_reader(place.text, self.client, directory=self._directory)
            return Source(place=place, reader=reader, origin=lambda _: place.reference)
        from buildkit_py.executor.source.image import Images
        from buildkit_py.transfer.from_store import StoreReader

        store = self.store(make=False)
        stored = StoreReader(store, place.name or "", Images(store, self._directory))
        return Source(place=place, reader=stored, origin=stored.origin)

    @contextmanager
    def destination(self, place: Place, source: Source) -> Iterator[Destination]:
        """Where images go. What is an archive is there only once the block is left well."""
        if place.kind == "docker":
            yield RegistryDestination(self.client, cast("Reference", place.reference), source.origin)
        elif place.kind == "store":
            yield self._into_store(place, source.place)
        elif place.kind in ("oci", "dir"):
            yield self._directory_of(place)
        else:
            with self._archive(place, source.place) as archive:
                yield archive

    def _into_store(self, place: Place, source: Place) -> Destination:
        from buildkit_py.transfer.to_store import StoreDestination

        name = place.name or ""
        Reference.parse(name)
        return StoreDestination(self.store(make=True), name, self.client.retry, origin=source.reference)

    def _directory_of(self, place: Place) -> Destination:
        path = cast("Path", place.path)
        if place.kind == "dir":
            from buildkit_py.transfer.to_directory import DirectoryDestination

            return DirectoryDestination(path, self.client.retry)
        from buildkit_py.transfer.to_layout import LayoutDestination

        return LayoutDestination(path, place.name, self.client.retry)

    def _archive(self, place: Place, source: Place) -> OciArchive | DockerArchive:
        from buildkit_py.transfer.to_archive import DockerArchive, OciArchive

        path = cast("Path", place.path)
        if not path.name:
            raise OutputError(f"not a path to write an image to: {str(place)!r}")
        names = [place.name] if place.name else []
        if place.kind == "oci-archive":
            return OciArchive(new_file(path), names, self.client.retry, room=path.parent, old=path)
        names = names or _name_of(source)
        return DockerArchive(new_file(path), names, self.client.retry, room=path.parent, old=path)


def _name_of(source: Place) -> list[str]:
    """What an image is called where it comes from, as far as a Docker archive can call it so."""
    if source.reference is not None:
        return [str(source.reference)]
    return [source.name] if source.name else []
