"""A plain directory (`dir:PATH`) as a destination; it holds one image, and what is of an earlier one goes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from buildkit_py.errors import OutputError
from buildkit_py.image.staging import exclusive, translated
from buildkit_py.oci import Descriptor, Index, Manifest
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.directory import ROOT, VERSION, blob_name, document_name
from buildkit_py.registry.parallel import JOBS
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.transfer.destination import Outcome
from buildkit_py.transfer.local import PARTIAL, LocalBlobs
from buildkit_py.transfer.plan import Node

_OURS = re.compile(r"(?:sha(?:384|512)-)?[0-9a-f]{64,128}(?:\.manifest\.json)?\Z")
_VERSION = "version"


class DirectoryDestination:
    """A directory that is empty, not there yet, or holds an image of this form. Raises `OutputError`."""

    jobs = JOBS
    keeps_manifests = True

    def __init__(self, directory: Path, retry: Retry) -> None:
        self._directory = directory
        self._blobs = LocalBlobs(directory, blob_name, retry, (_VERSION, VERSION))
        self._documents: dict[str, bytes] = {}
        self._wanted = {_VERSION, ROOT, PARTIAL}
        self._taken: set[str] = set()
        with translated(directory):
            found = {path.name for path in directory.iterdir()} if directory.exists() else set()
            if found and _VERSION not in found:
                raise OutputError(f"{directory} is not empty and is no image of `dir:`", hint="name an empty directory")

    def accept(self, document: Manifest | Index) -> None:
        """A directory holds whatever has a manifest."""

    def holds(self, root: Node, name: str | None) -> bool:
        """Never: each part is looked at by itself."""
        return False

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """Fetch it, or go on with what an earlier process left of it."""
        outcome = self._blobs.take(item, sources, progress, cancel)
        self._taken.add(blob_name(item.digest))
        return outcome

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Write it beside the blobs; the one that the image is known by comes last, under another name."""
        self._documents[str(item.digest)] = document.raw

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """Write the manifests, and remove what the image that was here before leaves behind."""
        with exclusive(self._directory), translated(self._directory):
            self._check()
            for digest, raw in self._documents.items():
                if digest != str(root.digest):
                    self._put(Descriptor.of(raw, root.media_type), raw)
            self._blobs.put(root, self._documents[str(root.digest)], ROOT)
            self._blobs.tidy()
            for path in self._directory.iterdir():
                if path.name not in self._wanted | self._taken and _OURS.match(path.name):
                    with suppress(OSError):
                        path.unlink()
        return None

    def _check(self) -> None:
        """Another copy of another image into the same directory removes what is not its own."""
        there = {path.name for path in self._directory.iterdir()}
        if self._taken - there:
            raise OutputError(
                f"another image was copied to {self._directory} meanwhile", hint="copy them one after the other"
            )

    def _put(self, item: Descriptor, raw: bytes) -> None:
        name = document_name(item.digest)
        self._wanted.add(name)
        self._blobs.put(item, raw, name)
