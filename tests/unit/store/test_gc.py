from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import StoreBusyError
from buildkit_py.store import Store, gc, leases
from buildkit_py.store.gc import Rules, choose, sweep
from buildkit_py.store.inventory import Held

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def has_all(store: Store, digests: list[str]) -> bool:
    return all(store.blobs.has(digest) for digest in digests)


def backdate(store: Store, seconds: float) -> None:
    """Make everything look as if it had been used long ago."""
    then = time.time() - seconds
    store.index.execute("UPDATE uses SET at = at - ?", (seconds,))
    for table in ("results", "memo", "builds"):
        store.index.execute(f"UPDATE {table} SET created = created - ?", (seconds,))
    for pattern in ("blobs/*/*", "snapshots/*/meta", "caches/*/*"):
        for path in store.root.glob(pattern):
            os.utime(path, (then, then))


class TestWhatGoes:
    def test_images_hold_their_blobs_and_nothing_refers_to_the_rest(self, store: Store, make_image) -> None:
        needed = make_image(store, "app")
        loose = store.blobs.put(b"loose")
        report = store.prune()
        assert [item.id for item in report.removed] == [loose]
        assert report.removed[0].why == "nothing refers to it"
        assert report.bytes == 5
        assert {item.why for item in report.kept} == {"image app needs it"}
        assert has_all(store, needed)

    def test_without_the_name_the_bytes_go(self, store: Store, make_image) -> None:
        needed = make_image(store, "app")
        store.images.remove("app")
        assert {item.id for item in store.prune().removed} == set(needed)
        assert store.check() == []

    def test_the_cache_stays_unless_all_is_asked_for(self, store: Store, make_snapshot) -> None:
        kept, loose = make_snapshot(store, {"a": b"one"}), make_snapshot(store, {"a": b"two"})
        store.trees.put("t1", None, kept)
        store.results.put("key", {"content_id": "sha256:" + "1" * 64}, {}, "b")
        layer = store.blobs.put(b"layer")
        store.memo.put("layer", "k", {"digest": layer})
        with store.caches.directory("pip", sharing="locked") as path:
            (path / "wheel").write_bytes(b"x" * 100)
        assert [item.id for item in store.prune().removed] == [loose]
        assert store.results.get("key")
        report = store.prune(all=True)
        assert {item.id for item in report.removed if item.kind != "cache"} == {kept, layer}
        assert [(item.label, item.bytes) for item in report.removed if item.kind == "cache"] == [("pip", 100)]
        assert store.results.get("key") is None
        assert store.trees.get("t1") is None
        assert store.memo.get("layer", "k") is None
        assert store.check() == []

    def test_a_manifest_of_the_cache_holds_its_layers_together(self, store: Store, make_image) -> None:
        digests = make_image(store, "base")
        store.images.remove("base")
        store.memo.put("image", "base", {"manifest": digests[0]})
        assert store.prune().removed == ()
        assert has_all(store, digests)

    def test_a_dry_run_removes_nothing(self, store: Store) -> None:
        loose = store.blobs.put(b"loose")
        assert [item.id for item in store.prune(dry_run=True).removed] == [loose]
        assert store.blobs.has(loose)

    def test_what_was_not_used_for_long_goes_with_its_rows(self, store: Store, make_snapshot) -> None:
        with store.lease():
            old = make_snapshot(store, {"a": b"old"})
            store.trees.put("sha256:" + "a" * 64, None, old)
            store.results.put("old", {"content_id": "sha256:" + "a" * 64}, {}, "b")
            used = make_snapshot(store, {"a": b"used"})
            store.trees.put("sha256:" + "b" * 64, None, used)
            store.results.put("used", {"content_id": "sha256:" + "b" * 64}, {}, "b")
        backdate(store, 7200)
        with store.lease():
            assert store.results.get("used")
            assert store.snapshots.has(used)
        assert [item.id for item in store.prune(older_than=3600).removed] == [old]
        assert store.snapshots.has(used)
        assert store.results.get("old") is None
        assert store.trees.get("sha256:" + "a" * 64) is None
        assert store.results.get("used")
        assert store.trees.chain("sha256:" + "b" * 64) == [used]

    def test_rows_whose_keys_are_no_text_any_more_go_too(self, store: Store) -> None:
        store.results.put("old", {}, {}, "b")
        store.memo.put("layer", "old", 1)
        store.trees.put("sha256:" + "a" * 64, None, "sha256:" + "b" * 64)
        damaged = "CAST(X'6FB264' AS TEXT)"
        for table, column in (("results", "key"), ("memo", "key"), ("trees", "id")):
            store.index.execute(f"UPDATE {table} SET {column} = {damaged}")
        backdate(store, 7200)
        store.prune(older_than=3600)
        rows = store.index.rows("SELECT key FROM results UNION ALL SELECT key FROM memo UNION ALL SELECT id FROM trees")
        assert list(rows) == []

    def test_the_least_recently_used_goes_first(self, store: Store) -> None:
        digests = [store.blobs.put(bytes([number]) * 10) for number in range(4)]
        for number, digest in enumerate(digests):
            store.memo.put("layer", str(number), digest)
            os.utime(store.blobs.path(digest), (1000 + number, 1000 + number))
        with store.lease():
            store.blobs.has(digests[0])
        assert [item.id for item in store.prune(keep_bytes=20).removed] == [digests[1], digests[2]]

    def test_an_unfinished_download_goes_unless_it_goes_on(self, store: Store) -> None:
        digest = "sha256:" + "1" * 64
        with store.blobs.partial(digest) as part:
            part.append(b"half")
            assert [(item.kind, item.why) for item in store.prune().kept] == [("partial", "a running process uses it")]
        assert [(item.kind, item.bytes) for item in store.prune().removed] == [("partial", 4)]
        assert list(store.layout.partial.iterdir()) == []

    def test_build_records_are_cache_too(self, store: Store) -> None:
        store.builds.add({"id": "b1"})
        assert store.prune().removed == ()
        assert [item.id for item in store.prune(all=True).removed] == ["b1"]
        assert store.builds.list() == []

    def test_a_record_holds_the_graph_of_its_build_and_nothing_else(self, store: Store) -> None:
        graph, other = store.blobs.put(b"graph"), store.blobs.put(b"other")
        store.builds.add({"id": "b1", "graph": graph, "images": [{"digest": other}]})
        assert [item.id for item in store.prune().removed] == [other]
        store.prune(all=True)
        assert not store.blobs.has(graph)

    def test_the_rest_of_a_snapshot_can_be_removed(self, store: Store, make_image, make_snapshot) -> None:
        digest = make_snapshot(store, {"a": b"one"})
        (store.snapshots.fs(digest) / "a").unlink()
        store.snapshots.fs(digest).rmdir()
        make_image(store, "app")
        store.images.remove("app")
        assert digest in {item.id for item in store.prune().removed}
        assert store.check() == []

    def test_lock_files_of_killed_processes_go(self, store: Store, spawn) -> None:
        process = spawn("with Store.open(root).lock('step'): os.kill(os.getpid(), signal.SIGKILL)")
        process.wait()
        assert store.layout.lock("step").exists()
        with store.lock("other"):
            store.prune()
            assert store.layout.lock("other").exists()
        assert not store.layout.lock("step").exists()


