"""Removing images: what goes with a name, what stays and why, beside other processes and when one is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from buildkit_py.errors import StoreBusyError
from buildkit_py.store import Store
from buildkit_py.store.gc import sweep
from buildkit_py.store.holders import register
from buildkit_py.store.images import ImageRecord
from buildkit_py.store.inventory import Held, Inventory
from buildkit_py.store.leases import holders
from buildkit_py.store.removal import CACHED, remove_images, take_names

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def records(store: Store, *names: str) -> list[ImageRecord]:
    return [record for record in store.images.list() if record.name in names]


def test_what_only_this_image_needs_goes_at_once(store: Store, make_image) -> None:
    mine, others = make_image(store, "app"), make_image(store, "other")
    loose = store.blobs.put(b"loose")
    removal = remove_images(store, records(store, "app"))
    assert {digest for digest, _ in removal.removed} == set(mine)
    assert removal.bytes == sum(size for _, size in removal.removed) > 0
    assert removal.kept == ()
    assert not any(map(store.blobs.has, mine))
    assert all(map(store.blobs.has, [*others, loose]))
    assert [record.name for record in store.images.list()] == ["other"]
    assert store.check() == []


def test_another_name_keeps_everything(store: Store, make_image) -> None:
    digests = make_image(store, "app")
    store.images.put("again", store.images.get("app") or {})
    removal = remove_images(store, records(store, "app"))
    assert removal.removed == ()
    assert {blob.why for blob in removal.kept} == {"image again needs it"}
    assert all(map(store.blobs.has, digests))


def test_a_dry_run_tells_the_same_and_does_nothing(store: Store, make_image) -> None:
    digests = make_image(store, "app")
    told = remove_images(store, records(store, "app"), dry_run=True)
    assert all(map(store.blobs.has, digests))
    assert store.images.get("app")
    assert remove_images(store, records(store, "app")) == told


def test_what_a_later_build_finds_stays_and_a_receipt_holds_nothing(store: Store, make_image) -> None:
    manifest, config, layer = make_image(store, "app")
    store.memo.put("layer", "key", {"digest": layer})
    store.memo.put("receipt", "key", {"record": {"images": [{"digest": manifest}]}})
    removal = remove_images(store, records(store, "app"))
    assert [(blob.digest, blob.why) for blob in removal.kept] == [(layer, CACHED)]
    assert {digest for digest, _ in removal.removed} == {manifest, config}
    assert [store.blobs.has(digest) for digest in (manifest, config, layer)] == [False, False, True]


def test_a_process_at_work_holds_what_it_found_and_is_named(store: Store, make_image, spawn) -> None:
    manifest, config, layer = make_image(store, "app")
    holder = spawn(
        f"""
        store = Store.open(root)
        with store.lease():
            assert store.blobs.has({layer!r})
            print("ready", flush=True)
            time.sleep(600)
        """
    )
    assert holder.stdout.readline() == "ready\n"
    removal = remove_images(store, records(store, "app"))
    assert [(blob.digest, blob.pid) for blob in removal.kept] == [(layer, holder.pid)]
    assert {digest for digest, _ in removal.removed} == {manifest, config}
    assert store.blobs.has(layer)
    holder.kill()
    holder.wait()
    assert [item.id for item in store.prune().removed] == [layer]


def test_who_reads_a_manifest_holds_what_it_names(store: Store, make_image) -> None:
    digests = make_image(store, "app")
    with store.lease():
        store.blobs.read(digests[0])
        removal = remove_images(store, records(store, "app"))
        assert removal.removed == ()
        assert {(blob.digest, blob.pid) for blob in removal.kept} == {(digest, os.getpid()) for digest in digests}
        assert store.prune().removed == ()
    with store.lease():
        # A later lease of a process has its pid too.
        assert store.blobs.has(digests[2])
        assert [pid for pid, _ in holders(store.layout)] == [os.getpid()]
    assert all(map(store.blobs.has, digests))
    assert {item.id for item in store.prune().removed} == set(digests)


def test_a_manifest_goes_before_what_it_names(store: Store, make_image, monkeypatch) -> None:
    manifest, *_ = make_image(store, "app")
    swept: list[list[Held]] = []

    def keep(_: Store, objects: list[Held], *, names: str) -> dict[tuple[str, str], str]:
        swept.append(objects)
        return {}

    monkeypatch.setattr("buildkit_py.store.removal.sweep", keep)
    remove_images(store, records(store, "app"))
    assert swept[0][0].id == manifest


def test_what_a_manifest_calls_a_digest_leads_to_no_other_file(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    layers = [{"digest": f"sha256:{up}victim", "size": 4} for up in ("../../../", f"/{tmp_path}/", "")]
    (store.root / "blobs/sha256/victim").write_text("mine too")
    manifest = store.blobs.put(json.dumps({"config": {}, "layers": layers}).encode())
    store.images.put("app", {"digest": manifest, "size": 1, "mediaType": MANIFEST})
    assert [digest for digest, _ in remove_images(store, records(store, "app")).removed] == [manifest]
    assert victim.read_text() == "mine"
    assert (store.root / "blobs/sha256/victim").exists()


def test_a_name_that_moved_meanwhile_is_not_taken_away(store: Store, make_image) -> None:
    make_image(store, "app")
    make_image(store, "other")
    seen = records(store, "app", "other")
    store.images.put("other", store.images.get("app") or {})
    with pytest.raises(StoreBusyError, match="'other' was taken away or given"):
        take_names(store, seen)
    assert {record.name for record in store.images.list()} == {"app", "other"}


def test_an_image_that_was_named_after_the_look_keeps_its_blobs(store: Store, make_image) -> None:
    digests = make_image(store, "app")
    descriptor = store.images.get("app") or {}
    store.images.remove("app")
    names = store.images.state
    free = Inventory(store).blobs(digests)
    assert all(held.reason is None for held in free)
    store.images.put("app", descriptor)
    assert set(sweep(store, free, names=names).values()) == {"image app needs it"}
    assert all(map(store.blobs.has, digests))


WORK = """
import json, os, signal, sys
from pathlib import Path
from buildkit_py.store import Store, files, index
from buildkit_py.store.removal import remove_images

