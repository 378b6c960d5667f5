"""Rules to keep: the last builds, names, kinds; names of images that go; why something is there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import NotFoundError
from buildkit_py.store import PruneReport, Store
from buildkit_py.store.explain import explain
from buildkit_py.store.gc import Rules
from buildkit_py.store.gc import sweep as gc_sweep
from buildkit_py.store.holders import register

HOUR = 3600


def built(store: Store, name: str, hours_ago: float, make_snapshot: Callable[..., str], *again: str) -> str:
    """What a build so long ago made, and the snapshots of earlier ones that it found; gives the new snapshot."""
    then = time.time() - hours_ago * HOUR
    content = "sha256:" + name * 64
    with store.lease():
        snapshot = make_snapshot(store, {"f": name.encode()})
        store.trees.put(content, None, snapshot)
        store.results.put(f"key-{name}", {"content_id": content}, {}, f"{int(then):x}-{name}")
    title = {"key": f"key-{name}", "title": f"run make {name}", "at": f"Buildfile:{ord(name)}"}
    store.builds.add({"id": f"{int(then):x}-{name}", "nodes": {"n": title}})
    for each in (snapshot, *again):
        store.index.execute("INSERT OR REPLACE INTO uses VALUES ('snapshot', ?, ?)", (each, then + 60))
        os.utime(store.layout.snapshot(each) / "meta", (then, then))
    store.index.execute("UPDATE builds SET created = ? WHERE id LIKE ?", (then + 60, f"%-{name}"))
    store.index.execute("UPDATE results SET created = ? WHERE key = ?", (then + 60, f"key-{name}"))
    store.index.execute("UPDATE uses SET at = ? WHERE id = ?", (then + 60, f"key-{name}"))
    return snapshot


def gone(report: PruneReport, kind: str = "snapshot") -> set[str]:
    return {item.id for item in report.removed if item.kind == kind}


class TestTheLastBuilds:
    def test_what_they_used_stays(self, store: Store, make_snapshot) -> None:
        old = built(store, "a", 9, make_snapshot)
        reused = built(store, "b", 6, make_snapshot)
        middle = built(store, "c", 3, make_snapshot)
        last = built(store, "d", 1, make_snapshot, reused)
        for count, expected in ((4, set()), (2, {old}), (1, {old, middle})):
            began = store.builds.began(count)
            report = store.prune_by(Rules(since=began, last=count), dry_run=True)
            assert gone(report) == expected, count
        words = {item.id: item.why for item in report.kept if item.kind == "snapshot"}
        assert words == {last: "the last build used it", reused: "the last build used it"}
        store.prune_by(Rules(since=store.builds.began(2), last=2))
        assert store.results.get("key-a") is None
        assert store.results.get("key-c")
        assert store.check() == []

    def test_fewer_builds_than_that(self, store: Store, make_snapshot) -> None:
        built(store, "a", 9, make_snapshot)
        assert store.builds.began(2) is None

    def test_with_an_age_either_keeps(self, store: Store, make_snapshot) -> None:
        old, young = built(store, "a", 9, make_snapshot), built(store, "b", 2, make_snapshot)
        built(store, "c", 1, make_snapshot)
        rules = Rules(since=store.builds.began(1), last=1, older_than=3 * HOUR)
        assert gone(store.prune_by(rules, dry_run=True)) == {old}
        rules = Rules(since=store.builds.began(1), last=1, older_than=1800)
        assert gone(store.prune_by(rules)) == {old, young}


class TestKindsAndNames:
    def test_only_one_kind(self, store: Store, make_snapshot) -> None:
        built(store, "a", 9, make_snapshot)
        loose = store.blobs.put(b"loose")
        for name in ("pip", "npm"):
            with store.caches.directory(name, sharing="shared"):
                pass
        report = store.prune_by(Rules(kinds=frozenset({"cache"}), names=("p*",)))
        assert [(item.kind, item.label) for item in report.removed] == [("cache", "npm")]
        assert "its name fits 'p*'" in {item.why for item in report.kept}
        assert store.blobs.has(loose)
        assert store.results.get("key-a")

    def test_a_name_keeps_a_cache_from_everything(self, store: Store) -> None:
        with store.caches.directory("pip", sharing="shared"):
            pass
        assert store.prune_by(Rules(all=True, names=("pip",))).removed == ()
        assert [item.label for item in store.prune_by(Rules(all=True, names=("npm",))).removed] == ["pip"]


def aged(store: Store, name: str, hours: float) -> None:
    then = time.time() - hours * HOUR
    store.index.execute("UPDATE images SET created = ? WHERE name = ?", (then, name))
    store.index.execute("DELETE FROM uses")
    digest = (store.images.get(name) or {})["digest"]
    os.utime(store.blobs.path(digest), (then, then))


class TestNamesOfImages:
    def test_old_ones_go_with_what_only_they_need(self, store: Store, make_image) -> None:
        old, kept = make_image(store, "old:1"), make_image(store, "old:release-1")
        young = make_image(store, "young:1")
        for name in ("old:1", "old:release-1"):
            aged(store, name, 50)
        rules = Rules(images=True, older_than=24 * HOUR, names=("*:release-*",))
        dry = store.prune_by(rules, dry_run=True)
        assert [record.name for record in store.images.list()] == ["old:1", "old:release-1", "young:1"]
        report = store.prune_by(rules)
        assert [(i.kind, i.id) for i in dry.removed] == [(i.kind, i.id) for i in report.removed]
        assert gone(report, "image") == {"old:1"}
        assert gone(report, "blob") == set(old)
        assert [record.name for record in store.images.list()] == ["old:release-1", "young:1"]
        assert all(store.blobs.has(digest) for digest in (*kept, *young))
        assert store.check() == []

    def test_a_use_makes_a_name_young(self, store: Store, make_image) -> None:
        manifest, *_ = make_image(store, "old:1")
        aged(store, "old:1", 50)
        with store.lease():
            assert store.blobs.has(manifest)
        assert store.prune_by(Rules(images=True, older_than=24 * HOUR)).removed == ()

    def test_for_a_size_no_more_names_go_than_must(self, store: Store, make_image) -> None:
        for hours, name in enumerate(("c", "b", "a")):
            make_image(store, name)
            aged(store, name, hours + 1)
        whole = store.df().bytes
        one = next(image.bytes for image in store.df().images if image.name == "a")
        report = store.prune_by(Rules(images=True, keep_bytes=whole - one))
        assert gone(report, "image") == {"a"}
        assert gone(store.prune_by(Rules(images=True, keep_bytes=0)), "image") == {"b", "c"}

    def test_a_name_that_means_something_else_by_now_stays(self, store: Store, make_image) -> None:
        make_image(store, "app")
        assert not store.images.drop("app", "sha256:" + "0" * 64)
        assert [record.name for record in store.images.list()] == ["app"]

    @pytest.mark.parametrize("by", ["app", "3f2a91c"])
    def test_what_is_mounted_after_it_was_chosen_stays_whole(
        self, store: Store, make_image, monkeypatch: pytest.MonkeyPatch, by: str
    ) -> None:
        manifest, *_ = digests = make_image(store, "app")
        other = make_image(store, "other")
        needs = (("image", by), ("blob", manifest))
        facts = {"image": by, "digest": manifest, "platform": "", "writable": False, "objects": needs}
        with ExitStack() as mounts:

            def late(*arguments: Any, **named: Any) -> Any:
                mounts.enter_context(register(store.layout, store.owner, point="/mnt", **facts))
                return gc_sweep(*arguments, **named)

            monkeypatch.setattr("buildkit_py.store.gc.sweep", late)
            report = store.prune_by(Rules(all=True, images=True))
        assert [record.name for record in store.images.list()] == ["app"]
        assert all(map(store.blobs.has, digests))
        assert not any(map(store.blobs.has, other))
        assert {item.id for item in report.kept} == {"app", *digests}
        assert store.check() == []

    def test_a_kill_never_leaves_a_name_without_its_bytes(self, store: Store, make_image, spawn) -> None:
        make_image(store, "app")
        code = """
        import buildkit_py.store.gc as gc
        move = gc._move_away
        def deadly(store, held, mounts, moved):
            why = move(store, held, mounts, moved)
            if held.kind == "blob":
                os.kill(os.getpid(), signal.SIGKILL)
            return why
        gc._move_away = deadly
        Store.open(root).prune_by(gc.Rules(all=True, images=True))
        """
        assert spawn(code).wait() == -9
        assert store.images.list() == []
        assert store.check() == []

    def test_without_the_rule_names_are_not_even_looked_at(self, store: Store, make_image) -> None:
        make_image(store, "app")
        report = store.prune_by(Rules(all=True))
        assert {item.kind for item in report.kept} == {"blob"}


class TestWhy:
    def test_an_image_leads_to_its_layer(self, store: Store, make_image) -> None:
        manifest, _, layer = make_image(store, "app")
        index = {
            "manifests": [
                {"digest": manifest, "mediaType": MANIFEST, "platform": {"os": "linux", "architecture": "arm"}}
            ]
        }
        digest = store.blobs.put(json.dumps(index).encode())
        store.images.put("both", {"digest": digest, "mediaType": "application/vnd.oci.image.index.v1+json"})
        for what in (layer, layer[7:15], layer[:20]):
            (found,) = explain(store, what, Rules(all=True))
            assert (found.remove, found.item.why) == (False, "image app needs it")
            assert found.chains == (
                ("image app", f"manifest {manifest}", f"layer {layer}"),
                ("image both", f"index {digest}", f"manifest {manifest} for linux/arm", f"layer {layer}"),
            )

    def test_a_build_leads_to_a_snapshot(self, store: Store, make_snapshot) -> None:
        snapshot = built(store, "a", 9, make_snapshot)
        content = "sha256:" + "a" * 64
        (found,) = explain(store, snapshot, Rules(older_than=HOUR))
        assert found.remove
        assert found.item.why == "it was not used for 8 hours"
        (chain,) = found.chains
        assert chain[0].startswith("build ")
        assert chain[1:] == ("step 'run make a' at Buildfile:97", f"tree {content}", snapshot)

    def test_a_snapshot_below_another_is_reached_through_it(self, store: Store, make_snapshot) -> None:
        lower, upper = make_snapshot(store, {"a": b"1"}), make_snapshot(store, {"a": b"2"})
        one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
        store.trees.put(one, None, lower)
        store.trees.put(two, one, upper)
        store.memo.put("base", "sha256:m", {"content_id": two})
        (found,) = explain(store, lower, Rules())
        assert found.chains == (("what is known of the base image sha256:m", f"tree {two}", f"tree {one}", lower),)

    def test_a_process_is_named(self, store: Store) -> None:
        with store.lease():
            digest = store.blobs.put(b"mine")
            (found,) = explain(store, digest, Rules(all=True))
        assert found.chains == ((f"process {os.getpid()}",),)
        assert not found.remove

    def test_names_and_caches(self, store: Store, make_image) -> None:
        manifest, *_ = make_image(store, "app")
        with store.caches.directory("pip", sharing="shared"):
            pass
        (image,) = explain(store, "app", Rules(all=True))
        assert (image.item.kind, image.remove, image.chains) == ("image", False, (("image app", manifest),))
        (cache,) = explain(store, "pip", Rules(all=True))
        assert (cache.item.kind, cache.remove) == ("cache", True)

    def test_nothing_of_that_name(self, store: Store) -> None:
        with pytest.raises(NotFoundError, match="'3f2a91c'"):
            explain(store, "3f2a91c", Rules())


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def test_shared_and_unique(store: Store, make_image, tmp_path: Path) -> None:
    _, _, layer = make_image(store, "one")
    config = store.blobs.put(b"config of two")
    document = {
        "config": {"digest": config, "size": store.blobs.size(config), "mediaType": "c"},
        "layers": [{"digest": layer, "size": store.blobs.size(layer), "mediaType": "l"}],
    }
    manifest = store.blobs.put(json.dumps(document).encode())
    store.images.put("two", {"digest": manifest, "size": store.blobs.size(manifest), "mediaType": MANIFEST})
    found = {image.name: image for image in store.df().images}
    shared = store.blobs.size(layer)
    assert {image.shared for image in found.values()} == {shared}
    assert found["two"].unique == store.blobs.size(manifest) + store.blobs.size(config)
    assert found["two"].bytes == found["two"].unique + shared


def test_rows_are_removed_beside_a_process_that_writes_some(store: Store, spawn) -> None:
    """Who is inside a transaction may wait for the `gc` lock; who collects must not wait for the transaction then."""
    store.builds.add({"id": "b1"})
    writer = spawn(
        """
        store = Store.open(root)
        with store.lease(), store.transaction():
            store.memo.put("k", "first", 1)
            print("ready", flush=True)
            time.sleep(1)
            store.memo.put("k", "second", 1)
        """
    )
    assert writer.stdout.readline() == "ready\n"
    assert [item.id for item in store.prune(all=True).removed] == ["b1"]
    assert writer.wait() == 0


def test_a_row_that_is_named_while_it_goes_is_not_found(store: Store, spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is gone for good before anybody can name it again: what a lease has found once stays."""
    from buildkit_py.store import gc

    store.memo.put("base", "x", 1)
    finder = spawn(
        """
        store = Store.open(root)
        sys.stdin.readline()
        with store.lease():
            first = store.memo.get("base", "x")
            time.sleep(0.5)
            print(first == Store.open(root).memo.get("base", "x"), flush=True)
        """,
        stdin=subprocess.PIPE,
    )

    expire = gc.expire_rows

    def slowly(*arguments: object) -> None:
        expire(*arguments)  # type: ignore[arg-type]
        finder.stdin.write("go\n")
        finder.stdin.flush()
        time.sleep(0.3)

    monkeypatch.setattr(gc, "expire_rows", slowly)
    release = gc.HeldLock.release

    def late(lock: gc.HeldLock) -> None:
        release(lock)
        time.sleep(0.2)

    monkeypatch.setattr(gc.HeldLock, "release", late)
    store.prune(all=True)
    assert finder.communicate()[0] == "True\n"
