"""A new cache directory is whole before anybody sees it, and is filled once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from buildkit_py.store import Store
from buildkit_py.store.caches import Sharing


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
