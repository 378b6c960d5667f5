"""Layers and archives that nobody honest makes: refused or harmless, and the machine's own files never touched."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zlib
from tarfile import DIRTYPE, LNKTYPE, REGTYPE, SYMTYPE

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError, PybuildError
from buildkit_py.layer.apply import Limits, apply_layer
from buildkit_py.layer.tree import EmptyTree

R, D, S, L = REGTYPE, DIRTYPE, SYMTYPE, LNKTYPE


def refused(stack, blob: io.BytesIO, limits: Limits | None = None, match: str | None = None) -> None:
    with pytest.raises(IntegrityError, match=match):
        stack.apply(blob, limits)


def sparse(realsize: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo("s")
    info.size = 512
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s",
        "GNU.sparse.realsize": str(realsize),
    }
    return info


def sparse_tar(realsize: int, table: bytes = b"0\n") -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(sparse(realsize), io.BytesIO(table.ljust(512, b"\0")))
    out.seek(0)
    return out


def test_sparse_files_get_their_holes(stack) -> None:
    assert stack.apply(sparse_tar(100_000)).size == 100_000
    assert stack.text("s") == bytes(100_000)


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor(write_checksum=True).compress]
)
def test_damaged_compression_is_a_matter_of_integrity(stack, make_tar, pack) -> None:
    noise = random.Random(1).randbytes(200_000)
    blob = bytearray(pack(make_tar(("a", R, noise)).getvalue()))
    blob[len(blob) // 2] ^= 0xFF
    refused(stack, io.BytesIO(bytes(blob)))
    refused(stack, io.BytesIO(bytes(blob[: len(blob) // 2])))


def test_a_wrong_checksum_of_gzip(stack, make_tar) -> None:
    blob = bytearray(gzip.compress(make_tar(("a", R, b"x" * 5000)).getvalue()))
    blob[-8:-4] = struct.pack("<I", zlib.crc32(b"other"))
    refused(stack, io.BytesIO(bytes(blob)), match="damaged")


def test_a_damaged_header_in_the_middle_is_not_the_end(stack, make_tar) -> None:
    blob = bytearray(make_tar(("a", R, b"1"), ("b", R, b"2")).getvalue())
    blob[1024 + 150] ^= 0xFF
    refused(stack, io.BytesIO(bytes(blob)), match="damaged header")


def test_a_file_that_ends_early(stack, make_tar) -> None:
    refused(stack, io.BytesIO(make_tar(("a", R, bytes(5000))).getvalue()[:3000]))


def test_sizes_below_nothing(stack) -> None:
    info = tarfile.TarInfo("a")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    checksum = sum(block[:148]) + 8 * 32 + sum(block[156:512])
    block[148:156] = b"%06o\0 " % checksum
    refused(stack, io.BytesIO(bytes(block) + bytes(1024)))
    info.pax_headers = {"size": "-512"}
    refused(stack, io.BytesIO(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)))


def test_long_names_upon_long_names(stack) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4
    refused(stack, io.BytesIO((info.tobuf(tarfile.GNU_FORMAT) + b"abc\0".ljust(512, b"\0")) * 5000))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_flipped_bytes_raise_nothing_but_integrity_errors(tmp_path_factory, make_tar, data) -> None:
    info = tarfile.TarInfo("p" * 120)
    info.pax_headers = {"SCHILY.xattr.user.x": "y"}
    blob = bytearray(make_tar(("a", R, b"1"), info, ("b", L, "a"), ("c", S, "a"), (".wh.z", R, b"")).getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, 4000))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del blob[data.draw(st.integers(0, len(blob))) :]
    try:
        apply_layer(io.BytesIO(bytes(blob)), tmp_path_factory.mktemp("fuzz"), lower=EmptyTree())
    except PybuildError as error:
        assert isinstance(error, IntegrityError), error


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.binary(max_size=2000), st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"]))
def test_noise_raises_nothing_but_integrity_errors(tmp_path_factory, noise, magic) -> None:
    with pytest.raises(IntegrityError):
        apply_layer(io.BytesIO(magic + noise + b"!"), tmp_path_factory.mktemp("fuzz"), lower=EmptyTree())
