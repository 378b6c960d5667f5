"""Fault 16: a flipped bit in every kind of object is found, named and mended, and nothing else is touched."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.executor.source.http import lay_out
from buildkit_py.graph.op import HttpSource
from buildkit_py.layer.statcache import StatCache
from buildkit_py.store import Store
from buildkit_py.store.gc import Rules
from tests.support.build import Project
from tests.support.command import ROOT
from tests.support.damage import bytes_of, files_of, findings, flip, mended, project, root, template
from tests.support.disturb import EVERYTHING
from tests.support.stored import document

__all__ = ["project", "root", "template"]

FLIPS = 1000 if EVERYTHING else 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Files of a store that are alike. `found` is what `store check` calls them; None where a flipped bit is no damage,
    which `why` explains."""

    pattern: str
    found: str | None = None
    why: str = ""


HEX = "[0-9a-f]{64}"
KINDS = {
    "blob": Kind(pattern=f"blobs/sha256/{HEX}", found="blob"),
    "file of a snapshot": Kind(pattern=f"snapshots/{HEX}/fs/.+", found="snapshot"),
    "index of a snapshot": Kind(pattern=f"snapshots/{HEX}/index", found="snapshot"),
    "meta of a snapshot": Kind(pattern=f"snapshots/{HEX}/meta", found="snapshot"),
    "id of a cache": Kind(pattern=f"caches/{HEX}/id", found="cache"),
    "list of names": Kind(pattern=r"index\.json", found="layout"),
    "mark": Kind(pattern="oci-layout", found="layout"),
    "record of a mount": Kind(pattern="mounts/[0-9a-f]{16}/holder", found="mount"),
    # These have tests of their own below.
    "index": Kind(pattern=r"index\.db", why="a test flips any bit of it"),
    "stat cache": Kind(pattern=r"stat\.db", why="it is never believed, and made anew"),
    "version": Kind(pattern="version", why="every command refuses the store and says what it read"),
    "quota": Kind(pattern="quota", why="another number is another wish; what is no number is named"),
    "download": Kind(pattern=r"partial/sha256-.+", why="its digest is compared when it is whole"),
    "reserve": Kind(pattern="reserve", why="nothing is in it"),
    # What follows holds nothing that a later command goes by.
    "log of the index": Kind(pattern=r"index\.db-(wal|shm)", why="SQLite has sums in it, and takes a torn one back"),
    "index set aside": Kind(pattern=r"index\.db\.(damaged|rebuild)", why="it is kept to be looked at"),
    "files of a cache": Kind(pattern=f"caches/{HEX}/[0-9]+(/.*)?", why="they are the steps' own, and in no image"),
    "lock": Kind(pattern=f"locks/(gc|index|{HEX})", why="it holds a pid for people"),
    "lease": Kind(pattern="leases/[0-9a-f]{16}", why="it lives as long as its process"),
    "work under way": Kind(pattern="tmp/.+", why="it has no name yet"),
    "what a mount is made of": Kind(pattern="mounts/[0-9a-f]{16}/(?!holder).+", why="it goes with the mount"),
}
DRAWN = {
    "version",
    "oci-layout  index.json",
    "blobs/ALGORITHM/HEX",
    "snapshots/HEX/",
    "fs/  index  meta",
    "caches/HEX/",
    "id  0/  1/ …",
    "quota",
    "reserve",
    "index.db (-wal, -shm)",
    "index.db.rebuild",
    "index.db.damaged",
    "stat.db",
    "locks/",
    "leases/OWNER",
    "partial/ALGORITHM-HEX.BOOT",
    "mounts/ID/",
    "holder",
    "empty/ 0 1 … upper/ work/ view/",
    "tmp/OWNER-N",
}
"""What spec/store.md draws: whoever adds something there has to say here what a flipped bit in it does."""


def kind_of(path: Path, root: Path) -> str:
    """The one kind of a file."""
    relative = str(path.relative_to(root))
    (name,) = (name for name, kind in KINDS.items() if re.fullmatch(kind.pattern, relative, re.DOTALL))
    return name


