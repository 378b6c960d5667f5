"""Reading what is compressed, by its first bytes: gzip, bzip2, xz, zstd, or not at all; within limits."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from time import monotonic
from typing import IO, Any, BinaryIO, cast

from buildkit_py.errors import IntegrityError
from buildkit_py.layer.limits import Allowance

_ZSTD_WINDOW = 1 << 27
_XZ_MEMORY = 1 << 30


def decompressed(source: BinaryIO) -> IO[bytes]:
    """A stream of the plain bytes. Concatenated members are read as one.

    Reading raises `IntegrityError` for damaged data, and `OSError` where the source itself can't be read. A zstd window
    of more than 128 MiB is refused.
    """
    buffered = source if isinstance(source, io.BufferedReader) else io.BufferedReader(cast(Any, source), 1 << 20)
    head = buffered.peek(6)[:6]
    if head.startswith(b"\x1f\x8b"):
        from isal import igzip, igzip_lib

        return _stream(cast(Any, igzip).open(buffered, "rb"), (cast(Any, igzip_lib).IsalError,))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        return _stream(decompressor.stream_reader(buffered, read_across_frames=True), (zstandard.ZstdError,))
    if head.startswith(b"BZh"):
        import bz2

        return _stream(bz2.BZ2File(buffered), ())
    if head.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return _stream(_Xz(buffered), (lzma.LZMAError,))
    return cast("IO[bytes]", buffered)


class Inflating:
    """The plain bytes of what may be compressed, as far as its allowance goes; `opened` makes a stream of them.

    Reading raises what `decompressed` says, and `IntegrityError` once a limit is passed.
    """

    def __init__(
        self, source: IO[bytes], allowance: Allowance, opened: Callable[[BinaryIO], IO[bytes]] | None = None
    ) -> None:
        self._packed = _Counted(source, allowance)
        self._plain = (opened or decompressed)(cast(BinaryIO, self._packed))
        self._allowance = allowance
        self.count = 0

    @property
    def packed(self) -> int:
        """How many bytes of the source were read."""
        return self._packed.count

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        data = self._plain.read(size)
        self.count += len(data)
        self._allowance.unpacked(self.count, self._packed.count)
        return data


class _Counted(io.RawIOBase):
    """Counts what is read of the compressed bytes, and how long they are waited for."""

    def __init__(self, source: IO[bytes], allowance: Allowance) -> None:
        super().__init__()
        self._source = source
        self._allowance = allowance
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        began = monotonic()
        data = self._source.read(len(buffer))
        self._allowance.waited(monotonic() - began)
        self.count += len(data)
        buffer[: len(data)] = data
        return len(data)


def _stream(reader: Any, faults: tuple[type[Exception], ...]) -> IO[bytes]:
    return cast("IO[bytes]", _Checked(reader, (EOFError, ValueError, zlib.error, *faults)))


class _Checked:
    """Gives the bytes of a decompressor, and its faults one name."""

    def __init__(self, reader: Any, faults: tuple[type[Exception], ...]) -> None:
        self._reader = reader
        self._faults = faults

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except self._faults as error:
            raise IntegrityError(f"the compressed data is damaged: {error}") from None
        except OSError as error:
            # The modules raise OSError without a number for bad data; with one, it is the disk's.
            if error.errno is not None:
                raise
            raise IntegrityError(f"the compressed data is damaged: {error}") from None
        return data


class _Xz:
    """An xz stream (or several) in bounded memory: `lzma.open` takes no limit for its dictionary."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._decompressor = self._new()

    def read(self, size: int = -1) -> bytes:
        made: list[bytes] = []
        while size:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data or self._source.read(1 << 16)
                if not rest.strip(b"\0"):
                    break
                self._decompressor = self._new()
            else:
                rest = self._source.read(1 << 16) if self._decompressor.needs_input else b""
                if not rest and self._decompressor.needs_input:
                    raise EOFError("it ends in the middle")
            data = self._decompressor.decompress(rest, size)
            made.append(data)
            size -= len(data) if size > 0 else 0
        return b"".join(made)

    @staticmethod
    def _new() -> Any:
        import lzma

        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
