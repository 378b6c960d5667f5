"""Where a shared cache is written: blobs first, and last what makes a record known: its tag, or the index."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Protocol

from buildkit_py import canonical
from buildkit_py.errors import IntegrityError, OutputError, RegistryError
from buildkit_py.image.layout import LAYOUT, blob_path, named
from buildkit_py.image.staging import locked, new_file, translated
from buildkit_py.oci import Descriptor, Manifest, parse_document
from buildkit_py.oci.descriptor import REF_NAME
from buildkit_py.oci.media_types import OCI_INDEX, OCI_MANIFEST
from buildkit_py.reference import Reference, is_local
from buildkit_py.registry.parallel import run_all
from buildkit_py.registry.push import StoredBlob, put_document
from buildkit_py.registry.upload import Upload
from buildkit_py.sharing.places import NOT_THERE, entries_of, tags_of
from buildkit_py.store.files import sync_file_system

if TYPE_CHECKING:
    from buildkit_py.registry.blobs import Opens, Progress
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.registry.retry import Cancel
    from buildkit_py.sharing.record import Record

JOBS = 8
"""Most of what is sent is small: more of it at a time than of an image's layers."""
_CHUNK = 1 << 20


Bring = Callable[[Descriptor], None]
"""Fetches a blob into the store that is not there yet."""


class Target(Protocol):
    """A cache that can be written. Thread-safe but for `publish`. Everything raises `RegistryError` or `OutputError`.

    `name` is for people; `origin` is what the store remembers of a blob that is there.
    """

    name: str
    origin: str

    def begin(self) -> None:
        """Get ready."""

    def expect(self, origins: Collection[str]) -> None:
        """Hear where the blobs that will be sent were last seen."""

    def get(self, tag: str) -> bytes | None:
        """The manifest of that tag, if it and what it lists are there."""

    def send(self, item: Descriptor, blobs: Opens, bring: Bring, origin: str | None, cancel: Cancel) -> bool:
        """Make sure that a blob is there; False where it was."""

    def publish(self, records: Sequence[Record]) -> None:
        """Make records known whose blobs are all there. Each takes the place of an earlier one of its key."""


class RegistryTarget:
    """A repository; `progress` is told of what is uploaded. What another repository of the registry has is mounted."""

    def __init__(self, client: RegistryClient, ref: Reference, progress: Progress) -> None:
        self.name = self.origin = ref.name
        self._client = client
        self._ref = ref
        self._progress = progress
        self._endpoint = client.config.origin(ref.registry)
        self._repository = client.repository(self._endpoint, ref.repository, push=True)

    def begin(self) -> None:
        """As `Target` says; nothing is to be done before something is asked."""

    def expect(self, origins: Collection[str]) -> None:
        """As `Target` says; a registry has to be asked for leave to read its other repositories."""
        others = [name for name in map(self._neighbour, origins) if name is not None]
        self._repository = self._client.repository(self._endpoint, self._ref.repository, push=True, others=others)

    def get(self, tag: str) -> bytes | None:
        """As `Target` says; a registry keeps no manifest without its blobs."""
        try:
            return self._repository.document(tag)[0].raw
        except IntegrityError:
            return None
        except RegistryError as error:
            if error.status == NOT_THERE:
                return None
            raise

    def send(self, item: Descriptor, blobs: Opens, bring: Bring, origin: str | None, cancel: Cancel) -> bool:
        """As `Target` says."""
        neighbour = self._neighbour(origin) if origin is not None else None
        source = self._endpoint.repository(neighbour) if neighbour is not None else None
        stored = StoredBlob(item, blobs, bring)
        return Upload(self._repository, item, stored, self._progress, cancel).run(source) != "existing"

    def publish(self, records: Sequence[Record]) -> None:
        """As `Target` says."""

        def one(record: Record, stop: Event) -> None:
            raw = record.manifest
            described = Descriptor.of(raw, OCI_MANIFEST)
            put_document(self._repository, described, raw, stop.is_set, tag=record.tag)

        run_all(one, records, JOBS)

    def _neighbour(self, origin: str) -> str | None:
        """The repository of a reference, where it is another one of the same registry."""
        if is_local(origin):
            return None
        found = Reference.parse(origin)
        other = found.registry == self._ref.registry and found.repository != self._ref.repository
        return found.repository if other else None


