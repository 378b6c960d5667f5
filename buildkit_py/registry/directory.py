"""An image as plain files in a directory, `dir:PATH`, as skopeo and its like have it for looking at by hand.

version                 Directory Transport Version: 1.1
manifest.json           the manifest, or the index
HEX.manifest.json       the manifests that an index names
HEX                     configurations and layers
"""

from __future__ import annotations

from collections.abc import Sequence

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, check_bytes, parse_document
from buildkit_py.oci.media_types import DOCUMENTS
from buildkit_py.registry.blobs import BlobSource
from buildkit_py.registry.layout import Files

VERSION = b"Directory Transport Version: 1.1\n"
ROOT = "manifest.json"


def blob_name(digest: Digest) -> str:
    """The file of a configuration or a layer."""
    return digest.hex if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.hex}"


def document_name(digest: Digest) -> str:
    """The file of a manifest that an index names."""
    return f"{blob_name(digest)}.{ROOT}"


class DirectoryReader:
    """The image in a directory."""

    def __init__(self, name: str, files: Files) -> None:
        self.name = name
        self.pinned: Digest | None = None
        self._files = files

    def root(self) -> tuple[bytes, Descriptor]:
        """The manifest or index; its media type is what it says itself."""
        raw = self._read(ROOT)
        return raw, Descriptor.of(raw, parse_document(raw).media_type)

    def by_digest(self, digest: Digest) -> bytes:
        """The manifest of that digest."""
        raw = self._read(ROOT)
        return raw if Digest.of(raw) == digest else self._read(document_name(digest))

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest, an index or a configuration, checked against its descriptor."""
        if descriptor.media_type in DOCUMENTS:
            raw = self.by_digest(descriptor.digest)
        else:
            raw = self._read(blob_name(descriptor.digest))
        check_bytes(raw, descriptor, f"{descriptor.digest} in {self.name}")
        return raw

    def sources(self) -> Sequence[BlobSource]:
        """The directory's files."""
        return [lambda descriptor, offset: self._files.blob(blob_name(descriptor.digest), offset)]

    def _read(self, path: str) -> bytes:
        try:
            with self._files.open(path) as file:
                raw = file.read(MAX_DOCUMENT + 1)
        except SourceInputError as error:
            error.hint = f"a directory of `dir:` has a {ROOT}; one with an index.json is `oci:`"
            raise
        if len(raw) > MAX_DOCUMENT:
            raise IntegrityError(f"{path} in {self.name} is too large; the limit is {MAX_DOCUMENT} bytes")
        return raw
