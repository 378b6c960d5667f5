from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.store import Store, holders
from buildkit_py.store.holders import Holder, Holders, register
from buildkit_py.store.locks import try_acquire
from buildkit_py.store.mounts import Mounts
from buildkit_py.store.namespaces import process_name

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
SNAPSHOT = ("snapshot", "sha256:" + "a" * 64)
FACTS = {
    "image": "app:1",
    "digest": "sha256:" + "b" * 64,
    "platform": "linux/amd64",
    "writable": False,
    "objects": (SNAPSHOT, ("image", "app:1")),
}
Mounted = Callable[..., Holder]


def read(store: Store) -> Holders:
    return store.holders()


def mount(holder: Holder, point: Path) -> None:
    """Whatever is mounted by the name of a holder counts as its mount."""
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", holder.name, point], check=True)


def dropped(store: Store) -> tuple[Holder, ...]:
    """The records that a look drops, once nobody has a mount of theirs: another test's process that began meanwhile may
    have a copy of the mount table."""
    deadline = time.monotonic() + 60
    while not (gone := read(store).gone) and time.monotonic() < deadline:
        time.sleep(0.05)
    return gone


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """A directory that nothing is mounted on afterwards."""
    yield tmp_path / "point"
    while Mounts().below(tmp_path):
        subprocess.run(["umount", "--lazy", Mounts().below(tmp_path)[0]], check=True)