def test_16_every_kind_of_object_is_tested(root: Path) -> None:
    seen = {kind_of(path, root) for path in files_of(root)}
    assert {"blob", "index of a snapshot", "id of a cache", "download", "stat cache", "quota"} <= seen
    drawing = (ROOT / "spec/store.md").read_text().split("```")[1]
    drawn = {re.split(r" {3,}", line)[0] for line in re.findall(r"[├└]── (.+)", drawing)}
    assert drawn == DRAWN


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.found and name != "record of a mount"])
def test_16_a_flipped_bit(template: tuple[Project, str], project: Project, root: Path, name: str) -> None:
    """In one object of the kind: it alone is named and removed, and the next build makes it again."""
    chance = random.Random(name)
    victim = chance.choice([path for path in files_of(root) if kind_of(path, root) == name and path.stat().st_size])
    before = bytes_of(root)
    flip(victim, chance)
    found = findings(root)
    first, *others = found
    kind = KINDS[name].found
    assert first[0] == kind
    assert first[1].removeprefix("sha256:") in str(victim)
    # An image that lost a blob is the only other thing that can be wrong by that.
    assert {other for other, _ in others} <= ({"image"} if kind == "blob" else set())
    findings(root, repair=True)
    assert findings(root) == []
    after = bytes_of(root)
    lost = {path for path in before if after.get(path) != before[path]}
    owner = victim.relative_to(root).parts[:2]
    assert all(path.relative_to(root).parts[:2] == owner for path in lost) or lost == {victim}
    mended(project, template[1])


def test_16_a_flipped_bit_in_what_a_url_holds(tmp_path: Path) -> None:
    """What was fetched before becomes no tree unless it still is what is pinned."""
    with Store.open(tmp_path / "store") as store:
        digest = store.blobs.put(b"pinned" * 100)
    flip(next((tmp_path / "store/blobs/sha256").iterdir()), random.Random(1))
    source = HttpSource(url="https://example.org/f", digest=digest, filename="f")
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(IntegrityError, match="in the store are damaged"):
            lay_out(cast("Any", SimpleNamespace(store=store)), source, 0, Event())
        assert not list(store.layout.snapshots.iterdir())


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A store with rows in every table."""
    root = tmp_path / "small"
    with Store.open(root) as store, store.lease():
        store.images.put("kept:1", {"digest": store.blobs.put(b"{}"), "size": 2, "mediaType": "x"})
        for number in range(8):
            content, diff = (f"sha256:{digit * 64}" for digit in f"{number}f")
            store.trees.put(content, None, diff)
            store.results.put(f"key{number}", {"content_id": content}, {"op": diff}, "b0")
            store.memo.put("kind", f"key{number}", content)
            store.builds.add({"id": f"b{number}", "context": "/", "marks": {"ended": 1.0}})
    return root


def test_16_any_flipped_bit_of_the_index(small: Path, tmp_path: Path) -> None:
    """Wherever it is: no command fails but by saying that the index is damaged, and a repair leaves it whole."""
    chance = random.Random(16)
    for _ in range(FLIPS):
        place = tmp_path / "one"
        shutil.copytree(small, place)
        flip(place / "index.db", chance)
        for look in (looked, repaired):
            try:
                with Store.open(place) as store:
                    look(store)
            except StoreError as error:
                assert "damaged" in error.message, error.message
        with Store.open(place) as store:
            store.check(repair=True)
        with Store.open(place) as store:
            assert store.check() == []
            looked(store)
            assert {record.name for record in store.images.list()} <= {"kept:1"}
        shutil.rmtree(place)


def looked(store: Store) -> None:
    """Read every table as commands do."""
    store.df()
    store.images.list()
    for record in store.builds.list():
        list(store.builds.before(str(record["id"]), limit=5, context="/"))
    store.builds.began(1)
    # Nobody asks by a key that is no text: keys come from digests.
    for (key,) in store.index.rows("SELECT key FROM results"):
        store.results.get(asked(key))
    for kind, key in store.index.rows("SELECT kind, key FROM memo"):
        store.memo.get(asked(kind), asked(key))
    for (name,) in store.index.rows("SELECT id FROM trees"):
        store.trees.get(asked(name))
    store.prune_by(Rules(all=True, older_than=1.0, images=True), dry_run=True)


def asked(key: object) -> str:
    return str(key).encode(errors="replace").decode()


def repaired(store: Store) -> None:
    store.check(repair=True)


def test_16_a_flipped_bit_in_the_record_of_a_mount(project: Project, root: Path, tmp_path: Path) -> None:
    """What the mount needs is not known then, so nothing goes until it is unmounted."""
    point = tmp_path / "point"
    point.mkdir()
    project.pybuild.ok("mount", "kept:1", point)
    try:
        (record,) = root.glob("mounts/*/holder")
        assert {"record of a mount", "what a mount is made of"} <= {
            kind_of(path, root) for path in (root / "mounts").glob("*/*")
        }
        at = record.read_bytes().index(b'"snapshot"')
        data = bytearray(record.read_bytes())
        data[at + 1] ^= 1
        record.write_bytes(data)
        assert findings(root) == [("mount", record.parent.name)]
        told = project.pybuild.ok("prune", "--all").stdout
        assert (point / "data").stat().st_size == 200_000
        assert bytes_of(root), told
    finally:
        project.pybuild.ok("umount", point)
    assert findings(root) == []


def test_16_a_flipped_bit_in_the_stat_cache(tmp_path: Path) -> None:
    """A digest that is not the file's would be a wrong image: what fails its seal is read again."""
    chance, stamp = random.Random(4), (1, 0, 0, 7)
    for number in range(20):
        path = tmp_path / f"{number}.db"
        stats = StatCache(path)
        stats.put("/d", "f", stamp, f"sha256:{'2' * 64}", read_at=10**12)
        stats.close()
        data = bytearray(path.read_bytes())
        at = data.index(b"2" * 64) + chance.randrange(64) if number else data.index(b"SQLite format")
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        stats = StatCache(path)
        assert stats.get("/d", "f", stamp) is None
        stats.put("/d", "f", stamp, f"sha256:{'3' * 64}", read_at=10**12)
        stats.close()
        assert StatCache(path).get("/d", "f", stamp) == f"sha256:{'3' * 64}"


