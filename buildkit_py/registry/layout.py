"""Images in an OCI image layout: a directory (`oci:DIR[:ref]`) or a tar of one (`oci-archive:FILE[:ref]`).

    oci-layout                 {"imageLayoutVersion": "1.0.0"}
    index.json                 an index; annotations name its entries
    blobs/<algorithm>/<hex>    manifests, configurations, layers

Files are opened by descriptors relative to the directory, and no link is followed. Members of an archive are read where
they lie; nothing is unpacked. (OCI image specification, "Image Layout".)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, Index, check_bytes, parse_index
from buildkit_py.oci.media_types import OCI_INDEX
from buildkit_py.registry.blobs import BlobSource, BlobStream
from buildkit_py.registry.tarindex import Member, index_members

_CONTAINERD_NAME = "io.containerd.image.name"


class Files(Protocol):
    """The files of a layout."""

    def open(self, path: str) -> BinaryIO:
        """A file of the layout, at its start; raises `SourceInputError` where there is none."""

    def blob(self, path: str, offset: int) -> BlobStream:
        """A file of the layout, from `offset` on."""


class LayoutReader:
    """An image in a layout. `ref` picks one by its name, where the layout has several."""

    def __init__(self, name: str, files: Files, ref: str | None) -> None:
        self.name = name
        self.pinned: Digest | None = None
        self._files = files
        self._ref = ref

    def root(self) -> tuple[bytes, Descriptor]:
        """The manifest or index of that name; a layout of unnamed images is itself an index by platform."""
        self._check_version()
        raw = _read(self._files, "index.json", self.name)
        index = parse_index(raw)
        descriptor = self._pick(index)
        if descriptor is None:
            return raw, Descriptor.of(raw, OCI_INDEX)
        return self.document(descriptor), descriptor

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest, an index or a configuration, checked against its descriptor."""
        raw = _read(self._files, _blob_path(descriptor.digest), self.name)
        check_bytes(raw, descriptor, f"{descriptor.digest} in {self.name}")
        return raw

    def by_digest(self, digest: Digest) -> bytes:
        """A manifest or index among the layout's blobs."""
        return _read(self._files, _blob_path(digest), self.name)

    def sources(self) -> Sequence[BlobSource]:
        """The layout's blobs."""
        return [lambda descriptor, offset: self._files.blob(_blob_path(descriptor.digest), offset)]

    def _pick(self, index: Index) -> Descriptor | None:
        names = [set(names_of(item)) for item in index.manifests]
        if self._ref is not None:
            named = [item for item, own in zip(index.manifests, names, strict=True) if self._ref in own]
            if len({item.digest for item in named}) != 1:
                raise self._no_such(names)
            return named[0]
        if len(index.manifests) == 1:
            return index.manifests[0]
        if not index.manifests or any(names):
            raise self._no_such(names)
        return None

    def _no_such(self, names: Sequence[set[str]]) -> SourceInputError:
        known = sorted(set().union(*names))[:10]
        if self._ref is None:
            return SourceInputError(
                f"{self.name} holds {len(names)} images",
                hint=f"name one: {self.name}:NAME, where NAME is one of {', '.join(known)}" if known else None,
            )
        hint = f"it holds {', '.join(known)}" if known else "its images have no names: leave the name out"
        return SourceInputError(f"{self.name} holds no single image of that name", hint=hint)

    def _check_version(self) -> None:
        raw = _read(self._files, "oci-layout", self.name)
        try:
            version = json.loads(raw)["imageLayoutVersion"]
        except (ValueError, KeyError, TypeError, RecursionError):
            version = None
        if version != "1.0.0":
            raise IntegrityError(f"{self.name} is no image layout of version 1.0.0")


OpenAt = Callable[[Path, int], int]
"""Opens a path with flags of open(2) and gives the descriptor; raises `OSError`."""


