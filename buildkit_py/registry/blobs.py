"""What transfers ask of a store of blobs and of a reader of images, as protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from buildkit_py.digest import Digest
from buildkit_py.oci import Descriptor

Progress = Callable[[Descriptor, int], None]
"""Called with a blob and how many of its bytes are there now; from several threads."""


class Partial(Protocol):
    """A blob that is being fetched, held by this process alone. It survives a failure, and is taken up again."""

    @property
    def done(self) -> bool:
        """Whether the whole blob is there already."""

    @property
    def offset(self) -> int:
        """How many bytes are there."""

    def expect(self, size: int, /) -> None:
        """Raise `StoreError` where there is no room for a blob of so many bytes."""

    def append(self, data: bytes, /) -> None:
        """Add bytes at the end."""

    def restart(self) -> None:
        """Forget all bytes."""

    def commit(self) -> object:
        """Check the digest and publish; raises `IntegrityError` and forgets all bytes if they are wrong."""


class Receives(Protocol):
    """Where blobs can be put."""

    def partial(self, digest: str) -> AbstractContextManager[Partial]:
        """Take a blob in hand to fetch it, after waiting for whoever has it in hand."""


class Opens(Protocol):
    """Where blobs can be read."""

    def has(self, digest: str) -> bool:
        """Whether the whole blob is there."""

    def open(self, digest: str) -> BinaryIO:
        """A blob's bytes."""

    def check(self, digest: str) -> None:
        """Raise `IntegrityError` where a blob's bytes are not those named."""


class BlobStore(Receives, Opens, Protocol):
    """The blobs of a store."""

    def read(self, digest: str) -> bytes:
        """A small blob, checked against its digest."""

    def put(self, data: bytes) -> str:
        """Store a small blob; its digest."""


class HasBlobs(Protocol):
    """A store."""

    @property
    def blobs(self) -> BlobStore:
        """Its blobs."""


class BlobStream(Protocol):
    """The bytes of a blob from `offset` on, which may be less than what was asked for, never more."""

    @property
    def offset(self) -> int:
        """Where the first byte that is read stands in the blob."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""

    def __enter__(self) -> BlobStream: ...

    def __exit__(self, *error: object) -> None: ...


BlobSource = Callable[[Descriptor, int], BlobStream]


class ImageReader(Protocol):
    """Where an image can be read from: a registry, an image layout, an archive. Opened lazily, thread-safe."""

    @property
    def name(self) -> str:
        """The image's name for people, as it was written."""

    @property
    def pinned(self) -> Digest | None:
        """The digest that the name itself gives, if it gives one."""

    def root(self) -> tuple[bytes, Descriptor]:
        """The manifest or index that the name stands for."""

    def by_digest(self, digest: Digest) -> bytes:
        """A manifest or index beside the one that the name stands for; the caller checks it."""

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest, an index or a configuration, checked against its descriptor."""

    def sources(self) -> Sequence[BlobSource]:
        """Where its blobs can be read, best first."""
