from __future__ import annotations

import errno
import os
import stat

import pytest

from buildkit_py.errors import IntegrityError, NotFoundError, StoreError
from buildkit_py.store import Store, files, snapshots


def test_a_committed_area_becomes_the_snapshot(store: Store, make_snapshot) -> None:
    digest = make_snapshot(store, {"a": b"one"})
    assert store.snapshots.has(digest)
    assert (store.snapshots.fs(digest) / "a").read_bytes() == b"one"
    assert sorted(os.listdir(store.snapshots.fs(digest).parent)) == ["fs", "index", "meta"]
    assert store.snapshots.index(digest).startswith(b'["a","file"')
    assert list(store.layout.tmp.iterdir()) == []


def test_the_second_commit_of_a_diff_changes_nothing(store: Store, make_snapshot) -> None:
    digest = make_snapshot(store, {"a": b"one"})
    inode = (store.snapshots.fs(digest) / "a").stat().st_ino
    with store.snapshots.area() as area:
        (area.fs / "a").write_bytes(b"one")
        assert store.snapshots.commit(area, digest, store.snapshots.index(digest), 3) is False
    assert (store.snapshots.fs(digest) / "a").stat().st_ino == inode
    assert list(store.layout.tmp.iterdir()) == []


def test_an_area_that_is_left_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.snapshots.area() as area:
        assert area.fs.is_dir()
        assert area.work.is_dir()
        (area.fs / "deep/er").mkdir(parents=True)
        (area.fs / "deep/link").symlink_to("/")
        raise ZeroDivisionError
    assert list(store.layout.tmp.iterdir()) == []


def test_an_index_of_another_diff_is_refused(store: Store) -> None:
    with store.snapshots.area() as area, pytest.raises(IntegrityError):
        store.snapshots.commit(area, "sha256:" + "0" * 64, b"", 0)


def test_half_a_snapshot_counts_as_missing_and_is_replaced(store: Store, make_snapshot) -> None:
    digest = make_snapshot(store, {"a": b"one"})
    files.remove(store.snapshots.fs(digest))
    assert not store.snapshots.has(digest)
    make_snapshot(store, {"a": b"one"})
    assert (store.snapshots.fs(digest) / "a").read_bytes() == b"one"


def test_a_damaged_or_missing_index_is_never_returned(store: Store, make_snapshot) -> None:
    digest = make_snapshot(store, {"a": b"one"})
    index = store.snapshots.fs(digest).parent / "index"
    index.write_bytes(index.read_bytes().replace(b"file", b"fifo"))
    with pytest.raises(IntegrityError, match="damaged"):
        store.snapshots.index(digest)
    index.unlink()
    with pytest.raises(NotFoundError):
        store.snapshots.index(digest)


def test_a_failed_sync_publishes_nothing_and_is_not_tried_again(store: Store, make_snapshot, monkeypatch) -> None:
    calls = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(snapshots.files, "sync_file_system", fail)
    with pytest.raises(StoreError, match="the disk reported an error"):
        make_snapshot(store, {"a": b"one"})
    assert len(calls) == 1
    assert list(store.layout.snapshots.iterdir()) == []
    assert list(store.layout.tmp.iterdir()) == []


def test_the_area_has_fixed_modes(store: Store) -> None:
    before = os.umask(0o077)
    try:
        with store.snapshots.area() as area:
            assert stat.S_IMODE(area.fs.stat().st_mode) == 0o755
    finally:
        os.umask(before)


class TestTrees:
    A, B, C = ("sha256:" + letter * 64 for letter in "abc")

    def test_a_chain_is_told_lowest_first(self, store: Store) -> None:
        store.trees.put("t1", None, self.A)
        store.trees.put("t2", "t1", self.B)
        store.trees.put("t3", "t2", self.C)
        store.trees.put("t3", "t2", self.C)
        assert store.trees.get("t2") == ("t1", self.B)
        assert store.trees.chain("t3") == [self.A, self.B, self.C]

    def test_scratch_is_the_end_of_a_chain(self, store: Store) -> None:
        from buildkit_py.layer.entry import EMPTY_TREE

        store.trees.put("t1", EMPTY_TREE, self.A)
        assert store.trees.chain(EMPTY_TREE) == []
        assert store.trees.chain("t1") == [self.A]
        assert store.trees.complete(EMPTY_TREE)

    def test_a_missing_link_is_not_found(self, store: Store) -> None:
        store.trees.put("t2", "t1", self.B)
        for name in ("t2", "unknown"):
            with pytest.raises(NotFoundError):
                store.trees.chain(name)
            assert not store.trees.complete(name)
        assert store.trees.get("unknown") is None

    def test_a_cycle_ends(self, store: Store) -> None:
        store.trees.put("t1", "t2", self.A)
        store.trees.put("t2", "t1", self.B)
        with pytest.raises(NotFoundError):
            store.trees.chain("t1")

    def test_complete_means_that_every_snapshot_is_there(self, store: Store, make_snapshot) -> None:
        lower = make_snapshot(store, {"a": b"one"})
        store.trees.put("t1", None, lower)
        store.trees.put("t2", "t1", self.B)
        assert store.trees.complete("t1")
        assert not store.trees.complete("t2")
