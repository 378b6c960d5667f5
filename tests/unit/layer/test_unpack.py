"""Unpacking archives that a build brings."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path
from tarfile import DIRTYPE, LNKTYPE, REGTYPE, SYMTYPE

import pytest
import zstandard

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Copy, Unpack
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.draft import Draft, materialise
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tree import EmptyTree


@pytest.fixture
def unpacked(tmp_path: Path):
    """Unpacks the bytes of an archive; gives the draft, whose contents can be read as long as the test runs."""

    def run(blob: bytes, dest: str = "/o/", **more: object) -> Draft:
        context, spool = tmp_path / "context", tmp_path / "spool"
        for path in (context, spool):
            path.mkdir()
        (context / "archive").write_bytes(blob)
        tree = ContextTree(context, StatCache(tmp_path / "stat"))
        return apply_op(Unpack(sources=("/archive",), dest=dest, **more), EmptyTree(), tree, spool=spool)

    return run


def shape(draft: Draft) -> list[tuple[str, str]]:
    return [(entry.path, entry.type) for entry in draft.diff.entries if entry.path]


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_tars_of_every_compression(unpacked, make_tar, tmp_path: Path, pack) -> None:
    blob = make_tar(
        ("p/d", DIRTYPE, b""), ("p/f", REGTYPE, b"f" * 99_999), ("p/h", LNKTYPE, "p/f"), ("p/ln", SYMTYPE, "f")
    )
    draft = unpacked(pack(blob.getvalue()), owner="3:4", strip=1)
    assert shape(draft) == [("o", "dir"), ("o/d", "dir"), ("o/f", "file"), ("o/h", "file"), ("o/ln", "symlink")]
    assert {(e.uid, e.gid) for e in draft.diff.entries[2:]} == {(3, 4)}
    (tmp_path / "out").mkdir()
    materialise(draft, tmp_path / "out", 0)
    assert (tmp_path / "out/o/h").read_bytes() == b"f" * 99_999


def test_zip_files(unpacked) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/", "")
        archive.writestr("d/f", "f" * 1000)
        link = zipfile.ZipInfo("ln")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "d/f")
        program = zipfile.ZipInfo("run")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, "")
    draft = unpacked(out.getvalue())
    assert shape(draft) == [("o", "dir"), ("o/d", "dir"), ("o/d/f", "file"), ("o/ln", "symlink"), ("o/run", "file")]
    assert [entry.mode for entry in draft.diff.entries[3:]] == [0o600, 0o777, 0o755]
    with draft.contents["o/d/f"]() as file:
        assert file.read() == b"f" * 1000


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x"])
def test_names_in_zip_files_that_lead_out(unpacked, name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "")
    with pytest.raises(SourceInputError, match="leads out"):
        unpacked(out.getvalue())


@pytest.mark.parametrize(
    "blob", [b"", b"no archive at all" * 100, b"PK\x03\x04 and no more", b"\x1f\x8b\x08nothing", b"BZh9"]
)
def test_what_is_no_archive(unpacked, blob: bytes) -> None:
    with pytest.raises(SourceInputError, match="/archive can't be unpacked"):
        unpacked(blob)


def test_devices_are_refused(unpacked, make_tar) -> None:
    info = tarfile.TarInfo("null")
    info.type = tarfile.CHRTYPE
    with pytest.raises(SourceInputError, match="device"):
        unpacked(make_tar(info).getvalue())


def test_links_in_an_archive_lead_below_its_destination(unpacked, make_tar) -> None:
    draft = unpacked(make_tar(("ln", SYMTYPE, "/etc"), ("ln/passwd", REGTYPE, b"")).getvalue(), dest="/deep/in/")
    assert shape(draft)[-2:] == [("deep/in/etc/passwd", "file"), ("deep/in/ln", "symlink")]


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("01000002" + "00" * 16, True),
        ("01000003" + "00" * 20, True),
        ("01000002" + "00" * 15, False),
        ("01000007" + "00" * 16, False),
        ("01", False),
        ("", False),
    ],
)
def test_capabilities_that_linux_does_not_know(make_tar, tmp_path: Path, value: str, known: bool) -> None:
    info = tarfile.TarInfo("ping")
    info.pax_headers = {"SCHILY.xattr.security.capability": bytes.fromhex(value).decode()}
    context, spool = tmp_path / "context", tmp_path / "spool"
    for path in (context, spool):
        path.mkdir()
    (context / "a.tar").write_bytes(make_tar(info).getvalue())
    tree = ContextTree(context, StatCache(tmp_path / "stat"))
    op = Copy(sources=("/a.tar",), dest="/o/", contents="always", unpack=True)
    if known:
        assert apply_op(op, EmptyTree(), tree, spool=spool).diff.entries[-1].xattrs
        return
    with pytest.raises(SourceInputError, match="capabilities that Linux does not know are set: 'ping'"):
        apply_op(op, EmptyTree(), tree, spool=spool)
