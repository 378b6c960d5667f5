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
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tarfile import CHRTYPE, DIRTYPE, LNKTYPE, REGTYPE, SYMTYPE

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError, PybuildError, SourceInputError
from buildkit_py.graph.op import Unpack
from buildkit_py.layer.apply import Limits, apply_layer
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tree import EmptyTree

R, D, S, L = REGTYPE, DIRTYPE, SYMTYPE, LNKTYPE


def corpus(canary: str) -> Iterator[tuple[str, list[tuple[str, bytes, bytes | str]]]]:
    """Each with the ways of one known hole, aimed at the canary."""
    up = "../" * 12 + canary.lstrip("/")
    yield "the root as a link", [(".", S, canary), ("file", R, b"dead")]
    yield "a slash as a link", [("/", S, canary), ("/file", R, b"dead")]
    yield "dots", [(f"{up}/file", R, b"dead")]
    yield "dots in the middle", [("a/", D, b""), (f"a/{up}/file", R, b"dead")]
    yield "an absolute name", [(f"{canary}/file", R, b"dead")]
    yield "a parent that is an absolute link", [("ln", S, canary), ("ln/file", R, b"dead")]
    yield "a parent that is a relative link", [("ln", S, up), ("ln/file", R, b"dead"), ("ln/new", R, b"x")]
    yield "a chain of links", [("a", S, "b"), ("b", S, "c"), ("c", S, canary), ("a/file", R, b"dead")]
    yield "a link that becomes its own parent", [("a", S, canary), ("a", D, b""), ("a/file", R, b"x"), ("a", S, canary)]
    yield "a hard link to the machine", [("h", L, f"{canary}/file"), ("h", R, b"dead")]
    yield "a hard link through a link", [("ln", S, canary), ("h", L, "ln/file"), ("h", R, b"dead")]
    yield "a hard link with dots", [("h", L, f"{up}/file")]
    yield "a removal through a link", [("ln", S, canary), ("ln/.wh.file", R, b"")]
    yield "an opaque marker through a link", [("ln", S, canary), ("ln/.wh..wh..opq", R, b"")]
    yield "a removal of dots", [("a/.wh...", R, b""), (".wh..", R, b"")]
    yield "a removal with dots in it", [("a/.wh.../../../file", R, b"")]
    yield "a link over a file that is written", [("f", S, f"{canary}/file"), ("f", R, b"dead")]
    yield "a directory over a link", [("d", S, canary), ("d", D, b""), ("d/file", R, b"x")]


@pytest.mark.parametrize("number", range(18))
def test_no_layer_reaches_out(stack, make_tar, canary: Path, number: int) -> None:
    _, items = list(corpus(str(canary)))[number]
    with suppress(IntegrityError):
        stack.apply(make_tar(*items))


@pytest.mark.parametrize("number", range(18))
def test_no_layer_reaches_out_over_links_that_are_below(stack, make_tar, canary: Path, number: int) -> None:
    stack.apply(make_tar(*[(n, S, str(canary)) for n in ("ln", "a", "f", "d", "h")]))
    _, items = list(corpus(str(canary)))[number]
    with suppress(IntegrityError):
        stack.apply(make_tar(*items))


@pytest.mark.parametrize("number", range(18))
def test_no_archive_reaches_out(tmp_path: Path, make_tar, canary: Path, number: int) -> None:
    _, items = list(corpus(str(canary)))[number]
    context, spool = tmp_path / "context", tmp_path / "spool"
    context.mkdir()
    spool.mkdir()
    (context / "a.tar").write_bytes(make_tar(*items).getvalue())
    tree = ContextTree(context, StatCache(tmp_path / "stat"))
    try:
        draft = apply_op(Unpack(sources=("/a.tar",), dest="/in/side/"), EmptyTree(), tree, spool=spool)
    except SourceInputError:
        return
    assert all(entry.path in ("", "in", "in/side") or entry.path.startswith("in/side/") for entry in draft.diff.entries)


