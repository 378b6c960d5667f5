from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.digest import Digest
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.store import Store, files
from buildkit_py.store.verify import snapshot_problem

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="devices and owners need root")


def commit(store: Store, entries: list[Entry], make: Callable[[Path], None]) -> Path:
    diff = Diff.of(entries)
    with store.snapshots.area() as area:
        make(area.fs)
        store.snapshots.commit(area, diff.digest, diff.encoded, 0)
    return store.snapshots.fs(diff.digest)


def file(path: str, data: bytes, **more) -> Entry:
    more = {"mode": 0o644, "uid": os.geteuid(), "gid": os.getegid(), **more}
    return Entry(path=path, type="file", size=len(data), digest=str(Digest.of(data)), **more)


def make_rich(fs: Path) -> None:
    (fs / "usr/bin").mkdir(parents=True)
    (fs / "usr/bin").chmod(0o755)
    (fs / "usr/bin/app").write_bytes(b"program")
    (fs / "usr/bin/app").chmod(0o4755)
    (fs / "usr/bin/twin").hardlink_to(fs / "usr/bin/app")
    (fs / "usr/bin/link").symlink_to("./../bin//app")
    os.setxattr(fs / "usr/bin/app", "user.note", b"\x00\x01")
    os.mknod(fs / "gone", 0o020000, os.makedev(0, 0))
    os.mkfifo(fs / "pipe")
    (fs / "pipe").chmod(0o600)
    os.chown(fs / "pipe", 7, 8)


RICH = [
    Entry(path="usr/bin", type="dir", mode=0o755),
    file("usr/bin/app", b"program", mode=0o4755, xattrs=(("user.note", b"\x00\x01"),)),
    Entry(
        path="usr/bin/twin",
        type="hardlink",
        mode=0o4755,
        size=7,
        digest=str(Digest.of(b"program")),
        target="usr/bin/app",
        xattrs=(("user.note", b"\x00\x01"),),
    ),
    Entry(path="usr/bin/link", type="symlink", target="./../bin//app"),
    Entry(path="gone", type="whiteout"),
    Entry(path="pipe", type="fifo", mode=0o600, uid=7, gid=8),
]


def replace_by_link(fs: Path) -> None:
    (fs / "usr/bin").rename(fs.parent / "aside")
    (fs / "usr/bin").symlink_to("/usr/bin")


@as_root
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (None, None),
        (lambda fs: (fs / "usr/bin/app").write_bytes(b"prOgram"), "usr/bin/(app|twin)"),
        (lambda fs: (fs / "usr/bin/app").write_bytes(b"prog"), "4 bytes, not 7"),
        (lambda fs: (fs / "usr/bin/app").chmod(0o755), "mode 0755, not 4755"),
        (lambda fs: os.chown(fs / "pipe", 0, 0), "pipe belongs to 0:0, not 7:8"),
        (lambda fs: os.setxattr(fs / "usr/bin/app", "user.note", b"x"), r"user\.note"),
        (lambda fs: os.removexattr(fs / "usr/bin/app", "user.note"), r"user\.note"),
        (lambda fs: (fs / "usr/bin/twin").unlink(), "usr/bin/twin is missing"),
        (lambda fs: (fs / "gone").unlink(), "gone is missing"),
        (lambda fs: [(fs / "gone").unlink(), (fs / "gone").touch()], "gone is not of the type whiteout"),
        (
            lambda fs: [(fs / "gone").unlink(), os.mknod(fs / "gone", 0o020000, os.makedev(1, 3))],
            "gone is not the device 0:0",
        ),
        (lambda fs: (fs / "extra").touch(), "extra is there, but not in the index"),
        (lambda fs: (fs / "usr/extra").mkdir(), "usr/extra is there"),
        (lambda fs: [(fs / "usr/bin/link").unlink(), (fs / "usr/bin/link").symlink_to("x")], "does not lead"),
        (lambda fs: [(fs / "usr/bin/link").unlink(), (fs / "usr/bin/link").symlink_to("../bin/app")], "does not lead"),
        (replace_by_link, "usr/bin is not of the type dir"),
        (lambda fs: files.remove(fs), "fs is missing"),
        (lambda fs: (fs.parent / "index").unlink(), "index is missing"),
        (lambda fs: (fs.parent / "meta").write_text('{"size": 1}'), "meta"),
        (lambda fs: (fs.parent / "index").write_text("[]"), "its index"),
    ],
)
def test_every_kind_of_damage_to_a_snapshot_is_named_and_removed(store: Store, make_snapshot, damage, words) -> None:
    neighbour = make_snapshot(store, {"b": b"untouched"})
    fs = commit(store, RICH, make_rich)
    if damage is None:
        assert store.check() == []
        return
    damage(fs)
    (finding,) = store.check()
    assert (finding.kind, finding.id, finding.repaired) == ("snapshot", f"sha256:{fs.parent.name}", False)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(finding.problem)
    assert [found.repaired for found in store.check(repair=True)] == [True]
    assert store.check() == []
    assert store.snapshots.has(neighbour)
    assert commit(store, RICH, make_rich) == fs
    assert store.check() == []


