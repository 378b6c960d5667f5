"""Archives that cost more than they say: each meets a limit, and the error says which, and how it can be raised."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import zstandard

from buildkit_py.errors import IntegrityError, SourceInputError, UsageError
from buildkit_py.graph.op import Copy, Unpack
from buildkit_py.layer.apply import outline_layer
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.entry import Diff
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.limits import Allowance, Limits
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tarstream import TarStream
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree
from tests.support import layouts
from tests.support.command import Pybuild
from tests.support.tars import R, Stack, noted, tar_of

PACKS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
ZEROS = 8 << 20
SMALL = Limits(free=1 << 20, ratio=50)


def refused(blob: bytes, limits: Limits | None, name: str) -> None:
    """Reading it all ends at the limit of that name."""
    with pytest.raises(IntegrityError) as caught, TarStream(io.BytesIO(blob), limits) as stream:
        for member in stream.members():
            for _ in stream.blocks(member) if member.isreg() else ():
                pass
        stream.drain()
    assert f"; the limit is {getattr(limits or Limits(), name)}" in caught.value.message
    assert f"PYBUILD_LIMITS={name}=NUMBER" in str(caught.value.hint)


def file_of(size: int) -> bytes:
    info = tarfile.TarInfo("zeros")
    info.size = size
    return tar_of(info)


@pytest.mark.parametrize("pack", PACKS)
def test_ratio(pack: str) -> None:
    """A few bytes that become very many; in one piece, and in several that are compressed by themselves."""
    plain = file_of(ZEROS)
    blob = PACKS[pack](plain)
    refused(blob, SMALL, "ratio")
    refused(blob, Limits(bytes=4 << 20), "bytes")
    third = len(plain) // 3
    parts = [PACKS[pack](plain[at : at + third]) for at in range(0, len(plain), third)]
    refused(b"".join(parts), SMALL, "ratio")


def test_the_window_of_zstd() -> None:
    """A frame that asks for a gigabyte of memory is refused before it is read."""
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = compressor.compress(tar_of(("a", R, b"x"))) + compressor.flush()
    with pytest.raises(IntegrityError, match="damaged"), TarStream(io.BytesIO(blob)) as stream:
        stream.drain()


def test_a_million_entries() -> None:
    """A million is the limit by default; where it is lower, one entry more is refused."""
    assert Limits().entries == 1_000_000
    tar = tar_of(*((str(number), R, b"") for number in range(51)))
    refused(tar, Limits(entries=50), "entries")
    allowance = Allowance(Limits())
    for _ in range(1_000_000):
        allowance.entry(0)
    with pytest.raises(IntegrityError, match="more than 1000000 entries; the limit is 1000000"):
        allowance.entry(0)


def extended(kind: bytes, size: int, data: bytes = b"") -> bytes:
    """An extended header that says it has so many bytes."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_extended_headers(kind: bytes) -> None:
    """One is refused before it is read; many are counted together, in a row as well, since memory holds them."""
    refused(extended(kind, 1 << 40), None, "pax")
    one = record("comment", "x" * 4000) if kind in (tarfile.XHDTYPE, tarfile.XGLTYPE) else b"x" * 4000
    refused(extended(kind, len(one), one) * 300, Limits(headers=1 << 20), "headers")


def record(key: str, value: str) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest + len(str(rest))))
    return f"{length} {key}={value}\n".encode()


@pytest.mark.parametrize("text", [b"1" * 1_000_000, b"1 a=" * 250_000, record("x", "1" * 1_000_000)])
def test_extended_headers_that_take_hours_to_be_searched(text: bytes) -> None:
    """CVE-2024-6232: digits without an end, for an expression that begins with some."""
    blob = extended(tarfile.XHDTYPE, len(text), text) + tar_of(("a", R, b""))
    try:
        with TarStream(io.BytesIO(blob), Limits(seconds=60)) as stream:
            assert [member.name for member in stream.members()] == ["a"]
    except IntegrityError as error:
        assert error.message == "it has a malformed extended header"


