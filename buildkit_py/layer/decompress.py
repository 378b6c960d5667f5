"""Reading what is compressed, by its first bytes: gzip, bzip2, xz, zstd, or not at all."""

from __future__ import annotations

import io
from typing import IO, Any, BinaryIO, cast

_ZSTD_WINDOW = 1 << 27


def decompressed(source: BinaryIO) -> IO[bytes]:
    """A stream of the plain bytes. Concatenated members are read as one."""
    buffered = source if isinstance(source, io.BufferedReader) else io.BufferedReader(cast(Any, source), 1 << 20)
    head = buffered.peek(6)[:6]
    if head.startswith(b"\x1f\x8b"):
        from isal import igzip

        return cast("IO[bytes]", igzip.open(buffered, "rb"))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
            buffered, read_across_frames=True
        )
        return cast("IO[bytes]", reader)
    if head.startswith(b"BZh"):
        import bz2

        return cast("IO[bytes]", bz2.open(buffered, "rb"))
    if head.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return cast("IO[bytes]", lzma.open(buffered, "rb"))
    return cast("IO[bytes]", buffered)
