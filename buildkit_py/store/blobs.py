"""Blobs: bytes named by their digest, laid out as an OCI image layout so that any OCI tool can read them.

A name appears below `blobs/` only when its bytes are on the disk: write to a temporary name while hashing, fsync,
rename, fsync the directory. Renaming over an equal blob is harmless, and mends a damaged one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, NotFoundError
from buildkit_py.store import files
from buildkit_py.store.faults import guard
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import Owner
from buildkit_py.store.locks import Waiting, acquire
from buildkit_py.store.partial import PartialBlob, partial_path

DOCUMENT_LIMIT = 8 << 20


class Blobs:
    """The blobs of one store. Digests are texts; a malformed one is an `IntegrityError` before any path is made."""

    def __init__(self, layout: Layout, owner: Owner) -> None:
        self._layout = layout
        self._owner = owner
        self._hashed = set[str]()
        """The digests of what this process wrote, and hashed as it was written."""

    def has(self, digest: str) -> bool:
        """Whether the blob is there; under a lease it then stays."""
        return files.is_regular(self._find(digest))

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self._layout.find_blob(digest)

    def size(self, digest: str) -> int:
        """Its size in bytes; raises `NotFoundError`."""
        path = self._find(digest)
        try:
            return path.lstat().st_size
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def open(self, digest: str) -> BinaryIO:
        """A reader of its bytes, which are not verified again; raises `NotFoundError`."""
        path = self._find(digest)
        with guard("reading a blob", path):
            try:
                return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
            except FileNotFoundError as error:
                raise _missing(digest) from error

    def check(self, digest: str) -> None:
        """Raise `IntegrityError` where the bytes are not those named; what this process wrote is not read again."""
        if digest in self._hashed:
            return
        path = self._find(digest)
        with guard("reading a blob", path):
            try:
                actual = files.file_digest(path, Digest.parse(digest).algorithm)
            except FileNotFoundError as error:
                raise _missing(digest) from error
        if actual != digest:
            raise damaged(digest)

    def verified(self, digest: str) -> BinaryIO:
        """As `open`, after `check`: for bytes that leave the store."""
        self.check(digest)
        return self.open(digest)

    def read(self, digest: str, limit: int = DOCUMENT_LIMIT) -> bytes:
        """All its bytes, verified; `IntegrityError` when there are more than `limit` or they are not those named."""
        with self.open(digest) as file, guard("reading a blob", self._layout.root):
            data = file.read(limit + 1)
        if len(data) > limit:
            raise IntegrityError(f"the blob {digest} is larger than the {limit} bytes that a document may have")
        if hashlib.new(Digest.parse(digest).algorithm, data).hexdigest() != Digest.parse(digest).hex:
            raise damaged(digest)
        return data

    def writer(self, algorithm: str = "sha256") -> BlobWriter:
        """A writer of a new blob; leaving it without `commit` keeps nothing."""
        return BlobWriter(self._layout, self._owner, algorithm, self._hashed.add)

    def put(self, data: bytes) -> str:
        """Store bytes that are at hand; gives their digest. Durable on return."""
        digest = str(Digest.of(data))
        self._owner.note("blob", digest)
        path = self._layout.blob(digest)
        with suppress(OSError):
            if files.read_regular(path, len(data)) == data:
                with guard("writing a blob", path):
                    files.fsync_directory(path.parent)
                return digest
        with self.writer() as writer:
            writer.write(data)
            writer.commit()
        return digest

    def partial(self, digest: str, *, timeout: float | None = None, waiting: Waiting | None = None) -> PartialBlob:
        """A download that can be resumed, held by one process at a time; `done` when another just finished it."""
        path = self._layout.blob(digest)
        self._owner.note("blob", digest)
        lock = acquire(self._layout.lock(f"partial-{digest}"), f"blob {digest}", timeout=timeout, waiting=waiting)
        try:
            place = partial_path(self._layout, digest)
            kept = self._hashed.add
            return PartialBlob(Digest.parse(digest), place, path, lock, self._owner.make_room, kept)
        except BaseException:
            lock.release()
            raise

    def _find(self, digest: str) -> Path:
        """Where to read a blob, after saying that it is used."""
        own = self._layout.blob(digest)
        self._owner.note("blob", digest)
        return self._layout.find_blob(digest) if self._layout.others else own


class BlobWriter:
    """Writes and hashes one new blob. A context manager; not thread-safe."""

    def __init__(self, layout: Layout, owner: Owner, algorithm: str, kept: Callable[[str], None]) -> None:
        self._layout = layout
        self._owner = owner
        self._algorithm = algorithm
        self._kept = kept
        self._hash = hashlib.new(algorithm)
        self._path = owner.temporary()
        self.size = 0
        with guard("writing a blob", layout.root):
            self._fd = os.open(self._path, files.NEW_FILE, 0o600)

    @property
    def digest_so_far(self) -> str:
        """The digest of what was written up to now."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; gives their number."""
        with guard("writing a blob", self._layout.root):
            files.write_all(self._fd, data)
        self._hash.update(data)
        count = data.nbytes if isinstance(data, memoryview) else len(data)
        self.size += count
        return count

    def commit(self, expected: str | None = None, size: int | None = None) -> tuple[str, int]:
        """Publish the blob; gives its digest and size. Durable on return.

        Raises `IntegrityError`, and keeps nothing, when the bytes are not those `expected` or not `size` many.
        """
        digest = self.digest_so_far
        if size is not None and size != self.size:
            raise IntegrityError(f"{self.size} bytes came where {size} were promised, for {expected or digest}")
        if expected is not None and str(Digest.parse(expected)) != digest:
            raise IntegrityError(f"the bytes have the digest {digest}, not the promised {expected}")
        self._owner.note("blob", digest)
        self._owner.make_room(self.size)
        target = self._layout.blob(digest)
        with guard("writing a blob", target.parent):
            files.publish(self._fd, self._path, target)
        self._kept(digest)
        return digest, self.size

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        with suppress(OSError):
            self._path.unlink()


def damaged(digest: str) -> IntegrityError:
    """What is said of a blob whose bytes are not those named."""
    return IntegrityError(
        f"the bytes of the blob {digest} in the store are damaged",
        hint="remove it with `pybuild store check --repair`, then build or pull again",
    )


def _missing(digest: str) -> NotFoundError:
    return NotFoundError(f"the blob {digest} is not in the store", hint="build or pull again to get it back")