def test_a_hard_link_that_became_a_copy_is_found(store: Store) -> None:
    entry = file("a", b"one")
    twin = Entry(
        path="b", type="hardlink", mode=0o644, uid=entry.uid, gid=entry.gid, size=3, digest=entry.digest, target="a"
    )

    def make(fs: Path) -> None:
        for name in ("a", "b"):
            (fs / name).write_bytes(b"one")
            (fs / name).chmod(0o644)

    assert "not a hard link" in (snapshot_problem(commit(store, [entry, twin], make).parent) or "")


def test_names_that_are_no_text_are_checked_too(store: Store) -> None:
    name = os.fsdecode(b"caf\xe9")

    def make(fs: Path) -> None:
        (fs / name).write_bytes(b"x")
        (fs / name).chmod(0o644)

    fs = commit(store, [file(name, b"x")], make)
    assert store.check() == []
    (fs / name).write_bytes(b"y")
    assert len(store.check()) == 1


@pytest.mark.parametrize("damage", [b"hellO", b"", b"hell", b"hello!"])
def test_a_damaged_blob_is_named_removed_and_can_come_again(store: Store, damage: bytes) -> None:
    digest, neighbour = store.blobs.put(b"hello"), store.blobs.put(b"neighbour")
    store.blobs.path(digest).write_bytes(damage)
    assert [(found.kind, found.id, found.repaired) for found in store.check()] == [("blob", digest, False)]
    assert [(found.id, found.repaired) for found in store.check(repair=True)] == [(digest, True)]
    assert store.check() == []
    assert not store.blobs.has(digest)
    assert store.blobs.has(neighbour)
    store.blobs.put(b"hello")
    assert store.check() == []


@pytest.mark.parametrize("kind", ["name", "link", "directory"])
def test_what_is_no_blob_is_removed_from_among_them(store: Store, tmp_path: Path, kind: str) -> None:
    canary = tmp_path / "canary"
    canary.write_bytes(b"kept")
    where = store.root / "blobs/sha256" / (Digest.of(b"kept").hex if kind != "name" else "README")
    if kind == "link":
        where.symlink_to(canary)
    elif kind == "directory":
        (where / "inner").mkdir(parents=True)
    else:
        where.write_text("x")
    assert [found.kind for found in store.check(repair=True)] == ["blob"]
    assert not os.path.lexists(where)
    assert canary.read_bytes() == b"kept"


def test_an_image_that_lost_a_blob_is_named_and_loses_its_name(store: Store, make_image) -> None:
    whole, broken = make_image(store, "whole"), make_image(store, "broken")
    store.blobs.path(broken[2]).unlink()
    (finding,) = store.check()
    assert (finding.kind, finding.id, finding.problem) == ("image", "broken", f"{broken[2]} is missing")
    store.check(repair=True)
    assert store.check() == []
    assert [record.name for record in store.images.list()] == ["whole"]
    assert all(store.blobs.has(digest) for digest in whole)


def test_a_layer_that_was_left_elsewhere_is_no_damage(store: Store, make_image) -> None:
    manifest, config, layer = make_image(store, "lazy")
    store.memo.put("origin", layer, "registry.example/base")
    store.blobs.path(layer).unlink()
    assert store.check() == []
    assert store.check(repair=True) == []
    assert [record.name for record in store.images.list()] == ["lazy"]
    store.prune(all=True)
    assert store.check() == []
    assert store.memo.get("origin", layer) == "registry.example/base"
    store.blobs.path(config).unlink()
    assert [finding.problem for finding in store.check()] == [f"{config} is missing"]
    assert store.blobs.has(manifest)


