from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from buildkit_py.errors import NotFoundError, StoreError
from buildkit_py.store import Store

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def descriptor(store: Store, data: bytes = b"{}", media_type: str = MANIFEST) -> dict[str, object]:
    return {"mediaType": media_type, "digest": store.blobs.put(data), "size": len(data)}


def names(root: Path) -> dict[str, str]:
    document = json.loads((root / "index.json").read_text())
    return {item["annotations"]["org.opencontainers.image.ref.name"]: item["digest"] for item in document["manifests"]}


def test_names_lead_to_descriptors_and_index_json_repeats_them(store: Store) -> None:
    first, second = descriptor(store), descriptor(store, b"[]", INDEX)
    store.images.put("app:1", first)
    store.images.put("app:2", second)
    assert store.images.get("app:1") == first
    assert store.images.get("app:3") is None
    assert [(image.name, image.kind, image.descriptor) for image in store.images.list()] == [
        ("app:1", "image", first),
        ("app:2", "index", second),
    ]
    assert names(store.root) == {"app:1": first["digest"], "app:2": second["digest"]}
    store.images.put("app:1", second)
    assert names(store.root) == {"app:1": second["digest"], "app:2": second["digest"]}
    store.images.remove("app:1")
    assert names(store.root) == {"app:2": second["digest"]}


def test_a_name_that_a_build_file_implies_takes_none_away_that_was_given(store: Store) -> None:
    first, second = descriptor(store), {**descriptor(store, b"[]"), "annotations": {"a": "b"}}
    assert store.images.put("app", first, given=False)
    assert [(image.given, image.descriptor) for image in store.images.list()] == [(False, first)]
    assert store.images.put("app", second, given=False)
    assert store.images.get("app") == second
    assert store.images.put("app", first)
    assert not store.images.put("app", second, given=False)
    assert store.images.put("app", first, given=False)
    assert [(image.given, image.descriptor) for image in store.images.list()] == [(True, first)]


def test_which_names_were_given_survives_the_loss_of_the_index(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.images.put("given", descriptor(store))
        store.images.put("implied", descriptor(store), given=False)
    (tmp_path / "store/index.db").unlink()
    with Store.open(tmp_path / "store") as store:
        assert {image.name: image.given for image in store.images.list()} == {"given": True, "implied": False}


def test_a_name_that_is_not_there_can_not_be_removed(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no image 'app'"):
        store.images.remove("app")


def test_nothing_is_named_whose_manifest_is_missing(store: Store) -> None:
    with pytest.raises(StoreError, match="is not stored"):
        store.images.put("app", {"digest": "sha256:" + "0" * 64, "size": 1})


def test_a_taken_back_transaction_takes_the_name_back_too(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.images.put("app", descriptor(store))
        raise ZeroDivisionError
    assert store.images.get("app") is None
    assert names(store.root) == {}
    store.memo.put("k", "k", 1)
    assert store.check() == []


def test_an_index_json_that_does_not_match_is_written_again_at_the_next_start(store: Store) -> None:
    store.images.put("app", descriptor(store))
    (store.root / "index.json").write_text("{}")
    assert [finding.id for finding in store.check()] == ["index.json"]
    Store.open(store.root).close()
    assert list(names(store.root)) == ["app"]
    assert store.check() == []


def test_processes_that_name_images_at_once_lose_none(store: Store, spawn) -> None:
    code = """
    store = Store.open(root)
    digest = store.blobs.put(b"{}")
    for number in range(10):
        name = f"app:{sys.argv[2]}-{number}"
        store.images.put(name, {"digest": digest, "size": 2})
        if number % 2: store.images.remove(name)
    """
    processes = [spawn(code, number) for number in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(names(store.root)) == 20
    assert set(names(store.root)) == {image.name for image in store.images.list()}
    assert store.images.matches()


class TestBuilds:
    def test_records_are_found_by_id_prefix_and_latest(self, store: Store) -> None:
        first = store.builds.add({"id": "abc1", "outcome": "done", "steps": [1, 2]})
        second = store.builds.add({"outcome": "failed"})
        assert store.builds.get(first) == {"id": "abc1", "outcome": "done", "steps": [1, 2]}
        assert store.builds.get("latest")["id"] == second
        assert store.builds.get("abc")["id"] == first
        assert [(item["id"], item["outcome"]) for item in store.builds.list()] == [(second, "failed"), (first, "done")]
        assert "steps" not in store.builds.list()[1]
        assert len(store.builds.list(1)) == 1

    def test_what_is_unknown_or_ambiguous_is_not_found(self, store: Store) -> None:
        store.builds.add({"id": "abc1"})
        store.builds.add({"id": "abc2"})
        for name, words in (("abc", "several builds"), ("x", "no build"), ("", "no build"), ("a%", "no build")):
            with pytest.raises(NotFoundError, match=words):
                store.builds.get(name)

    def test_an_empty_store_has_no_latest_build(self, store: Store) -> None:
        with pytest.raises(NotFoundError):
            store.builds.get("latest")


class TestCaches:
    def test_the_id_is_never_a_path(self, store: Store) -> None:
        with store.caches.directory("../../../etc", sharing="locked") as path:
            assert path.parent.parent == store.layout.caches
            (path / "kept").write_text("x")
        with store.caches.directory("../../../etc", sharing="shared") as path:
            assert (path / "kept").read_text() == "x"

    def test_private_gives_each_its_own_and_gives_it_again(self, store: Store) -> None:
        with (
            store.caches.directory("pip", sharing="private") as one,
            store.caches.directory("pip", sharing="private") as two,
        ):
            assert one != two
        with store.caches.directory("pip", sharing="private") as again:
            assert again == one

    def test_locked_is_for_one_and_shared_for_many(self, store: Store) -> None:
        from buildkit_py.errors import StoreBusyError

        with store.caches.directory("apt", sharing="locked"):
            for sharing in ("locked", "shared"):
                with (
                    pytest.raises(StoreBusyError, match=f"process {os.getpid()} holds 'cache apt'"),
                    store.caches.directory("apt", sharing=sharing, timeout=0.01),
                ):
                    pass
        with (
            store.caches.directory("apt", sharing="shared", timeout=0) as one,
            store.caches.directory("apt", sharing="shared", timeout=0) as two,
        ):
            assert one == two

    def test_a_damaged_note_of_the_id_is_found_and_made_again(self, store: Store) -> None:
        with store.caches.directory("apt", sharing="locked") as path:
            pass
        (path.parent / "id").write_text("bpt")
        assert [(found.kind, found.id) for found in store.check()] == [("cache", path.parent.name)]
        store.check(repair=True)
        with store.caches.directory("apt", sharing="locked"):
            assert (path.parent / "id").read_text() == "apt"