def test_attributes(tmp_path: Path) -> None:
    """Those of one entry, and those that a global header gives to all."""
    many = {f"user__{number}": "v" for number in range(129)}
    with pytest.raises(IntegrityError, match="129 attributes; the limit is 128"):
        Stack(tmp_path).apply(io.BytesIO(tar_of(noted("f", **many))))
    shutil.rmtree(tmp_path / "layer1")
    for name, value in (("user__big", "x" * 70_000), (f"user__{'n' * 300}", "x"), ("security__capability", "x")):
        with pytest.raises(IntegrityError, match="Linux does not know or has no room for"):
            Stack(tmp_path).apply(io.BytesIO(tar_of(noted("f", **{name: value}))))
        shutil.rmtree(tmp_path / "layer1")
    common = b"".join(record(f"SCHILY.xattr.user.{number}", "v") for number in range(129))
    refused(extended(tarfile.XGLTYPE, len(common), common) + tar_of(("a", R, b"")), None, "xattrs")


def sparse(table: bytes, **records: str) -> bytes:
    """A sparse file of GNU tar's format 1.0, whose map is `table`."""
    info = tarfile.TarInfo("s")
    info.size = len(table)
    names = {"major": "1", "minor": "0", "name": "s", **records}
    info.pax_headers = {f"GNU.sparse.{key}": value for key, value in names.items()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(table))
    return out.getvalue()


def old_sparse(pieces: int, size: int) -> bytes:
    """A sparse file of GNU tar's own format, with blocks of its map for so many pieces."""
    info = tarfile.TarInfo("s")
    info.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"%011o\0%011o\0" % (0, 0)
    head[482:495] = b"\1" + b"%011o\0" % size
    head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 8 * 32)
    rows = b"".join(struct.pack("24s", b"%011o\0%011o\0" % (1, 1)) for _ in range(21))
    blocks = -(-pieces // 21)
    return bytes(head) + (rows + b"\1" + bytes(7)) * blocks + bytes(1024)


def test_maps_of_sparse_files() -> None:
    """Holes are bytes on the disk, and a map is memory: both have their limits, and a map must make sense."""
    refused(sparse(b"0\n".ljust(512, b"\0"), realsize=str(1 << 50)), None, "bytes")
    refused(sparse(b"0\n".ljust(512, b"\0"), realsize=str(ZEROS)), SMALL, "ratio")
    refused(sparse(b"999999999999\n" + b"0\n" * 210_000, realsize="1"), None, "holes")
    refused(old_sparse(210_000, 1), None, "holes")
    refused(sparse(b"", major="0", map=",".join(["0"] * 50), size="1"), Limits(holes=10), "holes")
    for table in (b"x\n", b"1\n0\n", b"1\n-5\n9\n", b"1\n0\n99999999999\n", b"9" * 500, b"2\n5\n1\n0\n1\n"):
        with (
            pytest.raises(IntegrityError),
            TarStream(io.BytesIO(sparse(table.ljust(512, b"\0"), realsize="9"))) as stream,
        ):
            list(stream.members())


def test_time() -> None:
    """Whatever else is done to make reading slow ends with the time there is."""
    refused(tar_of(("a", R, b"")), Limits(seconds=0), "seconds")


def test_links_to_files_of_other_layers(tmp_path: Path) -> None:
    """Each makes a copy of the file, so one layer of zeros and a thousand of links fill any disk."""
    stack = Stack(tmp_path)
    stack.apply(io.BytesIO(tar_of(("big", R, bytes(ZEROS)))))
    with pytest.raises(IntegrityError, match="times its own size; the limit is 50"):
        stack.apply(io.BytesIO(tar_of(("l", tarfile.LNKTYPE, "big"))), SMALL)


COUNT = 4000


def test_a_directory_that_is_emptied_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many opaque markers hid each of many names: the square of them, from a few packed bytes."""
    many, again = tar_of(*((f"o/{number}", R, b"") for number in range(COUNT))), [("o/.wh..wh..opq", R, b"")] * COUNT
    lower = ChainTree([(tmp_path, outline_layer(io.BytesIO(many), lower=EmptyTree()).diff)])
    emptied = outline_layer(io.BytesIO(tar_of(*again)), lower=lower, limits=Limits(seconds=10))
    assert sum(entry.type == "whiteout" for entry in emptied.diff.entries) == COUNT
    monkeypatch.setenv("PYBUILD_LIMITS", "seconds=10")
    assert added(tmp_path, tar_of(*again), base=lower, dest="/") == emptied.diff


def test_a_file_that_changes_with_each_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each of many hard links said of their file was said of all that came before: the square of them again."""
    links = [tarfile.TarInfo(f"l{number}") for number in range(COUNT)]
    for number, link in enumerate(links):
        link.type, link.linkname, link.mode = tarfile.LNKTYPE, "a", 0o600 + number % 2
    monkeypatch.setenv("PYBUILD_LIMITS", "seconds=10")
    assert len(added(tmp_path, tar_of(("a", R, b""), *links)).entries) == COUNT + 3


def added(tmp_path: Path, tar: bytes, *, base: Tree | None = None, dest: str = "/o/") -> Diff:
    """What an ADD of an archive makes."""
    for place in ("context", "spool"):
        (tmp_path / place).mkdir()
    (tmp_path / "context/a.tar").write_bytes(tar)
    tree = ContextTree(tmp_path / "context", StatCache(tmp_path / "stat"))
    copy = Copy(sources=("a.tar",), dest=dest, contents="always", made="alike", unpack=True)
    return apply_op(copy, base or EmptyTree(), tree, spool=tmp_path / "spool").diff


def test_links_of_very_many_names(tmp_path: Path) -> None:
    """A way through forty links of two thousand names took seconds, for each file that is laid down beyond them."""
    way = "x/" * 750 + "../" * 750
    links = [(f"l{number}", tarfile.SYMTYPE, f"{way}l{number + 1}") for number in range(39)]
    with pytest.raises(IntegrityError, match="leads nowhere: /l0 can't be found: too many symbolic links"):
        Stack(tmp_path).apply(io.BytesIO(tar_of(*links, ("l0/f", R, b""))))


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (
            lambda: extended(tarfile.GNUTYPE_LONGNAME, 60_000, b"x" * 60_000) * 1200,
            "more than 67108864 bytes of extension headers",
        ),
        (lambda: extended(tarfile.XHDTYPE, 9, b"9 size=0\n") + extended(tarfile.XHDTYPE, -5), "cut short"),
    ],
)
def test_headers_of_an_archive_of_images(
    pybuild: Pybuild, tmp_path: Path, blob: Callable[[], bytes], words: str
) -> None:
    """Its index keeps names in memory as well, and has a length of less than nothing for what it is."""
    (tmp_path / "image.tar.gz").write_bytes(gzip.compress(blob(), 1))
    result = pybuild("load", "-i", tmp_path / "image.tar.gz")
    assert result.code == 11, result.output
    assert words in result.stderr