class LayoutTarget:
    """An OCI image layout in a directory, which is made where it is not there."""

    def __init__(self, directory: Path, progress: Progress) -> None:
        self.name = str(directory)
        self.origin = f"oci:{directory}"
        self._directory = directory
        self._progress = progress
        self._tags: dict[str, Descriptor] = {}

    def begin(self) -> None:
        """As `Target` says."""
        mark = self._directory / "oci-layout"
        with translated(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            if not mark.is_file():
                # What a killed writer left of that very file is no reason to refuse.
                if any(not each.name.startswith(f".{mark.name}.") for each in self._directory.iterdir()):
                    raise OutputError(
                        f"{self._directory} is not empty and is no OCI layout",
                        hint="name an empty directory for the cache, or one that is a cache already",
                    )
                with new_file(mark, known=True) as out:
                    out.write(LAYOUT)
            self._tags = tags_of(self._index())

    def expect(self, origins: Collection[str]) -> None:
        """As `Target` says; wherever they are, they are copied."""

    def get(self, tag: str) -> bytes | None:
        """As `Target` says."""
        found = self._tags.get(tag)
        if found is None:
            return None
        try:
            raw = (self._directory / blob_path(found)).read_bytes()
            document = parse_document(raw)
        except (OSError, IntegrityError):
            return None
        listed = [document.config, *document.layers] if isinstance(document, Manifest) else []
        return raw if Descriptor.of(raw, "").digest == found.digest and all(map(self._has, listed)) else None

    def send(self, item: Descriptor, blobs: Opens, bring: Bring, origin: str | None, cancel: Cancel) -> bool:
        """As `Target` says."""
        if self._has(item):
            return False
        if not blobs.has(str(item.digest)):
            bring(item)
        path = self._directory / blob_path(item)
        blobs.check(str(item.digest))
        with blobs.open(str(item.digest)) as source, new_file(path, known=True, durable=False) as out:
            shutil.copyfileobj(source, out, _CHUNK)
        self._progress(item, item.size)
        return True

    def publish(self, records: Sequence[Record]) -> None:
        """As `Target` says. Another writer's records stay; the index is replaced when all blobs are on the disk."""
        mine: dict[str, Descriptor] = {}
        for record in records:
            described = Descriptor.of(record.manifest, OCI_MANIFEST)
            with new_file(self._directory / blob_path(described), known=True, durable=False) as out:
                out.write(record.manifest)
            mine[record.tag] = named(described, record.tag)
        with translated(self._directory), locked(self._directory) as lock:
            sync_file_system(lock)
            others = [item for item in entries_of(self._index()) if _name(item) not in mine]
            listed = [*others, *(item.to_plain() for item in mine.values())]
            plain = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": sorted(listed, key=_name)}
            with new_file(self._directory / "index.json", known=True) as out:
                out.write(canonical.dumps(plain))

    def _has(self, item: Descriptor) -> bool:
        path = self._directory / blob_path(item)
        return path.is_file() and path.stat().st_size == item.size

    def _index(self) -> bytes:
        path = self._directory / "index.json"
        if not path.exists():
            return b'{"manifests":[]}'
        try:
            raw = path.read_bytes()
            entries_of(raw)
        except IntegrityError as error:
            raise OutputError(f"{path}: {error.message}", hint="remove the directory: it is only a cache") from None
        return raw


def _name(item: object) -> str:
    """The name of an entry of an index; empty for one that has none."""
    annotations = item.get("annotations") if isinstance(item, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""
