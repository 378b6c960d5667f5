"""The quota: what goes when it is reached, what stays, and what it costs."""

from __future__ import annotations

import os

import pytest

from buildkit_py.errors import StoreError
from buildkit_py.store import Store
from buildkit_py.store.inventory import Inventory

KB = 1000


def cached(store: Store, number: int, size: int = 10 * KB) -> str:
    """A blob that a later build may use, last used so many seconds after 1970."""
    digest = store.blobs.put(bytes([number]) * size)
    store.memo.put("layer", str(number), digest)
    os.utime(store.blobs.path(digest), (1000 + number, 1000 + number))
    return digest


def there(store: Store, digests: list[str]) -> list[bool]:
    return [store.blobs.path(digest).exists() for digest in digests]


def test_the_least_recently_used_goes_until_a_tenth_is_free(store: Store) -> None:
    told: list[str] = []
    store.space.tell = told.append
    digests = [cached(store, number) for number in range(8)]
    store.space.limit(100 * KB)
    digests += [cached(store, number) for number in range(8, 10)]
    assert there(store, digests) == [True] * 10
    digests.append(cached(store, 10))
    assert there(store, digests) == [False] * 2 + [True] * 9
    assert store.df().bytes <= 100 * KB
    assert told == ["the store reached its quota of 100.0 kB: 2 objects that nothing needs, 20.0 kB, were removed"]
    assert store.check() == []


def test_what_is_needed_stays_and_is_named(store: Store, make_image) -> None:
    needed = make_image(store, "app")
    loose = store.blobs.put(b"x" * KB)
    store.space.limit(2 * KB)
    with store.lease():
        used = store.blobs.put(b"u" * KB)
        assert not store.blobs.path(loose).exists()
        with pytest.raises(StoreError) as caught:
            store.blobs.put(b"y" * KB)
    assert "more than its quota of 2.0 kB: 1.0 kB more are needed" in caught.value.message
    assert "1.0 kB: a running process uses it" in caught.value.message
    assert "image app needs it" in caught.value.message
    assert "pybuild store quota" in (caught.value.hint or "")
    assert all(there(store, [*needed, used]))
    assert store.check() == []
    assert list(store.layout.tmp.iterdir()) == []
    # Now nobody uses it.
    store.blobs.put(b"y" * KB)
    assert not store.blobs.path(used).exists()


def test_what_another_process_uses_stays(store: Store, spawn) -> None:
    found = store.blobs.put(b"f" * KB)
    holder = spawn(
        f"""
        import time
        store = Store.open(root)
        with store.lease():
            assert store.blobs.has({found!r})
            print("ready", flush=True)
            time.sleep(600)
        """
    )
    assert holder.stdout.readline() == "ready\n"
    store.space.limit(int(1.5 * KB))
    with pytest.raises(StoreError, match="a running process uses it"):
        store.blobs.put(b"y" * KB)
    assert store.blobs.read(found) == b"f" * KB
    holder.kill()
    holder.wait()
    store.blobs.put(b"y" * KB)
    assert not store.blobs.path(found).exists()


def test_snapshots_and_downloads_count(store: Store, make_snapshot) -> None:
    store.space.limit(10 * KB)
    with store.lease():
        make_snapshot(store, {"a": b"1" * 6 * KB})
        with pytest.raises(StoreError, match="quota"):
            make_snapshot(store, {"a": b"2" * 6 * KB})
        from buildkit_py.digest import Digest

        with store.blobs.partial(str(Digest.of(b"p" * 6 * KB))) as partial:
            partial.append(b"p" * 6 * KB)
            with pytest.raises(StoreError, match="quota"):
                partial.commit()
        # What was fetched is found again.
        with store.blobs.partial(str(Digest.of(b"p" * 6 * KB))) as partial:
            assert partial.resumed
    assert store.check() == []


def test_below_the_quota_nothing_is_looked_through(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.space.limit(100 * KB)
    cached(store, 1)
    looks: list[object] = []
    objects = Inventory.objects
    monkeypatch.setattr(Inventory, "objects", lambda self: looks.append(self) or objects(self))
    with store.lease():
        for number in range(2, 8):
            cached(store, number)
    assert not looks
    # The sum has counted what is there twice: that is noticed when it matters, and at no other time.
    for _ in range(5):
        store.space.make(10 * KB)
    assert len(looks) == 1
    assert len(list(store.root.glob("blobs/*/*"))) == 7


def test_without_a_quota_nothing_is_counted(store: Store) -> None:
    cached(store, 1)
    assert store.index.row("SELECT count(*) FROM facts WHERE name = 'bytes'") == (0,)
    assert store.space.quota is None


def test_a_cache_directory_that_grew_is_noticed_at_the_end(store: Store) -> None:
    store.space.limit(100 * KB)
    digests = [cached(store, 1), cached(store, 2)]
    with store.lease(), store.caches.directory("pip", sharing="locked") as path:
        (path / "wheel").write_bytes(b"x" * 85 * KB)
    assert there(store, digests) == [False, False]
    assert (path / "wheel").exists()


def test_the_quota_can_be_changed_and_taken_away(store: Store) -> None:
    store.space.limit(5 * KB)
    assert Store.open(store.root).space.quota == 5 * KB
    store.space.limit(None)
    assert store.space.quota is None
    store.space.limit(None)
    cached(store, 1)


def test_a_prune_makes_room_that_is_known(store: Store) -> None:
    store.space.limit(50 * KB)
    for number in range(4):
        cached(store, number)
    store.prune(all=True)
    assert store.index.row("SELECT value FROM facts WHERE name = 'bytes'") == ("0",)


def test_two_processes_keep_to_it(store: Store, spawn) -> None:
    store.space.limit(200 * KB)
    work = """
    store = Store.open(root)
    for number in range(60):
        with store.lease():
            store.blobs.put(os.urandom(10_000))
    """
    assert [process.wait() for process in [spawn(work) for _ in range(3)]] == [0, 0, 0]
    assert store.df().bytes <= 230 * KB
    assert store.check() == []