class DirectoryFiles:
    """The files of a layout in a directory, which `open_at` opens."""

    def __init__(self, root: Path, open_at: OpenAt = os.open) -> None:
        self._root = root
        self._open_at = open_at

    def open(self, path: str) -> BinaryIO:
        """Open a regular file below the root, without following a link at any step below it."""
        try:
            with ExitStack() as opened:
                directory = self._open_at(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, directory)
                *parents, last = path.split("/")
                for parent in parents:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    directory = os.open(parent, flags, dir_fd=directory)
                    opened.callback(os.close, directory)
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                return _regular(os.fdopen(os.open(last, flags, dir_fd=directory), "rb"), self._root / path)
        except OSError as error:
            raise SourceInputError(f"can't read {self._root / path}: {error.strerror}") from None

    def blob(self, path: str, offset: int) -> BlobStream:
        """A file from `offset` on."""
        file = self.open(path)
        return Span(file, offset, os.fstat(file.fileno()).st_size, offset)


class ArchiveFiles:
    """The files of a layout in a tar, which `open_at` opens, and which is indexed once; with `links`, links inside are
    members too."""

    def __init__(self, path: Path, open_at: OpenAt = os.open, *, links: bool = False) -> None:
        self._path = path
        self._open_at = open_at
        self._links = links
        self._lock = Lock()
        self._members: dict[str, Member] | None = None

    def open(self, path: str) -> BinaryIO:
        """A member's bytes in memory; only documents are read so."""
        with self._span(path, 0) as span:
            import io

            return io.BytesIO(span.read(MAX_DOCUMENT + 1))

    def blob(self, path: str, offset: int) -> BlobStream:
        """A member from `offset` on."""
        return self._span(path, offset)

    def names(self) -> frozenset[str]:
        """The names of its regular members."""
        return frozenset(self._index())

    def size(self, path: str) -> int:
        """A member's size in bytes."""
        return self._member(path).size

    def _member(self, path: str) -> Member:
        member = self._index().get(path)
        if member is None:
            raise SourceInputError(f"{self._path} has no member {path!r}")
        return member

    def _span(self, path: str, offset: int) -> Span:
        member = self._member(path)
        return Span(self._archive(), member.start + offset, member.start + member.size, offset)

    def _index(self) -> dict[str, Member]:
        with self._lock:
            if self._members is None:
                with self._archive() as archive:
                    self._members = index_members(archive, str(self._path), links=self._links)
            return self._members

    def _archive(self) -> BinaryIO:
        try:
            fd = self._open_at(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceInputError(f"can't read {self._path}: {error.strerror}") from None
        return _regular(os.fdopen(fd, "rb"), self._path)


class Span:
    """A part of a file, from `start` to `end`; `offset` is where it begins in the blob that it belongs to."""

    def __init__(self, file: BinaryIO, start: int, end: int, offset: int) -> None:
        self._file = file
        self._at = start
        self._end = end
        self.offset = offset

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end."""
        try:
            piece = os.pread(self._file.fileno(), max(0, min(size, self._end - self._at)), self._at)
        except OSError as error:
            raise SourceInputError(f"can't read {self._file.name}: {error.strerror}") from None
        self._at += len(piece)
        return piece

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _regular(file: BinaryIO, path: Path) -> BinaryIO:
    import stat

    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SourceInputError(f"can't read {path}: it is not a regular file")
    return file


def _blob_path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def names_of(descriptor: Descriptor) -> list[str]:
    """What an entry of `index.json` is called: by containerd in full, and as the specification has it."""
    given = (descriptor.annotations.get(_CONTAINERD_NAME), descriptor.ref_name)
    return [name for name in given if name]


def _read(files: Files, path: str, name: str) -> bytes:
    with files.open(path) as file:
        raw = file.read(MAX_DOCUMENT + 1)
    if len(raw) > MAX_DOCUMENT:
        raise IntegrityError(f"{path} in {name} is too large; the limit is {MAX_DOCUMENT} bytes")
    return raw
