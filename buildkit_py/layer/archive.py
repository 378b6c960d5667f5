"""Archiving: a diff becomes a layer blob, the same bytes on every machine.

    entries in path order ──▶ tar (USTAR, PAX where a field does not fit) ──sha256──▶ diff id
                                  └──▶ compression ──sha256──▶ digest

Names of users are left out; every time is the build's. Gzip is made by isa-l at one level with a fixed header. OCI
image specification 1.1, "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, BinaryIO, Protocol

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, StepError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tarheader import PADDING, header

BLOCK = 1 << 20
MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> Any:
        """Take them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written: `diff_id` of the tar, `media_type` of what the sink got; the seconds that hashing the tar and
    its files took (`hash`), and compressing it (`compress`)."""

    diff_id: str
    media_type: str
    times: Mapping[str, float]


def write_layer(
    diff: Diff, open_content: Callable[[Entry], BinaryIO], out: Sink, *, compression: str = "gzip", epoch: int = 0
) -> Written:
    """Write a diff as a layer. `open_content` gives the bytes of each `file` entry.

    Raises `IntegrityError` where a file has not the size and digest of its entry, `StepError` for a name that layers
    can't hold.
    """
    counted = _Counted(out)
    squeeze = _COMPRESSORS[compression](counted)
    tar = _Tar(squeeze)
    for entry in diff.entries:
        _check_name(entry)
        if not entry.path and (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o755, 0, 0, ()):
            continue
        tar.write(header(entry, epoch))
        if entry.type == "file":
            _write_content(entry, open_content, tar)
    tar.write(PADDING)
    tar.flush()
    squeeze.close()
    times = {"hash": tar.hashing, "compress": tar.passing - counted.seconds}
    return Written(diff_id=f"sha256:{tar.hasher.hexdigest()}", media_type=MEDIA_TYPES[compression], times=times)


def _check_name(entry: Entry) -> None:
    if entry.path.rpartition("/")[2].startswith(".wh."):
        raise StepError(
            f"/{entry.path}: names that begin with .wh. mean a removal in a layer", hint="remove or rename the file"
        )


def _write_content(entry: Entry, open_content: Callable[[Entry], BinaryIO], tar: _Tar) -> None:
    hasher, left = hashlib.sha256(), entry.size
    with open_content(entry) as file:
        while block := file.read(BLOCK):
            left -= len(block)
            if left < 0:
                break
            began = perf_counter()
            hasher.update(block)
            tar.hashing += perf_counter() - began
            tar.write(block)
    if left != 0 or f"sha256:{hasher.hexdigest()}" != entry.digest:
        raise IntegrityError(f"/{entry.path} is not what it was when it was looked at", hint="run the build again")
    tar.write(PADDING[: -entry.size % 512])


class _Counted:
    """Counts the seconds that a sink takes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.seconds = 0.0

    def write(self, data: bytes) -> None:
        began = perf_counter()
        self._sink.write(data)
        self.seconds += perf_counter() - began


class _Tar:
    """Gathers what is written into blocks of one size, hashes them, and passes them on.

    What a compressor gives depends on where its input is cut, so the cuts must not depend on how a source is read.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._gathered: list[bytes] = []
        self._size = 0
        self.hasher = hashlib.sha256()
        self.hashing = self.passing = 0.0

    def write(self, data: bytes) -> None:
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= BLOCK:
            whole = b"".join(self._gathered)
            end = self._size - self._size % BLOCK
            for start in range(0, end, BLOCK):
                self._pass_on(whole[start : start + BLOCK])
            self._gathered = [whole[end:]]
            self._size -= end

    def flush(self) -> None:
        self._pass_on(b"".join(self._gathered))

    def _pass_on(self, data: bytes) -> None:
        began = perf_counter()
        self.hasher.update(data)
        hashed = perf_counter()
        self._sink.write(data)
        self.hashing += hashed - began
        self.passing += perf_counter() - hashed


class _Plain:
    def __init__(self, out: Sink) -> None:
        self._out = out

    def write(self, data: bytes) -> None:
        self._out.write(data)

    def close(self) -> None:
        pass


class _Gzip:
    """One gzip member by isa-l, level 1: level 0 is hardly faster, 2 and 3 are slower and hardly smaller."""

    def __init__(self, out: Sink) -> None:
        from isal import isal_zlib

        self._out = out
        self._deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
        self._crc = 0
        self._size = 0
        out.write(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")

    def write(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._out.write(self._deflate.compress(data))

    def close(self) -> None:
        self._out.write(self._deflate.flush())
        self._out.write(self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))


class _Zstd:
    def __init__(self, out: Sink) -> None:
        import zstandard

        self._out = out
        self._compressor = zstandard.ZstdCompressor(level=3).compressobj()

    def write(self, data: bytes) -> None:
        self._out.write(self._compressor.compress(data))

    def close(self) -> None:
        self._out.write(self._compressor.flush())


_COMPRESSORS: dict[str, Callable[[Sink], Any]] = {"gzip": _Gzip, "zstd": _Zstd, "none": _Plain}
