"""Fetching blobs into the store: resumed, bounded by the descriptor, checked, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Event

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError, SourceInputError
from buildkit_py.oci import Descriptor
from buildkit_py.registry.blobs import BlobSource, BlobStore, BlobStream, Partial, Progress, Receives
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.parallel import run_all
from buildkit_py.registry.retry import Cancel, Retry, check, either

Arrived = Callable[[str], None]
_CHUNK = 1 << 18
_GOOD_PROGRESS = 1 << 20


def fetch_blobs(
    descriptors: Iterable[Descriptor],
    sources: Sequence[BlobSource],
    blobs: BlobStore,
    *,
    retry: Retry,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    arrived: Arrived | None = None,
) -> None:
    """Fetch all that are not in the store yet, a few at a time; the first failure stops the others.

    `arrived` is called with the digest of each that is there, from any thread.
    """
    wanted: dict[Digest, Descriptor] = {}
    for item in descriptors:
        if not blobs.has(str(item.digest)):
            wanted[item.digest] = item
        elif arrived is not None:
            arrived(str(item.digest))

    def one(descriptor: Descriptor, stop: Event) -> None:
        fetch_blob(descriptor, sources, blobs, retry=retry, progress=progress, cancel=either(stop, cancel))
        if arrived is not None:
            arrived(str(descriptor.digest))

    run_all(one, list(wanted.values()))


def fetch_blob(
    descriptor: Descriptor,
    sources: Sequence[BlobSource],
    blobs: Receives,
    *,
    retry: Retry,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> bool:
    """Fetch one blob from the first source that gives it whole; False where it is there already, or somebody else just
    fetched it.

    Raises `RegistryError`, `IntegrityError` or `Cancelled`; what was fetched before a failure is kept for the next try.
    """
    digest = str(descriptor.digest)
    with blobs.partial(digest) as partial:
        if partial.done:
            return False
        for last, source in ((source is sources[-1], source) for source in sources):
            try:
                _fetch_from(source, descriptor, partial, retry, progress, cancel)
                return True
            except (RegistryError, IntegrityError, SourceInputError):
                if last:
                    raise
    raise AssertionError("unreachable: there is a last source")


def _fetch_from(
    source: BlobSource,
    descriptor: Descriptor,
    partial: Partial,
    retry: Retry,
    progress: Progress | None,
    cancel: Cancel | None,
) -> None:
    """Fetch and publish; where resumed bytes turn out wrong, once more from the start."""
    partial.expect(descriptor.size)
    resumed = partial.offset > 0
    if partial.offset > descriptor.size:
        partial.restart()
    _fill(source, descriptor, partial, retry, progress, cancel)
    try:
        partial.commit()
    except IntegrityError:
        if not resumed:
            raise
        _fill(source, descriptor, partial, retry, progress, cancel)
        partial.commit()


def _fill(
    source: BlobSource,
    descriptor: Descriptor,
    partial: Partial,
    retry: Retry,
    progress: Progress | None,
    cancel: Cancel | None,
) -> None:
    attempt = 0
    while partial.offset < descriptor.size:
        before, attempt = partial.offset, attempt + 1
        try:
            check(cancel)
            with source(descriptor, before) as stream:
                _copy(stream, descriptor, partial, progress, cancel)
            if partial.offset < descriptor.size:
                raise TransferError(
                    f"the blob {descriptor.digest} ended after {partial.offset} of {descriptor.size} bytes", retry=True
                )
        except TransferError as fault:
            attempt = 1 if partial.offset - before >= _GOOD_PROGRESS else attempt
            retry.wait(attempt, fault, cancel)


def _copy(
    stream: BlobStream, descriptor: Descriptor, partial: Partial, progress: Progress | None, cancel: Cancel | None
) -> None:
    """Append what is not there yet, and never read past the blob's size."""
    position = stream.offset
    while position < descriptor.size and (piece := stream.read(min(_CHUNK, descriptor.size - position))):
        check(cancel)
        new = piece[max(0, partial.offset - position) :]
        position += len(piece)
        if new:
            partial.append(new)
            if progress is not None:
                progress(descriptor, partial.offset)
