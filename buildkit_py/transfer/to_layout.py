"""An OCI image layout in a directory as a destination. Other images in it stay; one of the same name is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from buildkit_py.digest import Digest
from buildkit_py.image.layout import LAYOUT, listed, with_image
from buildkit_py.image.staging import exclusive, is_empty, new_file, translated
from buildkit_py.oci import Descriptor, Index, Manifest
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.parallel import JOBS
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.transfer.destination import Outcome
from buildkit_py.transfer.local import LocalBlobs
from buildkit_py.transfer.plan import Node


class LayoutDestination:
    """A layout; `name` is what an image is called in it, None for one without a name. Raises `OutputError`."""

    jobs = JOBS
    keeps_manifests = True

    def __init__(self, directory: Path, name: str | None, retry: Retry) -> None:
        self._directory = directory
        self._name = name
        self._blobs = LocalBlobs(directory, _blob_path, retry, ("oci-layout", LAYOUT))
        with translated(directory):
            if directory.exists() and not is_empty(directory):
                listed(directory)

    def accept(self, document: Manifest | Index) -> None:
        """A layout holds whatever has a manifest."""

    def holds(self, root: Node, name: str | None) -> bool:
        """Never: each part is looked at by itself."""
        return False

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """Fetch it, or go on with what an earlier process left of it."""
        return self._blobs.take(item, sources, progress, cancel)

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Write it among the blobs."""
        if not self._blobs.has(item):
            self._blobs.put(item, document.raw)

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """List it in `index.json`."""
        called = name or self._name
        with exclusive(self._directory):
            index, before = with_image(listed(self._directory), root, called)
            with new_file(self._directory / "index.json", known=True) as out:
                out.write(index)
        self._blobs.tidy()
        return before


def _blob_path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"
