"""Reading a layer's blob as the tar file that is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from buildkit_py.errors import IntegrityError
from buildkit_py.layer.decompress import Inflating
from buildkit_py.layer.limits import Allowance, Limits
from buildkit_py.oci.media_types import layer_compression

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor

CHUNK = 1 << 20


def chunks(layer: Descriptor, blob: BinaryIO) -> Iterator[bytes]:
    """The pieces of the unpacked layer. Raises `IntegrityError` for damage, for a type that is no layer's, and for what
    is beyond the limits."""
    compression = layer_compression(layer.media_type)
    if compression is None:
        raise IntegrityError(f"the layer {layer.digest} has a type that is no layer's: {layer.media_type[:100]!r}")
    try:
        source = Inflating(blob, Allowance(Limits.current()), partial(_opened, compression))
        while chunk := source.read(CHUNK):
            yield chunk
    except IntegrityError as error:
        raise IntegrityError(f"the layer {layer.digest} can't be unpacked: {error.message}", hint=error.hint) from None
    except _errors(compression) as error:
        raise IntegrityError(f"the layer {layer.digest} can't be unpacked: {error}") from error


def digest_of(pieces: Iterator[bytes], algorithm: str) -> str:
    """The digest of a stream."""
    hashed = hashlib.new(algorithm)
    for piece in pieces:
        hashed.update(piece)
    return f"{algorithm}:{hashed.hexdigest()}"


def pieces_of(blob: BinaryIO) -> Iterator[bytes]:
    """The pieces of a file."""
    while chunk := blob.read(CHUNK):
        yield chunk


def _opened(compression: str, blob: BinaryIO) -> IO[bytes]:
    if compression == "gzip":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=blob, mode="rb"))
    if compression == "zstd":
        import zstandard

        return cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True))
    return blob


def _errors(compression: str) -> tuple[type[Exception], ...]:
    if compression == "gzip":
        import zlib
        from gzip import BadGzipFile

        return (EOFError, BadGzipFile, zlib.error)
    if compression == "zstd":
        import zstandard

        return (zstandard.ZstdError,)
    return ()
