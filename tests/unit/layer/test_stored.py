"""Trees of a store: what is known of one with its bytes, with its names alone, and in parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.stored import StoredTrees
from buildkit_py.store import Store

BASE, TOP = "sha256:" + "1" * 64, "sha256:" + "2" * 64
LOWER = Diff((Entry(path="a", type="dir", mode=0o755),))
UPPER = Diff((Entry(path="a", type="dir", mode=0o755), Entry(path="a/b", type="dir", mode=0o700)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


def lay(store: Store, diff: Diff) -> None:
    with store.snapshots.area() as area:
        store.snapshots.commit(area, diff.digest, diff.encoded, 0)


def test_a_tree_without_bytes_can_be_looked_at(store: Store) -> None:
    store.trees.put(BASE, None, store.blobs.put(LOWER.encoded))
    store.trees.put(TOP, BASE, UPPER.digest)
    trees = StoredTrees(store)
    assert trees.described(BASE) and not trees.complete(BASE)
    assert not trees.described(TOP) and not trees.holds(TOP, BASE)
    lay(store, UPPER)
    assert trees.described(TOP) and trees.holds(TOP, BASE) and not trees.complete(TOP)
    assert [list(trees.tree(TOP).children(path)) for path in ("", "a")] == [["a"], ["b"]]
    lay(store, LOWER)
    assert trees.complete(TOP)


def test_a_step_that_changed_nothing_lacks_nothing(store: Store) -> None:
    assert StoredTrees(store).holds(BASE, BASE)


def test_a_prune_keeps_the_names_of_a_tree(store: Store) -> None:
    store.trees.put(BASE, None, store.blobs.put(LOWER.encoded))
    forgotten = store.blobs.put(UPPER.encoded)
    store.prune()
    assert store.blobs.has(LOWER.digest) and not store.blobs.has(forgotten)


def test_a_diff_that_was_just_made_is_not_read_again(store: Store) -> None:
    trees = StoredTrees(store)
    trees.learn(LOWER)
    assert trees.diff(LOWER.digest) is LOWER