def test_16_a_flipped_bit_in_a_download(root: Path) -> None:
    """The bytes are compared with their digest when all are there, and forgotten."""
    data = bytes(range(256)) * 20
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with Store.open(root) as store:
        with store.blobs.partial(digest) as partial:
            partial.append(data[:1000])
        (path,) = root.glob(f"partial/{digest.replace(':', '-')}*")
        flip(path, random.Random(1))
        with pytest.raises(Exception, match="not the promised"), store.blobs.partial(digest) as partial:
            partial.append(data[partial.offset :])
            partial.commit()
        assert not store.blobs.has(digest)
        with store.blobs.partial(digest) as partial:
            assert partial.offset == 0
            partial.append(data)
            partial.commit()
        assert store.blobs.read(digest) == data
        assert store.check() == []


@pytest.mark.parametrize(("text", "code"), [("3\n", 12), ("\x71\n", 12), ("", 12)])
def test_16_a_flipped_bit_in_the_version(project: Project, root: Path, text: str, code: int) -> None:
    """Nothing is done to a store whose layout is not known."""
    before = bytes_of(root)
    (root / "version").write_text(text)
    for words in (("prune", "--all"), ("store", "check", "--repair"), ("ls",)):
        refused = project.pybuild(*words)
        assert (refused.code, "this pybuild knows 1" in refused.stderr) == (code, True), refused.output
    assert bytes_of(root) == before
    (root / "version").write_text("1\n")
    assert findings(root) == []


def test_16_a_quota_that_is_no_number(project: Project, root: Path) -> None:
    (root / "quota").write_text("1000\x700000\n")
    assert findings(root) == [("layout", "quota")]
    findings(root, repair=True)
    assert findings(root) == []
    assert document(project.pybuild, "df")["quota"] is None
