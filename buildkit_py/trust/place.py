"""What hangs on the images of one repository: read through its mirrors, written to the registry itself.

Referrers are found by the registry's API, and where it has none by an index under the tag `sha256-HEX` (OCI
distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema").
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, TypeVar

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, Index, Manifest, check_bytes, parse_index
from buildkit_py.oci.media_types import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.config import Endpoint
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.push import put_document
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.tags import next_page
from buildkit_py.registry.upload import Upload
from buildkit_py.trust.foreign import MAX_BYTES

T = TypeVar("T")
_ABSENT = (404, 405)
_MOST_PAGES = 20
_MOST = 256
_ATTEMPTS = 5


def tag_of(digest: Digest, suffix: str = "") -> str:
    """The tag that stands for what hangs on a digest."""
    return f"{digest.algorithm}-{digest.hex}{suffix}"


class Place:
    """The repository of a reference."""

    def __init__(self, client: RegistryClient, ref: Reference) -> None:
        self.ref = ref
        self._client = client
        self._dead: set[Endpoint] = set()

    def document(self, target: str) -> Manifest | Index | None:
        """The manifest or index of a tag or a digest; None where no endpoint has it. Raises `RegistryError`,
        `IntegrityError`."""
        return self._first(lambda repository: _document(repository, target))

    def blob(self, descriptor: Descriptor) -> bytes:
        """A small blob, checked. Raises `RegistryError`, `IntegrityError`."""
        if descriptor.size > MAX_BYTES:
            raise IntegrityError(f"{descriptor.digest} has {descriptor.size} bytes, which is too large for a signature")
        found = self._first(lambda repository: _blob(repository, descriptor))
        if found is None:
            raise IntegrityError(f"{descriptor.digest} is not in {self.ref.name}, although a manifest names it")
        return found

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """The descriptors of what refers to a manifest, in the order of the registry."""
        return self._first(lambda repository: _referrers(repository, digest) or None) or ()

    def attach(self, subject: Descriptor, kind: str, layer: Artifact, annotations: Mapping[str, str]) -> Descriptor:
        """Put a manifest of the type `kind` that refers to `subject` and holds one layer."""
        target = self._origin()
        config = _sent(target, b"{}", OCI_EMPTY)
        plain = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": config.to_plain(),
            "layers": [{**_sent(target, layer.raw, layer.media_type).to_plain(), **layer.more}],
            "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
            "annotations": dict(annotations),
        }
        raw = json.dumps(plain, separators=(",", ":")).encode()
        made = Descriptor(
            media_type=OCI_MANIFEST,
            digest=Digest.of(raw),
            size=len(raw),
            annotations=annotations,
            artifact_type=kind,
        )
        if not put_document(target, made, raw):
            self._list(target, subject.digest, made)
        return made

    def adopt(self, subject: Digest, document: Manifest, blob: Callable[[Descriptor], bytes]) -> None:
        """Put a manifest that refers to `subject` in another repository here too; `blob` reads what it names."""
        target = self._origin()
        if any(item.digest == document.digest for item in _referrers(target, subject)):
            return
        for item in (document.config, *document.layers):
            _sent(target, blob(item), item.media_type)
        kind = document.artifact_type or document.config.media_type
        made = replace(document.descriptor, annotations=document.annotations, artifact_type=kind)
        if not put_document(target, made, document.raw):
            self._list(target, subject, made)

    def change(self, tag: str, changed: Callable[[Manifest | Index | None, Send], bytes | None]) -> None:
        """Replace the document of a tag by what `changed` makes of it, None to leave it.

        No registry locks a tag: what another process wrote meanwhile is seen by reading again, until `changed` finds
        nothing more to do.
        """
        target = self._origin()

        def send(raw: bytes, media_type: str) -> Descriptor:
            return _sent(target, raw, media_type)

        for _ in range(_ATTEMPTS):
            raw = changed(_document(target, tag), send)
            if raw is None:
                return
            media_type = json.loads(raw).get("mediaType") or OCI_MANIFEST
            put_document(target, Descriptor.of(raw, media_type), raw, tag=tag)
        raise RegistryError(f"others keep changing {target}:{tag}", hint="sign again when they are done")

    def _list(self, target: Repository, subject: Digest, made: Descriptor) -> None:
        """Add to the index that stands for the API where a registry has none."""

        def changed(known: Manifest | Index | None, _: Send) -> bytes | None:
            listed = list(known.manifests) if isinstance(known, Index) else []
            if any(item.digest == made.digest for item in listed):
                return None
            manifests = [item.to_plain() for item in (*listed, made)]
            plain = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
            return json.dumps(plain, separators=(",", ":")).encode()

        self.change(tag_of(subject), changed)

    def _origin(self) -> Repository:
        endpoint = self._client.config.origin(self.ref.registry)
        return self._client.repository(endpoint, self.ref.repository, push=True)

    def _first(self, ask: Callable[[Repository], T]) -> T:
        """The first endpoint's answer that is not None; a mirror's failure does not count, the registry's does."""
        *mirrors, origin = self._client.config.endpoints(self.ref.registry)
        for endpoint in (item for item in mirrors if item not in self._dead):
            try:
                found = ask(self._client.repository(endpoint, self.ref.repository))
            except (RegistryError, IntegrityError):
                self._dead.add(endpoint)
            else:
                if found is not None:
                    return found
        return ask(self._client.repository(origin, self.ref.repository))


