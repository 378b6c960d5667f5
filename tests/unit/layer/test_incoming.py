"""Diffs that somebody else made: read in their one form, laid down from layers that may hold anything."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from functools import partial
from pathlib import Path
from tarfile import DIRTYPE, REGTYPE, SYMTYPE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError
from buildkit_py.layer.apply import Limits
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.compose import carried, compose
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.incoming import lay_down, parse_diff
from buildkit_py.layer.tree import EmptyTree


def file(path: str, data: bytes = b"data", mode: int = 0o644) -> Entry:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Entry(path=path, type="file", mode=mode, size=len(data), digest=digest)


ROOT = Entry(path="", type="dir", mode=0o755)
DIFF = Diff.of([
    ROOT,
    Entry(path="d", type="dir", mode=0o750, uid=1),
    file("d/f"),
    Entry(path="d/h", type="hardlink", mode=0o644, size=4, digest=file("").digest, target="d/f"),
    Entry(path="d/l", type="symlink", mode=0o777, target="/etc/passwd"),
    Entry(path="gone", type="whiteout"),
    Entry(path="p", type="fifo", mode=0o600),
])  # fmt: skip


def layer(diff: Diff, **contents: bytes) -> bytes:
    out = io.BytesIO()
    write_layer(diff, lambda entry: io.BytesIO(contents.get(entry.path, b"data")), out)
    return out.getvalue()


def lay(diff: Diff, directory: Path, *blobs: bytes, limits: Limits | None = None) -> int:
    directory.mkdir()
    return lay_down(diff, [partial(io.BytesIO, blob) for blob in blobs], directory, 0, limits=limits)


def test_what_is_written_is_read() -> None:
    assert parse_diff(DIFF.encoded) == DIFF
    assert parse_diff(b"") == Diff(())


def line(**changes: object) -> bytes:
    row = {
        "path": "f",
        "type": "file",
        "mode": 420,
        "uid": 0,
        "gid": 0,
        "more": {"digest": file("f").digest, "size": 4},
    }
    row.update(changes)
    return json.dumps(list(row.values()), separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        line(path="../f"), line(path="/f"), line(path="a/../f"), line(path="./f"), line(path="f/"), line(path="a//f"),
        line(path="a\0b"), line(path=5), line(path="no/parent"), line(path="x" * 256), line(path=""),
        line(type="socket"), line(type=None), line(mode=-1), line(mode=0o10000), line(mode=True), line(mode=1.0),
        line(mode="420"), line(uid=2**32 - 1), line(gid=-1), line(more={}), line(more=None), line(more=[]),
        line(more={"digest": "sha256:x", "size": 4}), line(more={"digest": file("f").digest, "size": -1}),
        line(more={"digest": file("f").digest, "size": 4, "x": 1}), line(more={"size": 4}),
        line(more={"digest": file("f").digest, "size": 4, "target": "x"}),
        line(type="symlink", more={"target": ""}), line(type="symlink", more={"target": "a\0"}),
        line(type="symlink", more={"target": "x" * 5000}), line(type="symlink", more={}),
        line(type="hardlink", more={"digest": file("f").digest, "size": 4, "target": "e"}),
        line(type="char", more={"device": [0, 0]}), line(type="char", more={"device": [1]}),
        line(type="block", more={"device": [1, 1 << 20]}), line(type="fifo", more={"device": [1, 1]}),
        line(type="whiteout", mode=1, more={}), line(type="whiteout", more={"target": "x"}),
        line(type="dir", more={"xattrs": {"trusted.overlay.opaque": "eQ=="}}),
        line(type="fifo", more={"xattrs": {"user.x": "eQ=="}}), line(type="dir", more={"xattrs": {"user.x": "%"}}),
        line() + line(), line(path="g") + line(path="f"), line() + line(path="f/g"), line()[:-1], b"\n" + line(),
        line().replace(b",", b", "), b"[]\n", b"{}\n", b"null\n", b"\xff\n", b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_no_step_could_have_made(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_diff(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_diff_or_refused(data: bytes) -> None:
    with contextlib.suppress(IntegrityError):
        assert parse_diff(data).encoded == data


@pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts")
def test_it_is_laid_down_as_it_says(tmp_path: Path) -> None:
    assert lay(DIFF, tmp_path / "fs", layer(DIFF)) == 4
    place = tmp_path / "fs"
    assert (place / "d/f").read_bytes() == b"data"
    assert (place / "d/h").stat().st_ino == (place / "d/f").stat().st_ino
    assert ((place / "d").stat().st_uid, (place / "d").stat().st_mode & 0o7777) == (1, 0o750)
    assert (place / "gone").lstat().st_rdev == 0
    assert (place / "d/l").readlink() == Path("/etc/passwd")
    assert (place / "p").is_fifo()


def test_layers_are_boxes_of_files_and_no_more(tmp_path: Path, make_tar) -> None:
    box = make_tar(
        ("d", DIRTYPE, b""), ("d/f", REGTYPE, b"data"), ("other", REGTYPE, b"not wanted"), ("d/l", SYMTYPE, "/")
    ).getvalue()
    diff = Diff.of([ROOT, Entry(path="d", type="dir", mode=0o700), file("d/f", mode=0o600), file("g", b"second")])
    lay(diff, tmp_path / "fs", box, make_tar(("g", REGTYPE, b"second")).getvalue())
    assert sorted(str(path.relative_to(tmp_path / "fs")) for path in (tmp_path / "fs").rglob("*")) == ["d", "d/f", "g"]
    assert (tmp_path / "fs/d/f").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("data", [b"xata", b"longer than it should be", b""])
def test_a_layer_that_holds_another_file(tmp_path: Path, make_tar, data: bytes) -> None:
    diff = Diff.of([ROOT, file("f")])
    with pytest.raises(IntegrityError, match="another /f"):
        lay(diff, tmp_path / "fs", make_tar(("f", REGTYPE, data)).getvalue())


def test_a_layer_without_a_file(tmp_path: Path, make_tar) -> None:
    diff = Diff.of([ROOT, file("f")])
    for number, items in enumerate(([("g", REGTYPE, b"data")], [("f", SYMTYPE, "/etc/passwd")])):
        with pytest.raises(IntegrityError, match="no layer holds /f"):
            lay(diff, tmp_path / str(number), make_tar(*items).getvalue())


def test_a_layer_that_leads_out_or_is_none(tmp_path: Path, make_tar) -> None:
    diff = Diff.of([ROOT, file("f")])
    for number, blob in enumerate(
        (make_tar(("../f", REGTYPE, b"data")).getvalue(), b"no tar at all", layer(DIFF)[:40])
    ):
        with pytest.raises(IntegrityError):
            lay(diff, tmp_path / str(number), blob)
    assert not (tmp_path / "f").exists()


def test_a_bomb(tmp_path: Path) -> None:
    data = bytes(8 << 20)
    diff = Diff.of([ROOT, file("f", data)])
    with pytest.raises(IntegrityError, match="to 249 times its own size; the limit is 10"):
        lay(diff, tmp_path / "fs", layer(diff, f=data), limits=Limits(free=1 << 20, ratio=10))


def test_which_diffs_a_layer_carries() -> None:
    one, two = Diff.of([ROOT, file("a"), file("b")]), Diff.of([ROOT, file("b", b"new")])
    gone = Diff.of([ROOT, Entry(path="a", type="whiteout")])
    assert carried([one]) == [True]
    assert carried([one, two]) == [False, True]
    assert carried([one, gone]) == [False, True]
    assert carried([one, Diff.of([ROOT, file("c")])]) == [True, True]
    assert compose([one, two], EmptyTree()).diff.entries[2].digest == file("b", b"new").digest