def refused(stack, blob: io.BytesIO, limits: Limits | None = None, match: str | None = None) -> None:
    with pytest.raises(IntegrityError, match=match):
        stack.apply(blob, limits)


@pytest.mark.parametrize(
    ("items", "match"),
    [
        ([(".", S, "/etc")], "replaces the root"),
        ([("a/../../b", R, b"")], "leads out"),
        ([(".wh..", R, b"")], "malformed removal"),
        ([("d/.wh...", R, b"")], "malformed removal"),
        ([(".wh..wh.x", R, b"")], "malformed removal"),
        ([(".wh.x", D, b"")], "malformed removal"),
        ([(".wh.x/y", R, b"")], "in a removal"),
        ([("a", S, "b"), ("b", S, "a"), ("a/x", R, b"")], "leads nowhere"),
        ([("h", L, "missing")], "links /h to /missing"),
        ([("d", D, b""), ("h", L, "d")], "links /h to /d"),
        ([("d/x", R, b""), ("d", L, "d/x")], "links /d to /d/x"),
        ([("x" * 256, R, b"")], "too long"),
        ([("d/" * 300 + "x", R, b"")], "too long"),
        ([("ln", S, "")], "leads nowhere"),
        ([("ln", S, "x" * 5000)], "leads nowhere"),
        ([("f", R, b""), ("f/x", R, b"")], "below /f"),
        ([("c", CHRTYPE, b"")], "impossible device"),
        ([("x", b"Z", b"")], "unknown type"),
    ],
)
def test_what_no_tool_writes_is_refused(stack, make_tar, items, match) -> None:
    refused(stack, make_tar(*items), match=match)


def test_a_removal_through_a_link_is_refused(stack, make_tar) -> None:
    stack.apply(make_tar(("real/x", R, b"x"), ("ln", S, "real")))
    refused(stack, make_tar(("ln/.wh.x", R, b"")), match="through a link")


@pytest.mark.parametrize("field", ["uid", "gid"])
def test_numbers_of_owners_end(stack, make_tar, field) -> None:
    info = tarfile.TarInfo("f")
    setattr(info, field, 2**32 - 1)
    refused(stack, make_tar(info), match="user or group")


def test_limits_of_entries_bytes_and_attributes(stack, make_tar) -> None:
    refused(stack, make_tar(*[(str(n), R, b"") for n in range(11)]), Limits(entries=10), "more than 10 entries")
    refused(stack, make_tar(("a", R, bytes(20_000))), Limits(bytes=10_000), "bytes")
    info = tarfile.TarInfo("f")
    info.pax_headers = {f"SCHILY.xattr.user.{n}": "v" for n in range(9)}
    refused(stack, make_tar(info), Limits(xattrs=8), "9 attributes")


def test_an_extended_header_is_refused_before_it_is_read(stack) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 40
        refused(stack, io.BytesIO(info.tobuf(tarfile.GNU_FORMAT)), match="extended header")


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


def test_holes_of_sparse_files_count(stack) -> None:
    refused(stack, sparse_tar(1 << 50), match="bytes")
    assert stack.apply(sparse_tar(100_000)).size == 100_000
    assert stack.text("s") == bytes(100_000)


@pytest.mark.parametrize("table", [b"x\n", b"1\n0\n", b"1\n-5\n9\n", b"1\n0\n99999999999\n", b"9" * 500])
def test_sparse_maps_that_make_no_sense(stack, table) -> None:
    refused(stack, sparse_tar(1000, table))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.ZstdCompressor().compress, lzma.compress])
def test_bombs(stack, pack) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 64 << 20
    blob = pack(info.tobuf(tarfile.GNU_FORMAT) + bytes((64 << 20) + 1024))
    refused(stack, io.BytesIO(blob), Limits(bytes=8 << 20), "bytes")
    refused(stack, io.BytesIO(blob), Limits(ratio=100, free=1 << 20), "unpacks to more")


def test_a_window_of_zstd_without_measure_is_refused(stack, make_tar) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    refused(stack, io.BytesIO(compressor.compress(bytes(1000)) + compressor.flush()), match="damaged")


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