def test_what_a_running_process_uses_is_not_pulled_away_by_a_repair(store: Store) -> None:
    digest = store.blobs.put(b"hello")
    store.blobs.path(digest).write_bytes(b"hellO")
    with store.lease():
        store.blobs.has(digest)
        (finding,) = store.check(repair=True)
    assert not finding.repaired
    assert "a running process uses it" in finding.problem
    assert store.check(repair=True)[0].repaired


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=40
)
@given(seed=st.integers(0, 10**6))
def test_any_flipped_bit_of_an_object_is_found_and_nothing_else_is(tmp_path_factory, make_snapshot, seed: int) -> None:
    chance = random.Random(seed)
    with Store.open(tmp_path_factory.mktemp("flip") / "store") as store:
        for number in range(3):
            store.blobs.put(b"blob %d" % number)
            make_snapshot(store, {"a": b"file %d" % number})
        objects = [path for top in ("blobs", "snapshots") for path in (store.root / top).rglob("*") if path.is_file()]
        path = chance.choice(sorted(objects))
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        (finding,) = store.check()
        assert finding.id.removeprefix("sha256:") in str(path)
        store.check(repair=True)
        assert store.check() == []
        left = len(list((store.root / "blobs/sha256").iterdir())) + len(list(store.layout.snapshots.iterdir()))
        assert left == 5


@pytest.mark.parametrize("mode", [0o666, 0o600, 0o4644])
def test_a_blob_that_others_can_write_or_not_read_gets_its_mode_back(store: Store, mode: int) -> None:
    digest = store.blobs.put(b"hello")
    store.blobs.path(digest).chmod(mode)
    assert [(found.kind, found.id, found.repaired) for found in store.check()] == [("blob", digest, False)]
    (finding,) = store.check(repair=True)
    assert (finding.problem, finding.repaired) == (f"it has the mode {mode:04o}, not 0644", True)
    assert store.check() == []
    assert store.blobs.read(digest) == b"hello"


@pytest.mark.parametrize("name", ["", "blobs", "blobs/sha256", "snapshots", "tmp", "leases"])
def test_a_directory_that_others_can_write_to(store: Store, name: str) -> None:
    path = store.root / name
    safe = path.stat().st_mode & 0o7777
    path.chmod(0o777)
    assert [found.kind for found in store.check()] == ["layout"]
    assert [found.repaired for found in store.check(repair=True)] == [True]
    assert path.stat().st_mode & 0o022 == 0
    path.chmod(safe)
    assert store.check() == []


def test_others_may_be_allowed_to_read(store: Store) -> None:
    store.blobs.put(b"hello")
    for path in (store.root, *store.root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    assert store.check() == []


def test_a_file_where_blobs_have_their_directories(store: Store) -> None:
    (store.root / "blobs/README").write_text("x")
    (finding,) = store.check()
    assert (finding.kind, finding.id) == ("layout", "blobs/README")
    assert store.check(repair=True)[0].repaired
    assert store.check() == []


def test_a_quota_that_is_no_number(store: Store) -> None:
    (store.root / "quota").write_text("much")
    (finding,) = store.check()
    assert (finding.kind, finding.id) == ("layout", "quota")
    assert store.check(repair=True)[0].repaired
    assert store.check() == []
    assert store.space.quota is None


@pytest.mark.parametrize("damage", [None, b"", b'{"manifests":[]}'])
def test_a_stale_list_of_names_is_written_again(root: Path, make_image, damage: bytes | None) -> None:
    with Store.open(root) as store:
        make_image(store, "app")
        path = store.layout.index_json
        path.unlink() if damage is None else path.write_bytes(damage)
        assert [(found.kind, found.id) for found in store.check()] == [("layout", "index.json")]
        assert [found.repaired for found in store.check(repair=True)] == [True]
        assert store.check() == []
        assert b'"app"' in path.read_bytes()


def test_a_name_that_leads_to_nothing(store: Store, make_image) -> None:
    manifest, *_ = make_image(store, "app")
    store.blobs.path(manifest).unlink()
    (finding,) = store.check()
    assert (finding.kind, finding.id, finding.problem) == ("image", "app", f"{manifest} is missing")
    store.check(repair=True)
    assert store.images.list() == []
    assert store.check() == []
