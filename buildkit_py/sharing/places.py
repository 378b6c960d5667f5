"""Where a shared cache is: a repository of a registry, or an OCI image layout in a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError, SourceInputError
from buildkit_py.oci import Descriptor, check_bytes
from buildkit_py.oci.descriptor import REF_NAME
from buildkit_py.registry.layout import DirectoryFiles, LayoutReader

if TYPE_CHECKING:
    from buildkit_py.reference import Reference
    from buildkit_py.registry.blobs import BlobSource
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.registry.repository import Repository

INDEX_LIMIT = 256 << 20
NOT_THERE = 404
_MAX_CONFIG = 1 << 20


class Unreachable(Exception):  # noqa: N818 - an answer, not a fault
    """Nothing can be asked of a cache; `reason` says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Place(Protocol):
    """A cache that can be read. Thread-safe; nothing is asked before it is needed.

    `name` is for people; `origin` is what the store remembers of a blob that is there.
    """

    name: str
    origin: str

    def get(self, tag: str) -> bytes | None:
        """The manifest of that tag, None where there is none. Raises `Unreachable`, `IntegrityError`."""

    def config(self, descriptor: Descriptor) -> bytes:
        """A small blob, checked. Raises `Unreachable`, `IntegrityError`."""

    def sources(self) -> Sequence[BlobSource]:
        """Where its blobs can be read."""


class Registry:
    """A repository. It is asked of itself, never through a mirror, which may know an older tag."""

    def __init__(self, client: RegistryClient, ref: Reference) -> None:
        self.name = ref.name
        self.origin = ref.name
        self._client = client
        self._ref = ref

    @cached_property
    def _repository(self) -> Repository:
        return self._client.repository(self._client.config.origin(self._ref.registry), self._ref.repository)

    def get(self, tag: str) -> bytes | None:
        """As `Place` says."""
        try:
            return self._repository.document(tag)[0].raw
        except RegistryError as error:
            if error.status == NOT_THERE:
                return None
            raise Unreachable(error.message) from None

    def config(self, descriptor: Descriptor) -> bytes:
        """As `Place` says."""

        def fetch() -> bytes:
            pieces = bytearray()
            with self._repository.blob(descriptor) as stream:
                while len(pieces) <= min(descriptor.size, _MAX_CONFIG) and (piece := stream.read(_MAX_CONFIG)):
                    pieces += piece
            return bytes(pieces)

        try:
            raw = self._repository.retry.call(fetch)
        except RegistryError as error:
            raise Unreachable(error.message) from None
        check_bytes(raw, descriptor, f"{descriptor.digest}")
        return raw

    def sources(self) -> Sequence[BlobSource]:
        """As `Place` says."""
        return [lambda descriptor, offset: self._repository.blob(descriptor, offset)]


class Layout:
    """A directory. Its `index.json` is read once; no link in it is followed."""

    def __init__(self, directory: Path) -> None:
        self.name = str(directory)
        self.origin = f"oci:{directory}"
        self._files = DirectoryFiles(directory)
        self._reader = LayoutReader(self.name, self._files, None)
        self._lock = Lock()
        self._tags: dict[str, Descriptor] | None = None
        self._directory = directory

    def get(self, tag: str) -> bytes | None:
        """As `Place` says."""
        with self._lock:
            if self._tags is None:
                self._tags = self._read()
        found = self._tags.get(tag)
        if found is None:
            return None
        try:
            return self._reader.document(found)
        except SourceInputError as error:
            raise IntegrityError(error.message) from None

    def config(self, descriptor: Descriptor) -> bytes:
        """As `Place` says."""
        try:
            return self._reader.document(descriptor)
        except SourceInputError as error:
            raise IntegrityError(error.message) from None

    def sources(self) -> Sequence[BlobSource]:
        """As `Place` says."""
        return self._reader.sources()

    def _read(self) -> dict[str, Descriptor]:
        if not self._directory.is_dir():
            raise Unreachable(f"there is no directory {self._directory}")
        try:
            with self._files.open("index.json") as file:
                raw = file.read(INDEX_LIMIT + 1)
            return tags_of(raw)
        except SourceInputError as error:
            raise Unreachable(error.message) from None
        except OSError as error:
            raise Unreachable(f"can't read {self._directory / 'index.json'}: {os.strerror(error.errno or 0)}") from None
        except IntegrityError as error:
            raise Unreachable(f"{self._directory / 'index.json'}: {error.message}") from None


def entries_of(raw: bytes) -> list[dict[str, Any]]:
    """The entries of an `index.json`, of which there may be many thousands. Raises `IntegrityError`."""
    try:
        if len(raw) > INDEX_LIMIT:
            raise IntegrityError(f"it is larger than {INDEX_LIMIT} bytes")
        found = json.loads(raw)["manifests"]
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise TypeError
    except (ValueError, TypeError, LookupError, RecursionError):
        raise IntegrityError("it is no index of an image layout") from None
    return found


def tags_of(raw: bytes) -> dict[str, Descriptor]:
    """The descriptors of an `index.json` by their names; what has none, or is malformed, is passed over."""
    tags: dict[str, Descriptor] = {}
    for item in entries_of(raw):
        try:
            name, media_type, size = item["annotations"][REF_NAME], item["mediaType"], item["size"]
            digest = Digest.parse(item["digest"])
        except (LookupError, TypeError, AttributeError, IntegrityError):
            continue
        if isinstance(name, str) and isinstance(media_type, str) and type(size) is int and size >= 0:
            tags[name] = Descriptor(media_type=media_type, digest=digest, size=size)
    return tags