Send = Callable[[bytes, str], Descriptor]
"""Uploads a blob of a media type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The bytes of one layer; `more` are further fields of its descriptor."""

    raw: bytes
    media_type: str
    more: Mapping[str, Any]


class _Bytes:
    """One blob in memory, as an upload reads it."""

    failed = False

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def open(self, offset: int) -> BinaryIO:
        """Its bytes from `offset`."""
        file = io.BytesIO(self._raw)
        file.seek(offset)
        return file

    def verify(self) -> None:
        """They are what the digest was made of."""


def _sent(repository: Repository, raw: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor.of(raw, media_type)
    Upload(repository, descriptor, _Bytes(raw)).run(None)
    return descriptor


def _document(repository: Repository, target: str) -> Manifest | Index | None:
    try:
        return repository.document(target)[0]
    except TransferError as error:
        if error.status == 404:
            return None
        raise


def _blob(repository: Repository, descriptor: Descriptor) -> bytes | None:
    def read() -> bytes:
        with repository.blob(descriptor) as stream:
            raw = b""
            while len(raw) <= descriptor.size and (piece := stream.read(descriptor.size + 1 - len(raw))):
                raw += piece
        return raw

    try:
        raw = repository.retry.call(read)
    except TransferError as error:
        if error.status == 404:
            return None
        raise
    check_bytes(raw, descriptor, f"{repository}@{descriptor.digest}")
    return raw


def _referrers(repository: Repository, digest: Digest) -> tuple[Descriptor, ...]:
    listed = _by_api(repository, digest)
    if listed is None:
        index = _document(repository, tag_of(digest))
        listed = index.manifests if isinstance(index, Index) else ()
    return tuple(listed)[:_MOST]


def _by_api(repository: Repository, digest: Digest) -> Iterable[Descriptor] | None:
    """What the API lists, None where there is no such API."""
    listed: list[Descriptor] = []
    url: str | None = repository.url(f"referrers/{digest}")
    for _ in range(_MOST_PAGES):
        if url is None or len(listed) >= _MOST:
            break
        page, url = repository.retry.call(_page(repository, url))
        if page is None:
            return None
        listed += page
    return listed


def _page(repository: Repository, url: str) -> Callable[[], tuple[tuple[Descriptor, ...] | None, str | None]]:
    def read() -> tuple[tuple[Descriptor, ...] | None, str | None]:
        what = f"can't list what refers to an image of {repository}"
        with repository.send("GET", url, what, good=(200, *_ABSENT), headers={"Accept": OCI_INDEX}) as answer:
            if answer.status in _ABSENT:
                return None, None
            raw = answer.read_all(MAX_DOCUMENT)
            following = next_page(answer, url, what)
        return parse_index(raw).manifests, following

    return read
