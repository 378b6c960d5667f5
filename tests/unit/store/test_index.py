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


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return int(found)


V1 = Schema(version=1, create=("CREATE TABLE t (a TEXT)",))
V2 = Schema(
    version=2,
    create=("CREATE TABLE t (a TEXT, b TEXT)",),
    migrations={1: ("ALTER TABLE t ADD COLUMN b TEXT", "UPDATE t SET b = a || '!'")},
)


class TestVersions:
    def test_an_older_index_is_migrated_with_its_rows(self, tmp_path: Path) -> None:
        old = open_index(tmp_path, V1)
        old.execute("INSERT INTO t VALUES ('x')")
        old.close()
        new = open_index(tmp_path, V2)
        assert new.rows("SELECT a, b FROM t") == [("x", "x!")]
        new.close()

    def test_a_migration_that_fails_leaves_the_old_version_whole(self, tmp_path: Path) -> None:
        old = open_index(tmp_path, V1)
        old.execute("INSERT INTO t VALUES ('x')")
        old.close()
        broken = Schema(version=2, create=(), migrations={1: (*V2.migrations[1], "nonsense")})
        with pytest.raises(StoreError):
            open_index(tmp_path, broken)
        assert version_of(tmp_path / "index.db") == 1
        again = open_index(tmp_path, V1)
        assert again.rows("SELECT * FROM t") == [("x",)]
        again.close()

    def test_a_newer_index_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        open_index(tmp_path, V2).close()
        before = (tmp_path / "index.db").read_bytes()
        with pytest.raises(StoreError, match="version 2, this pybuild knows 1"):
            open_index(tmp_path, V1)
        assert (tmp_path / "index.db").read_bytes() == before

    def test_an_index_in_use_is_not_migrated_under_its_user(self, tmp_path: Path) -> None:
        old = open_index(tmp_path, V1)
        with pytest.raises(StoreBusyError, match="'index'"):
            open_index(tmp_path, V2, busy_seconds=0.05)
        old.close()
        open_index(tmp_path, V2).close()

    def test_a_version_without_a_way_forward_is_refused(self, tmp_path: Path) -> None:
        open_index(tmp_path, V1).close()
        with pytest.raises(StoreError, match="too old"):
            open_index(tmp_path, Schema(version=3, create=(), migrations={2: ()}))
        assert version_of(tmp_path / "index.db") == 1

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
    def fill(self, root: Path) -> str:
        with Store.open(root) as store:
            digest = store.blobs.put(b"{}")
            store.images.put("app:1", {"digest": digest, "size": 2, "mediaType": "a/x", "annotations": {"a": "b"}})
            store.memo.put("k", "k", 1)
        return digest

    @pytest.mark.parametrize("damage", ["gone", "empty", "noise", "truncated", "pages"])
    def test_the_index_is_made_again_from_the_rest(self, root: Path, damage: str) -> None:
        digest = self.fill(root)
        path = root / "index.db"
        whole = path.read_bytes()
        match damage:
            case "gone":
                path.unlink()
            case "empty":
                path.write_bytes(b"")
            case "noise":
                path.write_bytes(b"\x55" * len(whole))
            case "truncated":
                path.write_bytes(whole[: len(whole) // 2])
            case "pages":
                path.write_bytes(whole[:4096] + b"\xaa" * (len(whole) - 4096))
        for _ in range(2):
            try:
                with Store.open(root) as store:
                    store.images.list()
                    store.memo.get("k", "k")
            except StoreError as error:
                assert "damaged" in error.message
                assert "again" in (error.hint or "")
        with Store.open(root) as store:
            assert store.images.get("app:1") == {
                "digest": digest,
                "size": 2,
                "mediaType": "a/x",
                "annotations": {"a": "b"},
            }
            store.memo.put("k", "k", 2)
            assert store.check() == []

    def test_check_finds_damage_that_opening_does_not_and_repairs_it(self, root: Path) -> None:
        self.fill(root)
        connection = sqlite3.connect(root / "index.db")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'builds'").fetchone()
        connection.close()
        data = bytearray((root / "index.db").read_bytes())
        data[(page - 1) * 4096 : page * 4096] = bytes(4096)
        (root / "index.db").write_bytes(data)
        with Store.open(root) as store:
            assert ("index", False) in {(finding.kind, finding.repaired) for finding in store.check()}
            assert ("index", True) in {(finding.kind, finding.repaired) for finding in store.check(repair=True)}
            assert store.check() == []
            assert store.images.get("app:1")
        assert (root / "index.db.damaged").exists()

    def test_a_file_that_sqlite_did_not_write_is_set_aside_not_lost(self, root: Path) -> None:
        Store.open(root).close()
        (root / "index.db").write_bytes(b"notes of mine")
        with Store.open(root) as store:
            assert store.check() == []
        assert (root / "index.db.damaged").read_bytes() == b"notes of mine"

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
