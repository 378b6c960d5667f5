"""From an image's name to a reader of it: a registry reference, or one of

oci:DIR[:NAME]   oci-archive:FILE[:NAME]   docker-archive:FILE[:NAME]   dir:PATH
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.digest import Digest
from buildkit_py.errors import UsageError
from buildkit_py.reference import Reference, is_local
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.layout import ArchiveFiles, DirectoryFiles, LayoutReader, OpenAt

if TYPE_CHECKING:
    from buildkit_py.registry.client import RegistryClient


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedLayout:
    """An OCI layout anywhere on this machine that the client offers to a build; `name` and `digest` pick one image."""

    path: Path
    name: str | None = None
    digest: str | None = None

    def reader(self, text: str) -> ImageReader:
        """A reader of the image, which is called `text`."""
        reader = LayoutReader(text, DirectoryFiles(self.path.absolute()), self.name)
        reader.pinned = Digest.parse(self.digest) if self.digest is not None else None
        return reader


def offered(text: str, layouts: Mapping[str, OfferedLayout]) -> OfferedLayout | None:
    """The layout that `oci:NAME` means, where a client offers one of that name."""
    kind, _, name = text.partition(":")
    return layouts.get(name) if kind == "oci" else None


def open_reader(text: str, client: RegistryClient, *, directory: Path, open_at: OpenAt = os.open) -> ImageReader:
    """A reader of the image that `text` names; local paths are relative to `directory`. Nothing is read yet.

    `open_at` opens them: who did not write `text` passes one that leaves `directory` by no path and no link.

    Raises `UsageError` on a name that makes no sense.
    """
    kind, _, rest = text.partition(":")
    if kind == "docker" and rest.startswith("//"):
        return client.reader(Reference.parse(rest[2:]))
    if not is_local(text):
        return client.reader(Reference.parse(text))
    if kind == "dir":
        from buildkit_py.registry.directory import DirectoryReader

        return DirectoryReader(text, DirectoryFiles(directory / rest, open_at))
    path, ref = split(kind, rest)
    if kind == "docker-archive":
        from buildkit_py.registry.dockerarchive import DockerArchiveReader

        return DockerArchiveReader(text, ArchiveFiles(directory / path, open_at, links=True), ref)
    files = DirectoryFiles(directory / path, open_at) if kind == "oci" else ArchiveFiles(directory / path, open_at)
    return LayoutReader(text, files, ref)


def split(kind: str, rest: str) -> tuple[str, str | None]:
    """Path and name of `KIND:PATH[:NAME]`: at the first colon, as other tools do. Raises `UsageError`."""
    path, colon, ref = rest.partition(":")
    if not path or (colon and not ref):
        what = "DIRECTORY" if kind == "oci" else "FILE"
        raise UsageError(
            f"not the name of an image: {f'{kind}:{rest}'!r}", hint=f"write {kind}:{what} or {kind}:{what}:NAME"
        )
    return path, ref or None
