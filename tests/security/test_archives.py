"""Archives that nobody honest makes, by every reader of such: refused, or kept below the root that they are laid in."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from tarfile import CHRTYPE

import pytest

from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.graph.op import Copy, FileStep, Unpack
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.draft import materialise
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.incoming import lay_down, parse_diff
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tree import EmptyTree
from tests.support.images import digest_of
from tests.support.tars import DEAD, D, Item, L, R, S, Stack, alive, device, hostile, noted, tar_of

CORPUS = tuple(hostile(Path("/x")))
REFUSED: list[tuple[list[Item], str]] = [
    ([(".", S, "/etc")], "replaces the root"),
    ([("/", S, "/etc")], "replaces the root"),
    ([("a/../../b", R, b"")], "leads out"),
    ([(".wh..", R, b"")], "malformed removal"),
    ([("d/.wh...", R, b"")], "malformed removal"),
    ([(".wh..wh.x", R, b"")], "malformed removal"),
    ([(".wh.x", D, b"")], "malformed removal"),
    ([(".wh.x/y", R, b"")], "in a removal"),
    ([("real/x", R, b"x"), ("ln", S, "real"), ("ln/.wh.x", R, b"")], "through a link"),
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
]


@pytest.mark.parametrize("name", CORPUS)
def test_no_layer_reaches_out(tmp_path: Path, name: str) -> None:
    """CVE-2021-29136, CVE-2020-10696, CVE-2025-4517, and all the others: as the first layer, and over such links."""
    with alive(tmp_path / "canary") as canary:
        tar = tar_of(*hostile(canary)[name])
        for below in ([], [(each, S, str(canary)) for each in ("ln", "a", "f", "d", "h", "escape")]):
            (tmp_path / f"{len(below)}").mkdir()
            stack = Stack(tmp_path / f"{len(below)}")
            stack.apply(io.BytesIO(tar_of(*below)))
            with suppress(IntegrityError):
                stack.apply(io.BytesIO(tar))


OPS: dict[str, FileStep] = {
    "unpack": Unpack(sources=("/a.tar",), dest="/in/side/"),
    "ADD": Copy(sources=("/a.tar",), dest="/in/side/", contents="always", made="alike", unpack=True),
}


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("name", CORPUS)
def test_no_archive_of_a_build_reaches_out(tmp_path: Path, name: str, op: str) -> None:
    """Neither out of the directory that it is unpacked into, nor out of the tree that this is laid down as."""
    with alive(tmp_path / "canary") as canary:
        for place in ("context", "spool", "out"):
            (tmp_path / place).mkdir()
        (tmp_path / "context/a.tar").write_bytes(tar_of(*hostile(canary)[name]))
        tree = ContextTree(tmp_path / "context", StatCache(tmp_path / "stat"))
        with suppress(SourceInputError):
            draft = apply_op(OPS[op], EmptyTree(), tree, spool=tmp_path / "spool")
            assert {entry.path for entry in draft.diff.entries if not f"{entry.path}/".startswith("in/side/")} <= {
                "",
                "in",
            }
            materialise(draft, tmp_path / "out", 0)


@pytest.mark.parametrize("name", CORPUS)
def test_no_layer_of_a_shared_cache_reaches_out(tmp_path: Path, name: str) -> None:
    """What is made is what the diff says, and the diff can't say a way out."""
    with alive(tmp_path / "canary") as canary:
        items = hostile(canary)[name]
        link = Entry(path="ln", type="symlink", mode=0o777, target=str(canary))
        file = Entry(path="ln/file", type="file", mode=0o644, size=4, digest=digest_of(DEAD))
        with pytest.raises(IntegrityError, match="impossible entry"):
            parse_diff(Diff.of([Entry(path="", type="dir", mode=0o755), link, file]).encoded)
        (tmp_path / "fs").mkdir()
        good = Diff.of([Entry(path="", type="dir", mode=0o755), link, Entry(path="x", type="fifo", mode=0o644)])
        lay_down(parse_diff(good.encoded), [partial(io.BytesIO, tar_of(*items))], tmp_path / "fs", 0)
        assert sorted(os.listdir(tmp_path / "fs")) == ["ln", "x"]