def zipped(count: int, size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(str(number), bytes(size))
    return out.getvalue()


@pytest.mark.parametrize(
    ("blob", "limits", "name", "words"),
    [
        (partial(zipped, 2, ZEROS // 2), "free=1m,ratio=50", "ratio", "more than"),
        (partial(zipped, 2, ZEROS // 2), "bytes=4m", "bytes", "more than"),
        (partial(zipped, 51, 0), "entries=50", "entries", "more than"),
        (partial(zipped, 2000, 0), "entries=10", "entries", "it has a directory of"),
    ],
)
def test_zip_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blob: Callable[[], bytes], limits: str, name: str, words: str
) -> None:
    """The same limits; the directory of one is looked at before it is read."""
    monkeypatch.setenv("PYBUILD_LIMITS", limits)
    for place in ("context", "spool"):
        (tmp_path / place).mkdir()
    (tmp_path / "context/a.zip").write_bytes(blob())
    tree = ContextTree(tmp_path / "context", StatCache(tmp_path / "stat"))
    with pytest.raises(SourceInputError, match=f"{words}.*; the limit is") as caught:
        apply_op(Unpack(sources=("/a.zip",), dest="/o/"), EmptyTree(), tree, spool=tmp_path / "spool")
    assert f"PYBUILD_LIMITS={name}=NUMBER" in str(caught.value.hint)


def test_a_big_image_is_taken() -> None:
    """What real images are like is nowhere near a limit: 200,000 entries with attributes, 30 GB, packed to a fifth."""
    allowance = Allowance(Limits())
    for number in range(1, 200_001):
        allowance.entry(150_000)
        allowance.header(300)
        allowance.unpacked(number * 150_000, number * 30_000)


def test_what_is_written_here_is_read_here(pybuild: Pybuild, tmp_path: Path) -> None:
    """A layer of nothing but zeros, as of a disk for a virtual machine: nothing packs better, and it must come out."""
    (tmp_path / "Buildfile").write_text("buildfile 1\nimage a {\nfrom scratch\ncopy ./disk to /disk\n}\n")
    with (tmp_path / "disk").open("wb") as file:
        file.truncate(64 << 20)
    pybuild.ok("build", ".", "-t", "a:1", cwd=tmp_path)
    pybuild.ok("prune", "--all")
    pybuild.having(PYBUILD_LIMITS="free=1m").ok("export", "a:1", "-o", tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as out:
        assert out.getmember("disk").size == 64 << 20


@pytest.mark.parametrize("text", ["entries", "entries=", "entries=x", "files=3", "entries=1e9", "bytes=1q"])
def test_limits_that_can_not_be_read(text: str) -> None:
    """A limit that nobody understands is no limit."""
    with pytest.raises(UsageError, match="PYBUILD_LIMITS"):
        Limits.current({"PYBUILD_LIMITS": text})
    assert Limits.current({"PYBUILD_LIMITS": "entries=7, bytes=2G"}) == Limits(entries=7, bytes=2 << 30)


WORDS: dict[str, tuple[str, ...]] = {
    "import": ("import", "many.tar", "x"),
    "load": ("load", "-i", "image.tar.gz"),
    "ADD": ("build", ".", "-f", "add.Dockerfile", "-t", "x"),
    "unpack": ("build", ".", "-f", "Buildfile", "-t", "x"),
    "base": ("build", ".", "-f", "base.build", "-t", "x"),
    "base, read for its names": ("build", ".", "-f", "names.build", "-t", "x"),
    "copy --compress": ("copy", "--compress", "zstd", "oci:layout", "oci:other"),
    "scan": ("scan", "oci:layout"),
    "context": ("build", "-t", "x", "-"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with what reaches a limit, in every form."""
    return bombs(tmp_path)


def bombs(tmp_path: Path) -> Path:
    """The same, for the proof of the test."""
    place = tmp_path / "project"
    place.mkdir()
    many = tar_of(*((str(number), R, b"") for number in range(51)), ("zeros", R, bytes(ZEROS)))
    (place / "many.tar").write_bytes(many)
    (place / "image.tar.gz").write_bytes(gzip.compress(many))
    layouts.write_layout(place / "layout", [many])
    (place / "add.Dockerfile").write_text("FROM scratch\nADD many.tar /\n")
    (place / "Buildfile").write_text("buildfile 1\nimage a {\nfrom scratch\nunpack ./many.tar to /in\n}\n")
    (place / "base.build").write_text('buildfile 1\nimage a {\nfrom "oci:layout"\nrun "/x"\n}\n')
    (place / "names.build").write_text('buildfile 1\nimage a {\nfrom "oci:layout"\ncopy ./Buildfile to /0\n}\n')
    return place


@pytest.mark.parametrize("name", WORDS)
def test_the_limits_hold_for_every_reader(pybuild: Pybuild, project: Path, name: str) -> None:
    """Every command that reads a foreign archive obeys the same limits, and says so in one line with a help."""
    hold(pybuild, project, name)


def hold(pybuild: Pybuild, project: Path, name: str) -> None:
    """The test, for its proof."""
    limits = "free=1m,ratio=50" if name in ("load", "copy --compress") else "entries=50"
    stdin = (project / "many.tar").read_bytes() if name == "context" else b""
    result = pybuild.having(PYBUILD_LIMITS=limits)(*WORDS[name], cwd=project, stdin=stdin)
    assert result.code in (11, 14), result.output
    assert "; the limit is" in result.stderr
    assert (
        f"help: where it is to be trusted, set PYBUILD_LIMITS={'ratio' if 'ratio' in limits else 'entries'}="
        in result.stderr
    )
    assert pybuild.ok("ls").stdout == "no images\n"
