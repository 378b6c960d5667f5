"""A new cache directory is whole before anybody sees it, and is filled once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from buildkit_py.store import Store
from buildkit_py.store.caches import Sharing, cache_name


@pytest.mark.parametrize("sharing", ["shared", "locked", "private"])
def test_it_is_filled_once(store: Store, sharing: Sharing) -> None:
    filled: list[Path] = []

    def begin(directory: Path) -> None:
        filled.append(directory)
        (directory / "a").touch()

    with store.caches.directory("id", sharing=sharing, begin=begin) as path:
        assert [each.name for each in path.iterdir()] == ["a"]
        (path / "a").unlink()
    with store.caches.directory("id", sharing=sharing, begin=begin) as path:
        assert list(path.iterdir()) == []
    assert len(filled) == 1


def test_one_that_could_not_be_filled_is_not_there(store: Store) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), store.caches.directory("id", sharing="shared", begin=fail):
        pass
    with store.caches.directory("id", sharing="shared") as path:
        assert list(path.iterdir()) == []


def test_those_who_share_it_wait_until_it_is_whole(store: Store) -> None:
    seen: list[int] = []

    def begin(directory: Path) -> None:
        threading.Event().wait(0.1)
        (directory / "a").touch()

    def look() -> None:
        with store.caches.directory("id", sharing="shared", begin=begin) as path:
            seen.append(len(list(path.iterdir())))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1, 1]


def killed(store: Store, path: Path) -> None:
    """A build that ended while one of its steps might have left a secret in a cache directory."""
    mark = store.layout.tmp / f"{'0' * 16}-1"
    mark.symlink_to(cache_name(path))


def test_what_a_killed_step_may_have_left_goes_once_nobody_uses_it(store: Store) -> None:
    with store.caches.directory("id", sharing="shared") as path:
        (path / "a").touch()
        killed(store, path)
        store.recover()
        assert (path / "a").exists()
    store.recover()
    assert not path.exists()
    assert list(store.layout.tmp.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc", "/etc", "x/0", f"{'0' * 64}/0", f"{'0' * 64}/../{'0' * 64}"])
def test_a_mark_of_no_cache_leads_nowhere(store: Store, tmp_path: Path, name: str) -> None:
    (store.layout.tmp / f"{'0' * 16}-1").symlink_to(name)
    before = sorted(tmp_path.rglob("*"))
    store.recover()
    assert {path.name for path in set(before) - set(tmp_path.rglob("*"))} <= {f"{'0' * 16}-1"}
    assert list(store.layout.tmp.iterdir()) == []


def test_a_step_in_peace_leaves_no_mark(store: Store) -> None:
    with store.caches.directory("id", sharing="shared") as path:
        settle = store.caches.doubt([path])
        assert [mark.readlink() for mark in store.layout.tmp.iterdir()] == [Path(cache_name(path))]
        settle()
    assert list(store.layout.tmp.iterdir()) == []
