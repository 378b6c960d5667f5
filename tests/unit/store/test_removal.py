"""Removing images: what goes with a name, what stays and why, beside other processes and when one is killed."""

from __future__ import annotations

import json
import os
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
