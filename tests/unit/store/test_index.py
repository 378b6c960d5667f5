from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from buildkit_py.errors import NotFoundError, StoreBusyError, StoreError
from buildkit_py.store import Store
from buildkit_py.store.index import Index
from buildkit_py.store.schema import APPLICATION_ID, SCHEMA, Schema, seal


def nothing(connection: sqlite3.Connection) -> None:
    pass


def open_index(place: Path, schema: Schema = SCHEMA, busy_seconds: float = 60.0) -> Index:
    return Index(place / "index.db", place / "lock", nothing, schema=schema, busy_seconds=busy_seconds)


V1 = Schema(version=1, create=("CREATE TABLE t (a TEXT)",))


class TestVersions:
    def test_the_schema_says_whose_it_is(self, store: Store) -> None:
        assert store.index.row("PRAGMA application_id") == (APPLICATION_ID,)
        assert store.index.row("PRAGMA user_version") == (SCHEMA.version,)
        assert store.index.row("PRAGMA journal_mode") == ("wal",)
        assert store.index.row("PRAGMA synchronous") == (2,)


class TestTransactions:
    def test_several_puts_are_one(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.transaction():
            store.memo.put("k", "a", 1)
            store.results.put("key", {"exit": 0}, {}, "b1")
            raise ZeroDivisionError
        assert store.memo.get("k", "a") is None
        assert store.results.get("key") is None
        with store.transaction():
            store.memo.put("k", "a", 1)
            with store.transaction():
                store.memo.put("k", "b", [1, {"x": None}])
        assert store.memo.get("k", "b") == [1, {"x": None}]

    def test_other_threads_see_it_when_it_is_done(self, store: Store) -> None:
        seen: list[object] = []

        def look() -> None:
            seen.append(store.memo.get("k", "a"))

        with store.transaction():
            store.memo.put("k", "a", 1)
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        look()
        assert seen == [None, 1]

    def test_a_locked_index_is_never_sqlites_words(self, tmp_path: Path) -> None:
        index = open_index(tmp_path, V1, busy_seconds=0.05)
        other = open_index(tmp_path, V1, busy_seconds=0.05)
        with index.transaction(), pytest.raises(StoreBusyError, match="keeps the store's index locked"):
            other.execute("INSERT INTO t VALUES ('x')")
        index.close()
        other.close()

    def test_many_processes_write_and_open_at_once(self, store: Store, spawn) -> None:
        code = """
        for number in range(15):
            store = Store.open(root)
            for inner in range(3):
                store.memo.put("k", f"{sys.argv[2]}-{number}-{inner}", number)
            store.close()
        """
        processes = [spawn(code, number) for number in range(8)]
        store.close()
        assert [process.wait() for process in processes] == [0] * 8
        with Store.open(store.root) as again:
            assert again.index.row("SELECT count(*) FROM memo") == (8 * 15 * 3,)

    def test_threads_that_end_close_their_connections(self, store: Store) -> None:
        for _ in range(20):
            thread = threading.Thread(target=lambda: store.memo.get("k", "k"))
            thread.start()
            thread.join()
        assert len(store.index._all) == 1

    def test_the_log_is_gone_when_all_is_closed(self, tmp_path: Path) -> None:
        with Store.open(tmp_path / "other") as store:
            thread = threading.Thread(target=lambda: store.memo.put("k", "k", 1))
            thread.start()
            thread.join()
        assert [path.name for path in store.root.glob("index.db*")] == ["index.db"]


class TestDamage:
    @pytest.mark.parametrize(
        ("table", "column", "look"),
        [
            ("memo", "value", lambda store: store.memo.get("k", "k")),
            ("results", "value", lambda store: store.results.get("key")),
            ("results", "parts", lambda store: store.results.get("key")),
            ("trees", "diff", lambda store: store.trees.get("t")),
            ("images", "descriptor", lambda store: store.images.get("app")),
            ("builds", "record", lambda store: store.builds.get("b1")),
        ],
    )
    def test_a_changed_row_is_never_believed(self, store: Store, table: str, column: str, look) -> None:
        digest = store.blobs.put(b"{}")
        store.memo.put("k", "k", "sha256:0")
        store.memo.put("k", "other", 1)
        store.results.put("key", {"content_id": "sha256:0"}, {"op": "0"}, "b0")
        store.trees.put("t", None, "sha256:0")
        store.images.put("app", {"digest": digest, "size": 2, "note": "0"})
        store.builds.add({"id": "b1", "note": "0"})
        assert look(store)
        store.index.execute(f"UPDATE {table} SET {column} = replace({column}, '0', '1')  WHERE {column} LIKE '%0%'")
        try:
            assert look(store) is None
        except NotFoundError:
            assert table == "builds"
        (finding,) = store.check()
        assert finding.kind in (table, table.removesuffix("s"))
        assert [found.repaired for found in store.check(repair=True)] == [True]
        assert store.check() == []
        assert store.memo.get("k", "other") == 1

    def test_text_that_is_not_text_is_refused_plainly(self, store: Store) -> None:
        with pytest.raises(StoreError, match="not valid text"):
            store.images.get("\udc80")


def test_a_seal_tells_fields_apart() -> None:
    assert len({seal("ab", "c"), seal("a", "bc"), seal("abc"), seal("abc", ""), seal("abc", None)}) == 5