@pytest.mark.parametrize(("items", "words"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_no_tool_writes_is_refused(tmp_path: Path, items: list[Item], words: str) -> None:
    """`.` and `/` as links (CVE-2021-29136), `..`, removals of dots and through links, one name of two types."""
    with pytest.raises(IntegrityError, match=words):
        Stack(tmp_path).apply(io.BytesIO(tar_of(*items)))


def test_one_name_with_two_types(tmp_path: Path) -> None:
    """The last one counts, wherever the ones before it led."""
    with alive(tmp_path / "canary") as canary:
        stack, there = Stack(tmp_path), str(canary)
        first: list[Item] = [("x", S, there), ("x", R, b"1"), ("x", D, b""), ("x/file", R, b"2"), ("x", S, there)]
        stack.apply(io.BytesIO(tar_of(*first, ("x", R, DEAD), ("y", D, b""), ("y/file", R, b"3"), ("y", S, there))))
        assert stack.text("x") == DEAD
        assert os.readlink(stack.top / "y") == there


@pytest.mark.parametrize("user", [-1, 2**32 - 1, 2**32, 10**18])
def test_owners_that_the_kernel_has_no_place_for(tmp_path: Path, user: int) -> None:
    """A number that wraps around is root, and -1 leaves a file to who unpacks."""
    info = tarfile.TarInfo("f")
    info.uid = user
    tar = tar_of(info)
    with pytest.raises(IntegrityError, match=r"user or group|impossible number"):
        Stack(tmp_path).apply(io.BytesIO(tar))
    for place in ("context", "spool"):
        (tmp_path / place).mkdir()
    (tmp_path / "context/a.tar").write_bytes(tar)
    tree = ContextTree(tmp_path / "context", StatCache(tmp_path / "stat"))
    for op in OPS.values():
        with pytest.raises(SourceInputError, match=r"user or group|impossible number"):
            apply_op(op, EmptyTree(), tree, spool=tmp_path / "spool")
        (tmp_path / "spool/spool0").unlink()


def test_devices(tmp_path: Path) -> None:
    """A layer may have them, as elsewhere (a step's mounts are `nodev`); what a Buildfile unpacks may not."""
    tar = tar_of(device("null"))
    stack = Stack(tmp_path)
    stack.apply(io.BytesIO(tar))
    assert stack.applied[0][1].diff.entries[1].device == (1, 3)
    for place in ("context", "spool"):
        (tmp_path / place).mkdir()
    (tmp_path / "context/a.tar").write_bytes(tar)
    tree = ContextTree(tmp_path / "context", StatCache(tmp_path / "stat"))
    with pytest.raises(SourceInputError, match="it holds a device"):
        apply_op(OPS["unpack"], EmptyTree(), tree, spool=tmp_path / "spool")


def test_what_overlayfs_notes_for_itself(tmp_path: Path) -> None:
    """`trusted.overlay.*` and `user.overlay.*` of a layer are dropped, and refused in the diff of a shared cache."""
    marks = {
        f"{room}__overlay__{name}": "y" for room in ("trusted", "user") for name in ("opaque", "redirect", "metacopy")
    }
    stack = Stack(tmp_path)
    stack.apply(io.BytesIO(tar_of(("d/below", R, b"x"), ("secret", R, b"x"))))
    stack.apply(io.BytesIO(tar_of(noted("d", D, user__kept="1", **marks), noted("f", user__kept="1", **marks))))
    for name in ("d", "f"):
        assert os.listxattr(stack.top / name) == ["user.kept"]
        assert stack.applied[1][1].diff.entries[1].xattrs == (("user.kept", b"1"),)
    assert stack.names("d") == ["below"]
    wrong = Entry(path="", type="dir", mode=0o755, xattrs=(("user.overlay.opaque", b"y"),))
    with pytest.raises(IntegrityError, match="impossible entry"):
        parse_diff(Diff.of([wrong]).encoded)
