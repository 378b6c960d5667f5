"""Listings: kept once, forgotten with the last that speaks of them."""

from __future__ import annotations

import pytest

from buildkit_py.digest import Digest
from buildkit_py.store import Store, listings

ONE, TWO = str(Digest.of(b"one")), str(Digest.of(b"two"))


def test_a_listing_is_what_was_put_whatever_files_are_called(store: Store) -> None:
    files = {"a": "file 0", "b\n\udcff": "symlink 777 x"}
    store.listings.put(ONE, files)
    assert store.listings.get(ONE) == files
    assert store.listings.has(ONE)
    assert not store.listings.has(TWO)
    assert store.listings.get(TWO) is None


def test_a_large_listing_is_small_on_disk(store: Store) -> None:
    files = {f"src/package-{number % 100}/module-{number}.py": f"file 0 {Digest.of(bytes([number % 256])).hex[:16]}"
             for number in range(20_000)}  # fmt: skip
    store.listings.put(ONE, files)
    ((size,),) = store.index.rows("SELECT length(value) FROM memo WHERE kind = 'listing'")
    assert size < 20_000 * 40


def test_of_too_many_files_none_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MOST", 1)
    store.listings.put(ONE, {"a": "", "b": ""})
    assert not store.listings.has(ONE)


def test_a_listing_stays_as_long_as_a_result_or_a_record_speaks_of_it(store: Store) -> None:
    store.listings.put(ONE, {"a": ""})
    store.listings.put(TWO, {"b": ""})
    store.results.put("key", {}, {"select.from": ONE}, "b1")
    store.builds.add({"id": "b1", "nodes": {"n": {"parts": {"select.from": TWO}}}})
    store.prune(older_than=3600)
    assert (store.listings.has(ONE), store.listings.has(TWO)) == (True, True)
    store.prune(all=True)
    assert (store.listings.has(ONE), store.listings.has(TWO)) == (False, False)


def test_what_nothing_speaks_of_goes_but_not_under_a_build(store: Store) -> None:
    with store.lease():
        store.listings.put(ONE, {"a": ""})
        store.prune(older_than=3600)
        assert store.listings.has(ONE)
    store.prune(older_than=3600)
    assert not store.listings.has(ONE)


def test_records_before_one_are_those_that_say_the_same(store: Store) -> None:
    for name, context in (("b1", "/x"), ("b2", "/y"), ("b3", "/x"), ("b4", "/x"), ("b5", "/x")):
        store.builds.add({"id": name, "context": context})
    assert [each["id"] for each in store.builds.before("b4", limit=9, context="/x")] == ["b3", "b1"]
    assert [each["id"] for each in store.builds.before("b4", limit=1, context="/x")] == ["b3"]
    assert list(store.builds.before("none", limit=9)) == []
