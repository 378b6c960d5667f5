"""Stores that are only read: what they hold can be used, and nothing in them changes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import NotFoundError
from buildkit_py.store import Store, files
from buildkit_py.store.additional import usable
from buildkit_py.store.records import EMPTY_TREE

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
TREE, ABOVE, OWN = ("sha256:" + digit * 64 for digit in "123")


@pytest.fixture
def other(tmp_path: Path, make_image, make_snapshot) -> Path:
    """A store with an image `base` and a tree of two snapshots."""
    root = tmp_path / "other"
    with Store.open(root) as store:
        make_image(store, "base")
        store.trees.put(TREE, EMPTY_TREE, make_snapshot(store, {"a": b"one"}))
        store.trees.put(ABOVE, TREE, make_snapshot(store, {"b": b"two"}))
    return root


@pytest.fixture
def both(root: Path, other: Path) -> Iterator[Store]:
    with Store.open(root, others=[other]) as store:
        yield store


def state(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below a directory, with what changes when it is written to."""
    found = {}
    for path in (root, *root.rglob("*")):
        facts = path.lstat()
        found[str(path)] = (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size)
    return found


def use_everything(store: Store, make_snapshot: Callable[..., str]) -> None:
    descriptor = store.images.find("base")
    assert descriptor is not None
    digest = descriptor["digest"]
    with store.lease():
        assert store.blobs.has(digest)
        assert store.blobs.size(digest) == descriptor["size"]
        assert store.blobs.read(digest).startswith(b"{")
        assert store.trees.complete(ABOVE)
        assert len(store.trees.chain(ABOVE)) == 2
        lowest, highest = store.trees.chain(ABOVE)
        assert (store.snapshots.fs(lowest) / "a").read_bytes() == b"one"
        assert (store.snapshots.fs(highest) / "b").read_bytes() == b"two"
        assert store.snapshots.index(lowest)
        assert store.trees.get(TREE) == (EMPTY_TREE, lowest)
        # A tree of this store over one of the other.
        store.trees.put(OWN, ABOVE, make_snapshot(store, {"c": b"three"}))
        assert len(store.trees.chain(OWN)) == 3
        assert store.trees.complete(OWN)
        assert store.state_of("tree", ABOVE)
        assert store.state_of("blob", digest) is True
        store.images.put("mine", descriptor)
    assert store.check() == []
    store.prune(all=True)
    assert store.check() == []
    assert [record.name for record in store.images.list()] == ["mine"]


def test_everything_can_be_used_and_nothing_is_written(both: Store, other: Path, make_snapshot) -> None:
    before = state(other)
    use_everything(both, make_snapshot)
    assert state(other) == before


@as_root
def test_a_read_only_mount(root: Path, other: Path, tmp_path: Path, make_snapshot) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "--bind", other, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        with Store.open(root, others=[place]) as store:
            use_everything(store, make_snapshot)
    finally:
        subprocess.run(["umount", place], check=True)


def test_names_tell_where_they_are_and_own_ones_come_first(both: Store, other: Path, make_image) -> None:
    assert [(record.name, record.place) for record in both.images.everywhere()] == [("base", other)]
    assert both.images.list() == []
    manifest, *_ = make_image(both, "base")
    assert [(record.name, record.place) for record in both.images.everywhere()] == [("base", None)]
    assert (both.images.find("base") or {})["digest"] == manifest


def test_the_state_of_the_names_changes_with_theirs(root: Path, other: Path, both: Store, make_image) -> None:
    before = both.images.state
    with Store.open(other) as store:
        make_image(store, "more")
    assert both.images.state != before


@pytest.mark.parametrize("name", ["index.db", "index.json"])
@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000, None])
def test_what_is_broken_in_it_is_not_there(both: Store, other: Path, name: str, damage: bytes | None) -> None:
    (other / name).unlink() if damage is None else (other / name).write_bytes(damage)
    digest = next((other / "blobs/sha256").iterdir()).name
    assert both.blobs.has(f"sha256:{digest}")
    if name == "index.db":
        assert both.trees.get(TREE) is None
        with pytest.raises(NotFoundError):
            both.trees.chain(ABOVE)
        assert [record.name for record in both.images.everywhere()] == ["base"]
    else:
        assert both.images.everywhere() == []
    assert both.check() == []


def test_one_that_vanishes_takes_its_bytes_with_it(both: Store, other: Path) -> None:
    digest = (both.images.find("base") or {})["digest"]
    assert both.blobs.has(digest)
    files.remove(other)
    assert not both.blobs.has(digest)
    assert both.images.everywhere() == []


def test_links_in_it_lead_nowhere(both: Store, other: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    hexadecimal = "a" * 64
    (other / "blobs/sha256" / hexadecimal).symlink_to(secret)
    assert not both.blobs.has(f"sha256:{hexadecimal}")


def test_which_can_be_used(other: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    (layout / "blobs").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    found, problems = usable([other, tmp_path / "none", Path("relative"), layout, tmp_path])
    assert found == [other]
    assert [problem.rpartition(": ")[2] for problem in problems] == [
        "there is nothing of that name",
        "its path must begin with /",
        "it has no index.json",
        "it has no blobs",
    ]


def test_a_name_for_an_image_of_another_store_outlives_the_index(root: Path, other: Path, both: Store) -> None:
    both.images.put("mine", both.images.find("base") or {})
    both.close()
    (root / "index.db").unlink()
    with Store.open(root, others=[other]) as store:
        assert [record.name for record in store.images.list()] == ["mine"]
