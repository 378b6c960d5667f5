"""A blob on its way through: read from one source as a file, and never kept.

It is taken up again where a connection breaks, never read past the size that its descriptor states, and checked against
its digest once it was read to the end. What is read again, because who takes it lost some, is checked once.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

from buildkit_py.errors import IntegrityError, RegistryError, SourceInputError
from buildkit_py.oci import Descriptor
from buildkit_py.registry.blobs import BlobSource, BlobStream, Progress
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.retry import Cancel, Retry, check

_CHUNK = 1 << 18
_GOOD_PROGRESS = 1 << 20


class Incoming:
    """One blob of one source. `failed` says that the source was at fault, not who takes the bytes."""

    def __init__(
        self,
        descriptor: Descriptor,
        source: BlobSource,
        *,
        retry: Retry,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self.descriptor = descriptor
        self._progress = progress
        self.failed = False
        self._source = source
        self._retry = retry
        self._cancel = cancel
        self._hash = hashlib.new(descriptor.digest.algorithm)
        self._hashed = 0

    def open(self, offset: int = 0) -> IncomingFile:
        """Its bytes from `offset` on, which is no further than it was read before."""
        return IncomingFile(self, offset)

    def verify(self) -> None:
        """Raise `IntegrityError` unless all bytes were read, and are the promised ones."""
        if self._hashed == self.descriptor.size and self._hash.hexdigest() == self.descriptor.digest.hex:
            return
        self.failed = True
        found = f"{self.descriptor.digest.algorithm}:{self._hash.hexdigest()}"
        raise IntegrityError(f"the bytes received have the digest {found}, not the promised {self.descriptor.digest}")

    def stream(self, offset: int) -> BlobStream:
        """The source's bytes from `offset`, or from an earlier place; raises what the source raises."""
        check(self._cancel)
        return self._source(self.descriptor, offset)

    def wait(self, attempt: int, fault: TransferError) -> None:
        """Wait before another try; raises `fault` where none is due."""
        self._retry.wait(attempt, fault, self._cancel)

    def seen(self, piece: bytes, position: int) -> None:
        """Take in bytes that stand at `position`; those that were seen before count once."""
        check(self._cancel)
        new = piece[max(0, self._hashed - position) :]
        self._hash.update(new)
        self._hashed += len(new)
        if new and self._progress is not None:
            self._progress(self.descriptor, self._hashed)


class IncomingFile(io.RawIOBase):
    """The bytes of an incoming blob from one place on. Raises `TransferError` that is not to be retried, and what
    sources raise."""

    def __init__(self, blob: Incoming, offset: int) -> None:
        super().__init__()
        self._blob = blob
        self._position = self._opened_at = offset
        self._stream: BlobStream | None = None
        self._skip = 0
        self._attempt = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a part of the buffer."""
        piece = self._piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that are left for -1; none at the end."""
        if size is None or size < 0:
            return self.readall()
        return self._piece(size)

    def close(self) -> None:
        """Let the source go."""
        self._drop()
        super().close()

    def _piece(self, size: int) -> bytes:
        left = self._blob.descriptor.size - self._position
        wanted = min(size, left, _CHUNK)
        while wanted:
            try:
                return self._next(wanted)
            except TransferError as fault:
                self._again(fault)
            except (RegistryError, IntegrityError, SourceInputError):
                self._blob.failed = True
                raise
        return b""

    def _next(self, wanted: int) -> bytes:
        if self._stream is None:
            self._attempt += 1
            self._opened_at = self._position
            self._stream = self._blob.stream(self._position)
            self._skip = self._position - self._stream.offset
        while piece := self._stream.read(min(_CHUNK, self._skip) if self._skip else wanted):
            if not self._skip:
                self._blob.seen(piece, self._position)
                self._position += len(piece)
                return piece
            self._skip -= len(piece)
        raise TransferError(
            f"the blob {self._blob.descriptor.digest} ended after {self._position} of "
            f"{self._blob.descriptor.size} bytes",
            retry=True,
        )

    def _again(self, fault: TransferError) -> None:
        self._drop()
        self._attempt = 1 if self._position - self._opened_at >= _GOOD_PROGRESS else self._attempt
        try:
            self._blob.wait(self._attempt, fault)
        except TransferError as last:
            # Who sends the bytes on must not take it for a fault of the place that they go to.
            self._blob.failed, last.retry = True, False
            raise

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.__exit__(None, None, None)
