"""Asking shared caches, which are tables in memory here: what is believed, what is remembered, what is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from buildkit_py import canonical
from buildkit_py.layer.entry import EMPTY_TREE, Diff, Entry, content_id
from buildkit_py.layer.stored import StoredTrees
from buildkit_py.oci import Descriptor
from buildkit_py.protocol import StepResult
from buildkit_py.registry.blobs import BlobSource
from buildkit_py.sharing.lookup import SharedCache
from buildkit_py.sharing.places import Layout, Unreachable
from buildkit_py.sharing.record import DIFF, Record
from buildkit_py.store import Store


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


KEY, BASE = digest("key"), digest("base")
CHANGE = Diff.of([Entry(path="", type="dir", mode=0o755), Entry(path="d", type="dir", mode=0o700)])
RESULT = content_id(BASE, CHANGE)


def step(tree: str | None = RESULT, diff: str | None = CHANGE.digest, **more: tuple[Descriptor, ...]) -> Record:
    return Record(kind="step", key=KEY, facts={"content_id": tree, "diff": diff}, **more)


class Table:
    """A cache with these records; `asked` counts."""

    def __init__(self, *records: Record, name: str = "table", raw: bytes | None = None, reason: str = "") -> None:
        self.name = self.origin = name
        self.records = {record.tag: record.manifest for record in records}
        self.raw, self.reason = raw, reason
        self.asked: list[str] = []

    def get(self, tag: str) -> bytes | None:
        self.asked.append(tag)
        if self.reason:
            raise Unreachable(self.reason)
        return self.raw if self.raw is not None else self.records.get(tag)

    def config(self, descriptor: Descriptor) -> bytes:
        raise Unreachable("no blobs")

    def sources(self) -> Sequence[BlobSource]:
        return []


class Asker:
    """A cache over an empty store, and what it said."""

    def __init__(self, store: Store, *places: Table | Layout) -> None:
        self.told: list[str] = []
        self.store, self.trees = store, StoredTrees(store)
        self.cache = SharedCache(store, self.trees, places, self.told.append)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened, opened.lease():
        yield opened


def test_a_result_that_follows_from_its_base(store: Store) -> None:
    table = Table(step())
    asker = Asker(store, table)
    found = asker.cache.step(KEY, BASE)
    assert found is not None and (found.content_id, found.diff, found.hit) == (RESULT, CHANGE.digest, "key")
    assert asker.cache.step(KEY, BASE) == found
    assert (len(table.asked), asker.told, asker.cache.used) == (1, [], {"table": 1})


def test_that_there_is_none_is_remembered(store: Store) -> None:
    table = Table()
    asker = Asker(store, table)
    for _ in range(3):
        assert asker.cache.step(KEY, BASE) is None
        assert asker.cache.selection(digest("s")) is None
        assert asker.cache.check(digest("c")) is False
        assert asker.cache.layer(digest("l")) is None
    assert (len(table.asked), asker.told) == (4, [])


@pytest.mark.parametrize(
    ("record", "base"),
    [
        (step(tree=digest("other")), BASE),
        (step(), digest("another base")),
        (step(diff=None), BASE),
        (step(tree=None, diff=None), BASE),
        (step(tree=None), BASE),
    ],
)
def test_a_result_that_does_not(store: Store, record: Record, base: str) -> None:
    asker = Asker(store, Table(record), Table(step(), name="second"))
    found = asker.cache.step(KEY, base)
    assert (found is not None) == (base == BASE)
    assert record.tag in asker.told[0] and "cache table is refused" in asker.told[0]


def test_an_unchanged_tree_and_one_that_nobody_wants(store: Store) -> None:
    unchanged = Asker(store, Table(step(tree=BASE, diff=None))).cache.step(KEY, BASE)
    assert unchanged is not None and (unchanged.content_id, unchanged.diff) == (BASE, None)
    unwanted = Asker(store, Table(step(tree=None, diff=None))).cache.step(KEY, None)
    assert unwanted is not None and unwanted.content_id is None


def test_one_that_can_not_be_reached_is_told_once(store: Store) -> None:
    dead, alive = Table(reason="no route"), Table(step(), name="alive")
    asker = Asker(store, dead, alive)
    assert asker.cache.step(KEY, BASE) is not None
    assert asker.cache.check(digest("c")) is False
    assert (len(dead.asked), asker.told) == (1, ["the cache table is not used: no route"])


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"\xff", Record(kind="check", key=KEY).manifest, step().manifest[:-1]]
)
def test_nonsense_is_told_and_passed_over(store: Store, raw: bytes) -> None:
    asker = Asker(store, Table(raw=raw))
    assert asker.cache.step(KEY, BASE) is None
    assert len(asker.told) == 1


def test_one_that_is_wrong_all_over_is_given_up(store: Store) -> None:
    table = Table(raw=b"{}")
    asker = Asker(store, table)
    for number in range(50):
        assert not asker.cache.check(digest(str(number)))
    assert (len(table.asked), len(asker.told)) == (20, 21)
    assert asker.told[-1] == "the cache table is not used: 20 of its records were refused"


def test_facts(store: Store) -> None:
    layer = Descriptor.of(b"layer", "application/vnd.oci.image.layer.v1.tar+gzip")
    records = (
        Record(kind="selection", key=digest("s"), facts={"selection": digest("x")}),
        Record(kind="check", key=digest("c")),
        Record(kind="layer", key=digest("l"), facts={"diff_id": digest("id")}, layers=(layer,)),
    )
    asker = Asker(store, Table(*records))
    assert asker.cache.selection(digest("s")) == digest("x")
    assert asker.cache.check(digest("c"))
    blob = asker.cache.layer(digest("l"))
    assert blob is not None
    assert (blob.digest, blob.size, blob.diff_id) == (str(layer.digest), 5, digest("id"))
    assert store.memo.get("origin", blob.digest) == "table"


def layout(directory: Path, *blobs: bytes, records: Sequence[Record]) -> Layout:
    """A directory with these records and blobs."""
    (directory / "blobs/sha256").mkdir(parents=True)
    for data in (*blobs, *(record.manifest for record in records), *(record.config for record in records)):
        (directory / "blobs/sha256" / hashlib.sha256(data).hexdigest()).write_bytes(data)
    listed = [
        {**Descriptor.of(record.manifest, "application/vnd.oci.image.manifest.v1+json").to_plain(),
         "annotations": {"org.opencontainers.image.ref.name": record.tag}}
        for record in records
    ]  # fmt: skip
    (directory / "index.json").write_bytes(canonical.dumps({"schemaVersion": 2, "manifests": listed}))
    return Layout(directory)


def kept(diff: Diff = CHANGE) -> Record:
    return step(diffs=(Descriptor.of(diff.encoded, DIFF),), tree=content_id(BASE, diff), diff=diff.digest)


def test_bytes_come_when_they_are_asked_for(store: Store, tmp_path: Path) -> None:
    asker = Asker(store, layout(tmp_path / "c", CHANGE.encoded, records=[kept()]))
    found = asker.cache.step(KEY, BASE)
    assert found is not None and not store.snapshots.has(CHANGE.digest)
    assert asker.cache.restore(KEY, found, 0, tell=lambda done, total: None, cancel=lambda: False)
    assert store.snapshots.has(CHANGE.digest) and asker.told == []
    other = StepResult(key=KEY, content_id=digest("mine"), diff=digest("another diff"))
    assert not asker.cache.restore(KEY, other, 0, tell=lambda done, total: None, cancel=lambda: False)


def test_names_come_without_bytes(store: Store, tmp_path: Path) -> None:
    asker = Asker(store, layout(tmp_path / "c", CHANGE.encoded, records=[kept()]))
    found = asker.cache.step(KEY, BASE)
    assert found is not None and asker.cache.tell(KEY, found, lambda: False)
    assert store.blobs.has(CHANGE.digest) and not store.snapshots.has(CHANGE.digest)


def test_a_diff_that_no_step_made(store: Store, tmp_path: Path) -> None:
    bad = Diff.of([Entry(path="../d", type="dir", mode=0o755)])
    asker = Asker(store, layout(tmp_path / "c", bad.encoded, records=[kept(bad)]))
    found = asker.cache.step(KEY, BASE)
    assert found is not None
    for _ in range(2):
        assert not asker.cache.restore(KEY, found, 0, tell=lambda done, total: None, cancel=lambda: False)
    assert len(asker.told) == 1 and "leads out" in asker.told[0]


def test_names_of_an_image(store: Store, tmp_path: Path) -> None:
    chain = [digest("lower"), digest("upper")]
    second = Diff.of([Entry(path="", type="dir", mode=0o755), Entry(path="e", type="dir", mode=0o755)])
    diffs = tuple(Descriptor.of(diff.encoded, DIFF) for diff in (CHANGE, second))
    record = Record(kind="names", key=KEY, facts={"content_id": chain[1]}, diffs=diffs)
    place = layout(tmp_path / "c", CHANGE.encoded, second.encoded, records=[record])
    asker = Asker(store, place)
    assert asker.cache.names(KEY, chain, lambda: False)
    assert store.trees.get(chain[1]) == (chain[0], second.digest)
    assert store.trees.get(chain[0]) == (EMPTY_TREE, CHANGE.digest)
    assert asker.trees.tree(chain[1]).lookup("d") is not None
    for wrong in ([*chain, digest("third")], [chain[1]], [digest("x"), digest("y")]):
        again = Asker(store, place)
        assert not again.cache.names(KEY, wrong, lambda: False)
        assert len(again.told) == 1


def test_a_directory_lists_more_than_pybuild_wrote(tmp_path: Path) -> None:
    place = layout(tmp_path / "c", records=[kept()])
    index = tmp_path / "c/index.json"
    plain = json.loads(index.read_bytes())
    plain["manifests"] += [{}, {"annotations": None}, {"digest": "x", "mediaType": 5, "size": "y", "annotations": {}}]
    index.write_text(json.dumps(plain))
    assert place.get(kept().tag) == kept().manifest
    assert place.get("k-none") is None
