"""Pushing an image: blobs first and in parallel, then manifests, and the tag last, so that no tag ever dangles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import IO, TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor, Index, Manifest, read_document
from buildkit_py.oci.media_types import DOCUMENTS
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import BlobStore, Opens, Progress
from buildkit_py.registry.faults import is_page, page_fault
from buildkit_py.registry.parallel import run_all
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.retry import Cancel, either
from buildkit_py.registry.upload import Outcome, Upload

if TYPE_CHECKING:
    from buildkit_py.registry.client import RegistryClient

_MAX_DEPTH = 3
_PAGE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What a push did. Digests of blobs by how they came to be there; `bytes` were sent."""

    reference: str
    digest: str
    mounted: tuple[str, ...]
    uploaded: tuple[str, ...]
    existing: tuple[str, ...]
    manifests: tuple[str, ...]
    bytes: int

    def __str__(self) -> str:
        return (
            f"pushed {self.reference}: {len(self.uploaded)} blobs uploaded ({self.bytes} bytes), "
            f"{len(self.mounted)} mounted from other repositories, {len(self.existing)} there before"
        )


def push(
    client: RegistryClient,
    ref: Reference,
    descriptor: Descriptor,
    blobs: BlobStore,
    *,
    origins: Mapping[str, Reference],
    bring: Callable[[Descriptor], None] | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> PushReport:
    """Push the manifest or index that `descriptor` names and all that it needs; tag it as `ref` says.

    `origins` says of a blob's digest where it was pulled from: in the same registry it is mounted, not sent. `bring` is
    called for a blob that must be sent and is not in the store. Raises `RegistryError`, `Cancelled`, and whatever
    `bring` or the store raise.
    """
    documents = list(_documents(descriptor, blobs))
    mounts = {digest: source.repository for digest, source in origins.items() if source.registry == ref.registry}
    mounts = {digest: name for digest, name in mounts.items() if name != ref.repository}
    wanted = {item.digest: item for _, document in documents for item in _blobs_of(document)}
    needed = {mounts.get(str(digest)) for digest in wanted} - {None}
    endpoint = client.config.origin(ref.registry)
    repository = client.repository(endpoint, ref.repository, push=True, others=[name for name in needed if name])

    def one(item: Descriptor, stop: Event) -> Outcome:
        source = mounts.get(str(item.digest))
        name = endpoint.repository(source) if source else None
        return Upload(repository, item, StoredBlob(item, blobs, bring), progress, either(stop, cancel)).run(name)

    outcomes = list(zip(wanted.values(), run_all(one, list(wanted.values())), strict=True))
    for item, document in documents:
        put_document(repository, item, document.raw, cancel)
    if ref.tag is not None and documents[-1][0].digest == descriptor.digest:
        put_document(repository, descriptor, documents[-1][1].raw, cancel, tag=ref.tag)
    return _report(ref, descriptor, documents, outcomes)


class StoredBlob:
    """A blob of the store, or one that `bring` puts there."""

    failed = False

    def __init__(self, item: Descriptor, blobs: Opens, bring: Callable[[Descriptor], None] | None) -> None:
        self._item = item
        self._blobs = blobs
        self._bring = bring

    def open(self, offset: int) -> IO[bytes]:
        """Its bytes from `offset`."""
        digest = str(self._item.digest)
        if self._bring is not None and not self._blobs.has(digest):
            self._brought(self._bring)
        file = self._blobs.open(digest)
        file.seek(offset)
        return file

    def _brought(self, bring: Callable[[Descriptor], None]) -> None:
        try:
            bring(self._item)
        except BaseException:
            self.failed = True
            raise

    def verify(self) -> None:
        """Before a registry, which need not look, gives the bytes their name."""
        self._blobs.check(str(self._item.digest))


def _documents(
    descriptor: Descriptor, blobs: BlobStore, depth: int = 0
) -> Iterator[tuple[Descriptor, Manifest | Index]]:
    """All manifests and indexes, each after those that it names."""
    if depth > _MAX_DEPTH:
        raise IntegrityError(f"{descriptor.digest} is an index of indexes without an end")
    document = read_document(blobs.read(str(descriptor.digest)), descriptor.media_type)
    if isinstance(document, Index):
        for item in document.manifests:
            if item.media_type in DOCUMENTS:
                yield from _documents(item, blobs, depth + 1)
    yield descriptor, document


def _blobs_of(document: Manifest | Index) -> list[Descriptor]:
    if isinstance(document, Manifest):
        return [*document.layers, document.config]
    return [item for item in document.manifests if item.media_type not in DOCUMENTS]


def put_document(
    repository: Repository, descriptor: Descriptor, raw: bytes, cancel: Cancel | None = None, tag: str | None = None
) -> bool:
    """Put a document, whose blobs must be there, under its digest or under a tag. Whether the registry keeps a list of
    what refers to its subject (`OCI-Subject`). Raises `RegistryError`, `IntegrityError`."""
    target = tag or str(descriptor.digest)
    what = f"can't push {repository}{':' if tag else '@'}{target}"

    def put() -> bool:
        headers = {"Content-Type": descriptor.media_type}
        url = repository.url(f"manifests/{target}")
        with repository.send("PUT", url, what, good=(200, 201, 202), headers=headers, body=raw) as answer:
            given, subject = answer.header("Docker-Content-Digest"), answer.header("OCI-Subject")
            if answer.status == 200 and is_page(answer.read_all(_PAGE)):
                # A server of one page answers so to everything, and keeps nothing.
                raise page_fault(what, repository.endpoint.host, 200)
        if given is not None and given.startswith("sha256:") and given != str(descriptor.digest):
            raise IntegrityError(f"{what}: {repository.endpoint.host} stored other bytes ({given[:80]})")
        return subject is not None

    return repository.retry.call(put, cancel)


def _report(
    ref: Reference,
    descriptor: Descriptor,
    documents: list[tuple[Descriptor, Manifest | Index]],
    outcomes: list[tuple[Descriptor, Outcome]],
) -> PushReport:
    def digests(outcome: Outcome) -> tuple[str, ...]:
        return tuple(str(item.digest) for item, found in outcomes if found == outcome)

    return PushReport(
        reference=str(ref),
        digest=str(descriptor.digest),
        mounted=digests("mounted"),
        uploaded=digests("uploaded"),
        existing=digests("existing"),
        manifests=tuple(dict.fromkeys(str(item.digest) for item, _ in documents)),
        bytes=sum(item.size for item, outcome in outcomes if outcome == "uploaded"),
    )
