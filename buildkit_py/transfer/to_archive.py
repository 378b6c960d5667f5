"""Archives as destinations: one tar file that takes the place of the old one when it is whole.

An OCI archive holds blobs as they come, then `index.json` and `oci-layout`; a Docker archive ends with `manifest.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from io import BufferedReader, BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from buildkit_py import canonical
from buildkit_py.errors import IntegrityError, OutputError, SourceInputError
from buildkit_py.image.docker import add_unpacked, config_name, layer_name, row
from buildkit_py.image.layout import LAYOUT, blob_path, index_json, named
from buildkit_py.image.tarball import Tarball
from buildkit_py.oci import Descriptor, Index, Manifest, parse_index
from buildkit_py.oci.media_types import CONFIGS, layer_compression
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.dockerarchive import ArchivedImage, archived_images
from buildkit_py.registry.incoming import Incoming
from buildkit_py.registry.layout import ArchiveFiles
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.transfer.destination import Outcome, from_first
from buildkit_py.transfer.plan import Node

_CHUNK = 1 << 20


class _Archive:
    """What both have in common. A context manager: left well, what was `opened` is whole.

    `names` are those of images that come without one; `room` is a directory for what must be unpacked. `old` is the
    file that would be replaced: where it holds just the image that comes, nothing is written.
    """

    jobs = 1

    def __init__(
        self,
        opened: AbstractContextManager[BinaryIO],
        names: Sequence[str],
        retry: Retry,
        *,
        room: Path,
        old: Path | None = None,
    ) -> None:
        self._opened = opened
        self._names = tuple(names)
        self._retry = retry
        self._room = room
        self._old = old
        self._kept = False
        self._made: Tarball | None = None
        self._stack = ExitStack()
        self._members: set[str] = set()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._kept:
            try:
                self._end()
                self._tar.close()
            except BaseException as failure:
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)

    @property
    def _tar(self) -> Tarball:
        """The new file, begun when something is written."""
        if self._made is None:
            self._made = Tarball(self._stack.enter_context(self._opened))
        return self._made

    def holds(self, root: Node, name: str | None) -> bool:
        """Whether the old file holds this image and nothing else."""
        if self._old is None or not self._old.is_file():
            return False
        files = ArchiveFiles(self._old)
        try:
            self._kept = self._same(files, root, [name] if name else self._names)
        except (IntegrityError, SourceInputError):
            return False
        return self._kept

    def _same(self, files: ArchiveFiles, root: Node, names: Sequence[str]) -> bool:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def _add(self, path: str, data: bytes) -> None:
        if path not in self._members:
            self._members.add(path)
            self._tar.file(path, len(data), BytesIO(data))

    def _take(
        self, path: str, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        if path in self._members:
            return "existing"

        def take(incoming: Incoming) -> Outcome:
            mark = self._tar.size
            try:
                with BufferedReader(incoming.open(), _CHUNK) as file:
                    self._write(path, item, file)
                    while file.read(_CHUNK):
                        pass
                incoming.verify()
            except BaseException:
                self._tar.rewind(mark)
                raise
            return "copied"

        outcome = from_first(item, sources, take, retry=self._retry, progress=progress, cancel=cancel)
        self._members.add(path)
        return outcome

    def _write(self, path: str, item: Descriptor, content: BinaryIO) -> None:
        self._tar.file(path, item.size, content)


class OciArchive(_Archive):
    """An image layout in a tar."""

    keeps_manifests = True

    def __enter__(self) -> OciArchive:
        super().__enter__()
        self._listed: list[Descriptor] = []
        return self

    def accept(self, document: Manifest | Index) -> None:
        """A layout holds whatever has a manifest."""

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """Add it to the tar."""
        return self._take(blob_path(item), item, sources, progress, cancel)

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Add it to the tar."""
        self._add(blob_path(item), document.raw)

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """List it."""
        names: Iterable[str | None] = [name] if name else self._names or [None]
        self._listed.extend(named(root, each) if each else root for each in names)
        return None

    def _same(self, files: ArchiveFiles, root: Node, names: Sequence[str]) -> bool:
        with files.open("index.json") as file:
            rows = parse_index(file.read()).manifests
        listed = [(row.digest, row.ref_name) for row in rows]
        called: Sequence[str | None] = names or [None]
        wanted = [(root.descriptor.digest, name) for name in called]
        parts = [*(node.descriptor for node in root.all()), *root.blobs()]
        return listed == wanted and _has(files, {blob_path(item): item.size for item in parts})

    def _end(self) -> None:
        self._add("index.json", index_json(self._listed))
        self._add("oci-layout", LAYOUT)


class DockerArchive(_Archive):
    """What `docker load` and `podman load` take. Manifests are not kept, and zstd layers are unpacked on the way."""

    keeps_manifests = False

    def __enter__(self) -> DockerArchive:
        super().__enter__()
        self._rows: dict[str, dict[str, Any]] = {}
        self._manifests: dict[str, Manifest] = {}
        return self

    def accept(self, document: Manifest | Index) -> None:
        """It holds container images alone."""
        if isinstance(document, Index):
            raise OutputError("a Docker archive holds images of one platform each", hint="choose one with --platform")
        kinds = [document.config.media_type, *(layer.media_type for layer in document.layers)]
        for kind in kinds:
            if kind not in CONFIGS and layer_compression(kind) is None:
                raise IntegrityError(f"{document.digest} is no container image: it holds {kind[:100]!r}")

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """Add a layer or a configuration to the tar."""
        path = f"{item.digest.hex}.json" if item.media_type in CONFIGS else layer_name(item)
        return self._take(path, item, sources, progress, cancel)

    def _write(self, path: str, item: Descriptor, content: BinaryIO) -> None:
        if layer_compression(item.media_type) == "zstd":
            add_unpacked(self._tar, path, item, content, self._room)
        else:
            super()._write(path, item, content)

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Keep what it says of the layers' order."""
        assert isinstance(document, Manifest)
        self._manifests[str(item.digest)] = document

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """Note the tags; one image may come with several."""
        manifest = self._manifests[str(root.digest)]
        names = [name] if name else self._names
        made = self._rows.setdefault(config_name(manifest), row(manifest, ()))
        made["RepoTags"] = list(dict.fromkeys([*made["RepoTags"], *row(manifest, names)["RepoTags"]]))
        return None

    def _same(self, files: ArchiveFiles, root: Node, names: Sequence[str]) -> bool:
        if not isinstance(root.document, Manifest):
            return False
        about = row(root.document, names)
        wanted = ArchivedImage(tags=tuple(about["RepoTags"]), config=about["Config"], layers=tuple(about["Layers"]))
        sizes: dict[str, int | None] = {about["Config"]: root.document.config.size}
        for layer in root.document.layers:
            # How long an unpacked layer is, nobody says.
            sizes[layer_name(layer)] = None if layer_compression(layer.media_type) == "zstd" else layer.size
        return archived_images(files, str(self._old)) == (wanted,) and _has(files, sizes)

    def _end(self) -> None:
        self._add("manifest.json", canonical.dumps(list(self._rows.values())))


def _has(files: ArchiveFiles, sizes: Mapping[str, int | None]) -> bool:
    """Whether an archive has these members, with these sizes where they are known."""
    return sizes.keys() <= files.names() and all(size in (None, files.size(path)) for path, size in sizes.items())