@contextmanager
def elsewhere(*command: object) -> Iterator[subprocess.Popen[str]]:
    """A process in a mount namespace of its own, once it has done what the command says."""
    script = f"{' '.join(map(str, command))}; echo done; exec sleep 600"
    with subprocess.Popen(["unshare", "--mount", "sh", "-ec", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            while process_name(process.pid) == "sh":
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def test_a_record_is_live_while_it_is_made(store: Store) -> None:
    with register(store.layout, store.owner, point="/mnt", **FACTS) as (holder, place):
        (found,) = read(store).live
        assert found.holder == holder
        assert read(store).why(*SNAPSHOT) == f"the image app:1 is mounted at /mnt by process {os.getpid()}"
        assert json.loads((place / "holder").read_text())["image"] == "app:1"
    assert read(store).gone == (holder,)
    assert read(store).gone == ()
    assert list(store.layout.mounts.iterdir()) == []


def test_a_fault_takes_the_record_back(store: Store) -> None:
    with pytest.raises(KeyError), register(store.layout, store.owner, point="/mnt", **FACTS):
        raise KeyError
    assert read(store) == Holders((), (), {})
    assert list(store.layout.mounts.iterdir()) == []


def test_a_killed_maker_holds_nothing(store: Store, spawn) -> None:
    maker = spawn(
        """
        from buildkit_py.store.holders import register
        store = Store.open(root)
        facts = dict(image="a", digest="d", platform="", writable=True, objects=(("image", "a"),))
        with register(store.layout, store.owner, point=None, **facts) as (holder, place):
            (place / "upper").mkdir()
            print(holder.id, flush=True)
            time.sleep(600)
        """
    )
    name = maker.stdout.readline().strip()
    assert [sight.holder.id for sight in read(store).live] == [name]
    assert read(store).live[0].holder.point == str(store.layout.mounts / name / "view")
    maker.kill()
    maker.wait()
    assert [holder.id for holder in read(store).gone] == [name]
    assert list(store.layout.mounts.iterdir()) == []
    assert store.check() == []


def edit(place: Path, **changes: object) -> None:
    file = place / "holder"
    plain = json.loads(file.read_text())
    del plain["seal"]
    file.write_bytes(holders._encode({**plain, **changes}))


def test_a_record_of_another_boot_holds_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was made."""
    monkeypatch.setattr("buildkit_py.store.namespaces._FIRST_PID_NAMESPACE", 0)
    with register(store.layout, store.owner, point="/mnt", **FACTS) as (_, place):
        edit(place, pid_namespace=1)
    assert [sight.holder.image for sight in read(store).live] == ["app:1"]
    edit(place, boot="0" * 32)
    assert [holder.image for holder in read(store).gone] == ["app:1"]


@as_root
def test_a_mount_made_between_two_looks_counts(store: Store, point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with register(store.layout, store.owner, point=str(point), **FACTS) as (holder, _):
        pass

    def late(*arguments: Any, **named: Any) -> Any:
        mount(holder, point)
        return try_acquire(*arguments, **named)

    monkeypatch.setattr("buildkit_py.store.holders.try_acquire", late)
    assert [sight.points for sight in read(store).live] == [(str(point),)]


@as_root
def test_a_mount_holds_what_it_needs(store: Store, point: Path, make_snapshot) -> None:
    kept, loose = make_snapshot(store, {"a": b"one"}), make_snapshot(store, {"a": b"two"})
    with register(store.layout, store.owner, point=str(point), **{**FACTS, "objects": (("snapshot", kept),)}) as (
        holder,
        _,
    ):
        mount(holder, point)
    for _ in range(2):
        report = store.prune(all=True)
        assert [(item.id, item.why) for item in report.kept] == [(kept, f"the image app:1 is mounted at {point}")]
    assert store.df().reclaimable == 0
    assert not store.snapshots.has(loose)
    subprocess.run(["umount", point], check=True)
    assert dropped(store) == (holder,)
    assert [item.id for item in store.prune(all=True).removed] == [kept]
    assert list(store.layout.mounts.iterdir()) == []


@as_root
def test_a_sweep_asks_again(store: Store, point: Path, make_snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was mounted after the choice was made stays too."""
    from buildkit_py.store import gc

    kept = make_snapshot(store, {"a": b"one"})
    sweep = gc.sweep

    def mount_first(store: Store, objects: object, **more: object) -> object:
        facts = {**FACTS, "objects": (("snapshot", kept),)}
        with register(store.layout, store.owner, point=str(point), **facts) as (holder, _):
            mount(holder, point)
        return sweep(store, objects, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(gc, "sweep", mount_first)
    report = store.prune(all=True)
    assert [(item.id, item.why) for item in report.kept] == [(kept, f"the image app:1 is mounted at {point}")]


@as_root
def test_a_mount_in_another_namespace_holds_until_it_ends(store: Store, point: Path) -> None:
    point.mkdir()
    with register(store.layout, store.owner, point=str(point), **FACTS) as (holder, _):
        process = elsewhere("mount -t tmpfs", holder.name, point)
        there = process.__enter__()
    try:
        (sight,) = read(store).live
        assert sight.points == ()
        assert there.pid in sight.others[0].pids
        assert read(store).why("image", "app:1") == (
            f"the image app:1 is mounted at {point}, in the mount namespace of process {there.pid} (sleep)"
        )
    finally:
        process.__exit__(None, None, None)
    assert dropped(store) == (holder,)


@as_root
def test_a_namespace_that_a_file_keeps_alive_holds_too(store: Store, point: Path, tmp_path: Path) -> None:
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 12):
        pytest.skip("older kernels don't name such namespaces")
    private = tmp_path / "private"
    for directory in (point, private):
        directory.mkdir()
    for command in (f"mount --bind {private} {private}", f"mount --make-private {private}", f"touch {private}/ns"):
        subprocess.run(command.split(), check=True)
    with register(store.layout, store.owner, point=str(point), **FACTS) as (holder, _):
        enter = ["unshare", f"--mount={private}/ns", "mount", "-t", "tmpfs", holder.name, point]
        subprocess.run(enter, check=True)
    assert read(store).why(*SNAPSHOT) == (
        f"the image app:1 is mounted at {point}, in a mount namespace that a file keeps alive"
    )
    subprocess.run(["umount", f"{private}/ns"], check=True)
    assert dropped(store) == (holder,)


@as_root
def test_what_other_processes_can_not_be_seen_of_is_taken_to_live(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with register(store.layout, store.owner, point="/mnt", **FACTS) as (_, place):
        edit(place, pid_namespace=1)
    monkeypatch.setattr("buildkit_py.store.namespaces._FIRST_PID_NAMESPACE", 0)
    assert read(store).why(*SNAPSHOT) is not None
    monkeypatch.undo()
    if Path("/proc/self/ns/pid").stat().st_ino == 0xEFFFFFFC:
        assert len(read(store).gone) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 5}', '{"objects": 3}'])
def test_a_record_that_can_not_be_read_goes_with_its_mount(store: Store, text: str) -> None:
    place = store.layout.mounts / "0123456789abcdef"
    place.mkdir()
    (place / "holder").write_text(text)
    assert [(holder.id, holder.image) for holder in read(store).gone] == [(place.name, "?")]
    assert not place.exists()


def test_names_in_mount_tables() -> None:
    table = (
        b"30 1 0:20 / /mnt/a\\040b rw,nosuid shared:1 - overlay pybuild-1 ro,lowerdir=0:empty\n"
        b"31 1 0:21 / /mnt/c rw - tmpfs pybuild-2 rw\n"
        b"32 31 0:22 / /mnt/c rw - tmpfs over rw\n"
    )
    mounts = Mounts(table)
    assert mounts.named("pybuild-1") == ["/mnt/a b"]
    assert mounts.named("pybuild-3") == []
    assert (mounts.top("/mnt/c"), mounts.top("/mnt")) == ("over", None)


def test_what_is_no_record_holds_nothing_up(store: Store) -> None:
    (store.layout.mounts / "file").write_bytes(b"")
    (store.layout.mounts / "directory" / "view").mkdir(parents=True)
    assert read(store).live == ()
    assert list(store.layout.mounts.iterdir()) == []
    assert store.df().bytes == 0