class TestWhoHolds:
    def test_a_live_lease_holds_what_it_made_and_found(self, store: Store, spawn, make_snapshot) -> None:
        found, snapshot = store.blobs.put(b"found"), make_snapshot(store, {"a": b"one"})
        loose = store.blobs.put(b"loose")
        holder = spawn(
            f"""
            store = Store.open(root)
            with store.lease():
                assert store.blobs.has({found!r}) and store.snapshots.has({snapshot!r})
                print(store.blobs.put(b"made"), flush=True)
                time.sleep(600)
            """
        )
        made = holder.stdout.readline().strip()
        for _ in range(2):
            report = store.prune(all=True)
            assert {item.id for item in report.kept} == {found, made, snapshot}
            assert {item.why for item in report.kept} == {"a running process uses it"}
        assert not store.blobs.has(loose)
        holder.kill()
        holder.wait()
        assert {item.id for item in store.prune(all=True).removed} == {found, made, snapshot}

    def test_a_live_lease_holds_the_rows_that_it_goes_by(self, store: Store) -> None:
        tree, lower = "sha256:" + "a" * 64, "sha256:" + "b" * 64
        with store.lease():
            store.trees.put(tree, lower, "sha256:" + "c" * 64)
            store.results.put("key", {}, {}, "b")
        store.trees.put(lower, None, "sha256:" + "d" * 64)
        with store.lease():
            assert store.trees.get(tree)
            assert store.results.get("key")
            store.prune(all=True)
            assert len(store.trees.chain(tree)) == 2
            assert store.results.get("key") == {"parts": {}, "build": "b"}
        store.prune(all=True)
        assert store.trees.get(tree) is None
        assert store.results.get("key") is None

    def test_leases_know_no_clock(self, store: Store, spawn) -> None:
        holder = spawn(
            """
            store = Store.open(root)
            with store.lease():
                print(store.blobs.put(b"made"), flush=True)
                time.sleep(600)
            """
        )
        made = holder.stdout.readline().strip()
        for path in store.layout.leases.iterdir():
            os.utime(path, (1, 1))
        os.utime(store.blobs.path(made), (1, 1))
        assert store.prune(all=True).removed == ()

    def test_the_end_of_a_lease_frees_and_remembers_the_use(self, store: Store) -> None:
        with store.lease():
            with store.lease():
                digest = store.blobs.put(b"made")
            assert store.prune().removed == ()
        assert store.index.row("SELECT count(*) FROM uses WHERE kind = 'blob' AND id = ?", (digest,)) == (1,)
        assert [item.id for item in store.prune().removed] == [digest]
        assert store.index.row("SELECT count(*) FROM uses") == (0,)

    def test_a_cache_hit_costs_no_transaction(self, store: Store) -> None:
        store.results.put("key", {}, {}, "b")
        with store.lease():
            before = store.index.row("PRAGMA data_version"), store.index._connection().total_changes
            for _ in range(50):
                store.results.get("key")
            assert store.index._connection().total_changes == before[1]
        assert store.index._connection().total_changes == before[1] + 1

    @pytest.mark.parametrize("found_by", ["recover", "df", "prune"])
    def test_the_uses_of_a_killed_process_are_remembered(self, store: Store, spawn, found_by: str) -> None:
        process = spawn(
            """
            store = Store.open(root)
            with store.lease():
                store.blobs.put(b"made"); store.memo.get("k", "a\\nb")
                os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        process.wait()
        {"recover": store.recover, "df": store.df, "prune": lambda: store.prune(older_than=60)}[found_by]()
        noted = {kind for (kind,) in store.index.rows("SELECT kind FROM uses")}
        # The blob is mentioned by nothing: a prune removes it all the same.
        assert noted == ({"memo"} if found_by == "prune" else {"blob", "memo"})
        assert [path.name for path in store.layout.leases.iterdir()] == [store.owner.temporary().name.split("-")[0]]

    def test_a_cache_directory_in_use_stays(self, store: Store) -> None:
        with store.caches.directory("pip", sharing="shared"):
            assert [item.why for item in store.prune(all=True).kept] == ["a running process uses it"]
        assert [item.label for item in store.prune(all=True).removed] == ["pip"]

    @as_root
    @pytest.mark.parametrize("kind", ["below", "overlay"])
    def test_nothing_goes_that_is_mounted(self, store: Store, make_snapshot, tmp_path: Path, kind: str) -> None:
        digest = make_snapshot(store, {"a": b"one"})
        point = tmp_path / "mounted"
        point.mkdir()
        if kind == "below":
            point = store.snapshots.fs(digest) / "point"
            point.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
        else:
            lower = tmp_path / "lower"
            lower.mkdir()
            options = f"lowerdir={store.snapshots.fs(digest)}:{lower}"
            subprocess.run(["mount", "-t", "overlay", "none", "-o", options, point], check=True)
        try:
            assert [item.why for item in store.prune(all=True).kept] == ["a file system is mounted on it"]
            path = store.snapshots.fs(digest).parent
            seen_before_it_was_mounted = replace(held(0, 1, 0.0, None, wanted=False), path=path)
            assert list(sweep(store, [seen_before_it_was_mounted]).values()) == ["a file system is mounted on it"]
            assert (store.snapshots.fs(digest) / "a").exists()
        finally:
            subprocess.run(["umount", point], check=True)
        assert [item.id for item in store.prune(all=True).removed] == [digest]

    def test_build_and_prune_side_by_side(self, store: Store, spawn) -> None:
        """What a lease has seen or made is there until it ends, whatever is pruned meanwhile."""
        pruner = spawn("store = Store.open(root)\nwhile True: store.prune(all=True); store.df(); store.images.list()")
        builder = """
        import random
        store, chance = Store.open(root), random.Random(sys.argv[2])
        for turn in range(60):
            with store.lease():
                kept = []
                for _ in range(5):
                    data = b"%d" % chance.randrange(8)
                    digest = "sha256:" + __import__("hashlib").sha256(data).hexdigest()
                    if not store.blobs.has(digest):
                        assert store.blobs.put(data) == digest
                    kept.append((digest, data))
                for digest, data in kept:
                    assert store.blobs.read(digest) == data
        """
        builders = [spawn(builder, number) for number in range(3)]
        assert [process.wait() for process in builders] == [0] * 3
        assert pruner.poll() is None
        assert store.check() == []


class TestUsage:
    def test_space_is_told_by_kind(self, store: Store, make_image, make_snapshot) -> None:
        make_image(store, "app")
        store.blobs.put(b"loose")
        make_snapshot(store, {"a": b"12345678"})
        with store.caches.directory("pip", sharing="shared") as path:
            (path / "f").write_bytes(b"123")
            usage = {kind.kind: kind for kind in store.df().kinds}
        assert (usage["blob"].count, usage["blob"].reclaimable) == (4, 5)
        assert (usage["snapshot"].count, usage["snapshot"].bytes, usage["snapshot"].reclaimable) == (1, 8, 8)
        assert (usage["cache"].bytes, usage["cache"].reclaimable) == (3, 0)
        assert store.df().reclaimable == store.prune(all=True).bytes


def held(number: int, size: int, used: float, reason: str | None, wanted: bool) -> Held:
    return Held(kind="blob", id=str(number), label="", bytes=size, used=used, path=None, reason=reason, wanted=wanted)


OBJECTS = st.lists(
    st.tuples(st.integers(0, 100), st.floats(0, 1000), st.sampled_from([None, "held"]), st.booleans()), max_size=12
).map(lambda rows: [held(number, *row) for number, row in enumerate(rows)])
RULES = st.builds(
    Rules,
    keep_bytes=st.none() | st.integers(0, 1000),
    older_than=st.none() | st.floats(0, 1000),
    all=st.booleans(),
)


@given(objects=OBJECTS, rules=RULES)
def test_choosing_keeps_to_the_rules(objects: list[Held], rules: Rules) -> None:
    choices = choose(objects, rules, now=1000.0)
    assert sorted(choice.held.id for choice in choices) == sorted(item.id for item in objects)
    gone = [choice.held for choice in choices if choice.remove]
    cache = [item for item in gone if item.wanted]
    assert all(choice.why for choice in choices)
    assert all(item.reason is None for item in gone)
    assert all(item in gone for item in objects if item.reason is None and not item.wanted)
    if rules.older_than is not None:
        assert all(1000.0 - item.used >= rules.older_than for item in cache)
    if rules.keep_bytes is not None and cache:
        left = sum(item.bytes for item in objects) - sum(item.bytes for item in gone)
        assert left + cache[-1].bytes > rules.keep_bytes
    if cache:
        newest = max(item.used for item in cache)
        may_go = [item for item in objects if item.reason is None and item.wanted and item.used < newest]
        assert all(item in gone for item in may_go)


def test_a_collection_beside_other_threads_of_its_process_blocks_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector holds the `gc` lock and needs a temporary name while a thread waits for that lock to say that it
    uses something."""
    loose = store.blobs.put(b"loose")
    waiting, faults = threading.Event(), list[StoreBusyError]()
    wait = leases.wait

    def tell(*arguments: Any) -> None:
        waiting.set()
        wait(*arguments)

    def note() -> None:
        try:
            with store.lease():
                store.owner.note("blob", "sha256:" + "0" * 64)
        except StoreBusyError as error:
            faults.append(error)

    other = threading.Thread(target=note)

    def move(*arguments: Any) -> str | None:
        other.start()
        assert waiting.wait(60)
        return move_away(*arguments)

    move_away = gc._move_away
    monkeypatch.setattr(leases, "wait", tell)
    monkeypatch.setattr(gc, "_move_away", move)
    assert [item.id for item in store.prune().removed] == [loose]
    other.join()
    assert faults == []
