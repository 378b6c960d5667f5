"""Local directories: what of them is there, what is looked at, and what is remembered."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import LocalSource
from buildkit_py.layer import context
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.contexts import Contexts
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.flat import flat
from buildkit_py.layer.select import select
from buildkit_py.layer.statcache import StatCache, stamp_of
from buildkit_py.layer.tree import near


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    path.mkdir()
    return path


def put(path: Path, text: str = "x", age: float = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)
    return path


def look(root: Path, **more: object) -> ContextTree:
    return ContextTree(root, StatCache(root.parent / "stat.db"), **more)


def selected(tree: ContextTree, *sources: str, **more: object) -> list[str]:
    return [entry.path for entry in select(tree, sources or ("./",), **more).entries if entry.type != "dir"]


def test_everything_belongs_to_root_and_has_a_digest(root: Path) -> None:
    os.chown(put(root / "d/f"), 5, 6)
    (root / "ln").symlink_to("d/f")
    tree = look(root)
    entry = tree.lookup("d/f")
    assert entry is not None and (entry.uid, entry.gid, entry.size) == (0, 0, 1)
    assert entry.digest is not None and tree.lookup("ln").target == "d/f"
    assert tree.lookup("ln/x") is None and tree.lookup("no") is None and list(tree.children("d/f")) == []


def test_ignored_paths_are_not_there(root: Path) -> None:
    for name in ("a/x", "a/y", "b/x", "b/deep/keep", "c"):
        put(root / name)
    assert selected(look(root, ignore=("a", "c"))) == ["b/deep/keep", "b/x"]
    assert selected(look(root, ignore=("b", "!b/deep/keep"))) == ["a/x", "a/y", "b/deep/keep", "c"]
    assert selected(look(root, ignore=("*", "!a"))) == ["a/x", "a/y"]
    assert look(root, ignore=("a",)).lookup("a") is None


def test_what_is_ignored_is_told_from_what_is_not_there(root: Path) -> None:
    for name in ("a/x", "b/x", "b/y"):
        put(root / name)
    tree = look(root, ignore=("a", "b/x"))
    assert near(tree, "a/x") == "/a is there, but the ignore file leaves it out"
    assert near(tree, "b/x") == "/b/x is there, but the ignore file leaves it out"
    assert near(tree, "b/nothing") is None


def test_hidden_paths_are_found_by_their_name_alone(root: Path) -> None:
    put(root / "Buildfile")
    put(root / "f")
    tree = look(root, hidden=("/Buildfile",))
    assert selected(tree) == ["f"]
    assert selected(tree, "*") == ["f"]
    assert selected(tree, "/Buildfile") == ["Buildfile"]


def test_a_directory_that_holds_nothing_but_hidden_paths_is_hidden_too(root: Path) -> None:
    put(root / "f")
    hidden = {"hidden": ("out/deep/x.tar", "kept/x.tar")}
    before = [entry.path for entry in select(look(root, **hidden), ("./",)).entries]
    (root / "out").mkdir()
    assert [entry.path for entry in select(look(root, **hidden), ("./",)).entries] == before
    put(root / "out/deep/x.tar")
    assert [entry.path for entry in select(look(root, **hidden), ("./",)).entries] == before
    assert look(root, **hidden).lookup("out/deep") is not None
    put(root / "kept/x.tar")
    put(root / "kept/mine")
    assert selected(look(root, **hidden)) == ["f", "kept/mine"]


def test_links_never_lead_out(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "secret", "s")
    (root / "up").symlink_to("../secret")
    (root / "abs").symlink_to(tmp_path / "secret")
    (root / "dir").symlink_to(tmp_path)
    tree = look(root)
    for name in ("/up", "/abs", "/dir/secret"):
        with pytest.raises(SourceInputError):
            select(tree, (name,))
    for name in ("up", "dir/secret", "../secret"):
        with pytest.raises(SourceInputError):
            tree.open(name)


def test_a_directory_that_becomes_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    put(root / "d/f")
    put(tmp_path / "other/f", "secret")
    tree = look(root)
    assert tree.lookup("d/f") is not None
    (root / "d").rename(tmp_path / "gone")
    (root / "d").symlink_to(tmp_path / "other")
    with suppress(SourceInputError), tree.open("d/f") as file:
        # The directory that was looked at may still be open: what it held is what was selected.
        assert file.read() != b"secret"


def test_the_context_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    put(root / "f")
    (tmp_path / "ln").symlink_to(root)
    assert selected(look(tmp_path / "ln")) == ["f"]


def test_only_what_is_taken_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.c", "a.h", "big/x", "big/y.c"):
        put(root / name)
    opened: list[str] = []
    plain = ContextTree._opened
    monkeypatch.setattr(ContextTree, "_opened", lambda tree, path, *how: opened.append(path) or plain(tree, path, *how))
    assert selected(look(root), "/*.c", "/big/", exclude=("x",)) == ["a.c", "y.c"]
    assert opened == ["a.c", "big/y.c"]


def test_pipes_are_kept_sockets_are_not_and_nothing_hangs(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "sock"))
    tree = look(root)
    assert [entry.type for entry in select(tree, ("./",)).entries] == ["dir", "fifo"]
    with pytest.raises(SourceInputError):
        tree.open("pipe")


def test_a_file_that_changes_while_it_is_read_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "f")
    tree = look(root)
    plain = ContextTree.open

    def racing(self: ContextTree, path: str) -> object:
        file = plain(self, path)
        (root / "f").write_text("longer")
        return file

    stamps = iter(range(9))
    monkeypatch.setattr(context, "stamp_of", lambda facts: (next(stamps), 0, 0, 0))
    with pytest.raises(SourceInputError, match="was changed while"):
        tree.lookup("f")


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceInputError, match="can't be read"):
        look(tmp_path / "no")


def test_what_was_read_is_remembered_when_the_contexts_close(root: Path, tmp_path: Path) -> None:
    put(root / "f")
    time.sleep(1.1)
    with_cache = Contexts({"context": root}, tmp_path / "s.db")
    digest = with_cache.tree(LocalSource()).lookup("f").digest
    with_cache.close()
    facts = (root / "f").lstat()
    assert StatCache(tmp_path / "s.db").get(f"{root}/", "f", stamp_of(facts)) == digest
    with pytest.raises(SourceInputError, match="no directory called"):
        with_cache.tree(LocalSource(name="other"))


def test_a_fact_that_differs_is_a_miss_and_a_late_change_is_not_kept(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "s.db")
    now = time.time_ns()
    old = (1, now - 10**10, now - 10**10, 7)
    cache.put("/d", "f", old, "sha256:x", read_at=now)
    cache.put("/d", "late", (1, now - 10**10, now - 1000, 7), "sha256:y", read_at=now)
    assert cache.get("/d", "f", old) == "sha256:x"
    assert cache.get("/d", "late", (1, now - 10**10, now - 1000, 7)) is None
    for index in range(4):
        other = list(old)
        other[index] += 1
        assert cache.get("/d", "f", tuple(other)) is None


def test_an_equal_time_with_another_inode_is_another_file(root: Path) -> None:
    put(root / "f", "one")
    facts = (root / "f").stat()
    time.sleep(1.1)
    first = look(root)
    digest = first.lookup("f").digest
    first._stats.close()
    put(root / "g", "two").rename(root / "f")
    os.utime(root / "f", ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    assert look(root).lookup("f").digest != digest


@pytest.mark.parametrize("damage", ["file", "row", "directory"])
def test_a_damaged_cache_costs_time_alone(tmp_path: Path, damage: str) -> None:
    path, now = tmp_path / "s.db", time.time_ns()
    stamp = (1, now - 10**10, now - 10**10, 7)
    cache = StatCache(path)
    cache.put("/d", "f", stamp, "sha256:x", read_at=now)
    cache.close()
    assert StatCache(path).get("/d", "f", stamp) == "sha256:x"
    if damage == "row":
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE directory SET files = '{'")
        connection.close()
    elif damage == "file":
        path.write_bytes(b"not a database" * 100)
    else:
        path.unlink()
        path.mkdir()
    cache = StatCache(path)
    assert cache.get("/d", "f", stamp) is None
    cache.put("/d", "f", stamp, "sha256:y", read_at=now)
    cache.close()


def test_special_files_are_there_where_they_are_asked_for(root: Path) -> None:
    put(root / "b/one")
    os.link(root / "b/one", root / "a")
    os.link(root / "b/one", root / "c")
    os.link(root / "b/one", root.parent / "outside")
    os.mknod(root / "null", stat.S_IFCHR | 0o620, os.makedev(1, 3))
    (root / "null").chmod(0o620)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "sock"))
    (root / "sock").chmod(0o640)
    tree = look(root, special=True)
    assert list(tree.children("")) == ["a", "b", "c", "null", "sock"]
    assert [(entry.type, entry.target) for entry in flat(tree).entries if entry.path in ("a", "b/one", "c")] == [
        ("file", None), ("hardlink", "a"), ("hardlink", "a"),
    ]  # fmt: skip
    assert tree.lookup("null") == Entry(path="null", type="char", mode=0o620, device=(1, 3))
    assert tree.lookup("sock") == Entry(path="sock", type="file", mode=0o640, digest=str(Digest.of(b"")))
    with tree.open("sock") as nothing:
        assert nothing.read() == b""
    assert [entry.type for entry in select(tree, ("b/one", "c")).entries] == ["hardlink", "hardlink"]


def test_names_of_one_file_count_only_where_they_are_offered(root: Path) -> None:
    for name in ("b", "c"):
        put(root / "x" / name)
    put(root / "a")
    for name in ("x/d", "hid"):
        os.link(root / "a", root / name)
    tree = look(root, special=True, ignore=("a",), hidden=("hid",))
    assert {entry.path: entry.type for entry in flat(tree).entries}["x/d"] == "file"
    assert look(root).lookup("x/d").type == "file"


def test_a_linked_file_is_looked_at_without_its_other_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "far/below/one")
    os.link(root / "far/below/one", root / "one")
    read: list[str] = []
    real = ContextTree._read
    monkeypatch.setattr(ContextTree, "_read", lambda tree, path: read.append(path) or real(tree, path))
    select(look(root, special=True), ("one",))
    assert read == [""]


def test_a_directory_that_vanishes_is_no_empty_directory(root: Path) -> None:
    put(root / "d/x")
    tree = look(root)
    assert tree.lookup("d") is not None
    (root / "d").rename(root / "away")
    with pytest.raises(SourceInputError, match=r"d in .* was changed while the build was running"):
        tree.children("d")
    assert list(tree.children("never")) == []