root, limit, after, count = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after", 0

def put(store, name):
    config, layer, common = (store.blobs.put(f"{kind} of {name}".encode()) for kind in ("config", "layer", "all"))
    common = store.blobs.put(b"in both")
    row = lambda digest: {"digest": digest, "size": store.blobs.size(digest)}
    manifest = store.blobs.put(json.dumps({"config": row(config), "layers": [row(common), row(layer)]}).encode())
    store.images.put(name, {**row(manifest), "mediaType": "application/vnd.oci.image.manifest.v1+json"})

def deadly(call):
    def wrapped(*arguments, **named):
        global count
        count += 1
        mine = count == limit
        if mine and not after: os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(*arguments, **named)
        finally:
            if mine: os.kill(os.getpid(), signal.SIGKILL)
    return wrapped

class Connection(index.sqlite3.Connection):
    def execute(self, sql, *values):
        run = super().execute
        if sql.startswith(("COMMIT", "BEGIN", "INSERT", "DELETE")): run = deadly(run)
        return run(sql, *values)

with Store.open(root) as store:
    for name in ("app", "stays"):
        put(store, name)
connect = index.sqlite3.connect
index.sqlite3.connect = lambda *arguments, **named: connect(*arguments, **named, factory=Connection)
for name in ("rename", "fsync", "unlink", "rmdir", "mkdir"):
    setattr(os, name, deadly(getattr(os, name)))
with Store.open(root) as store:
    remove_images(store, [record for record in store.images.list() if record.name == "app"])
print(count)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_anywhere_it_leaves_a_whole_store(tmp_path: Path, when: str) -> None:
    def run(place: Path, limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WORK, str(place), str(limit), when]
        return subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)

    total = int(run(tmp_path / "whole", 0).stdout)
    assert total > 10
    for limit in range(1, total + 1, 2):
        place = tmp_path / f"crash-{limit}"
        killed = run(place, limit)
        assert killed.returncode == -9, killed.stderr
        with Store.open(place) as store:
            assert store.check() == []
            assert os.listdir(store.layout.tmp) == []
            names = {record.name for record in store.images.list()}
            assert names in ({"stays"}, {"app", "stays"})
            store.prune()
            assert len(list(place.glob("blobs/*/*"))) == (4 if names == {"stays"} else 7)


@pytest.mark.parametrize("by", ["app", "another"])
def test_the_advice_for_a_mounted_image_helps(store: Store, make_image, by: str) -> None:
    manifest, *_ = make_image(store, "app")
    needs = (("image", by), ("blob", manifest))
    facts = {"image": by, "digest": manifest, "platform": "", "writable": False, "objects": needs}
    with register(store.layout, store.owner, point="/mnt", **facts):
        with pytest.raises(StoreBusyError) as refused:
            take_names(store, records(store, "app"))
        assert ("give it another name" in str(refused.value.hint)) == (by == "another")
        store.images.put("again", store.images.get("app") or {})
        if by == "another":
            take_names(store, records(store, "app"))
        else:
            with pytest.raises(StoreBusyError):
                take_names(store, records(store, "app"))
