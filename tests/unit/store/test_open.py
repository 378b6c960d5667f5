from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from buildkit_py.errors import NotFoundError, StoreBusyError, StoreError
from buildkit_py.store import Store
from buildkit_py.store.layout import Layout

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_a_new_store_is_an_oci_image_layout(store: Store, root: Path) -> None:
    assert json.loads((root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((root / "index.json").read_text())
    assert (index["schemaVersion"], index["manifests"]) == (2, [])
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_where_there_is_no_store_none_is_made_unasked(root: Path) -> None:
    with pytest.raises(NotFoundError, match="no store"):
        Store.open(root, create=False)
    assert not root.exists()


def test_a_directory_with_something_else_in_it_is_left_alone(root: Path) -> None:
    root.mkdir()
    (root / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        Store.open(root)
    assert os.listdir(root) == ["thesis.tex"]


def test_a_store_that_lost_its_version_is_one(root: Path) -> None:
    """With all that a store has in the course of time."""
    with Store.open(root) as store:
        store.space.limit(10**9)
        store.images.put("kept:1", {"digest": store.blobs.put(b"{}"), "size": 2, "mediaType": "x"})
    for name in ("stat.db", "index.db.damaged"):
        (root / name).touch()
    (root / "version").unlink()
    with Store.open(root) as store:
        assert [record.name for record in store.images.list()] == ["kept:1"]
    assert (root / "version").read_text() == "1\n"


def test_a_file_is_not_a_store(root: Path) -> None:
    root.touch()
    with pytest.raises(StoreError):
        Store.open(root)


def test_a_half_made_store_is_completed(root: Path) -> None:
    (root / "blobs").mkdir(parents=True)
    (root / ".new").write_text("{")
    with Store.open(root) as store:
        assert store.check() == []


@pytest.mark.parametrize("name", ["tmp", "locks", "oci-layout", "index.json", "blobs/sha256", "leases", "mounts"])
def test_what_is_missing_of_a_store_is_made_again(root: Path, name: str) -> None:
    Store.open(root).close()
    (root / name).unlink() if (root / name).is_file() else [
        *(path.unlink() for path in (root / name).iterdir()),
        (root / name).rmdir(),
    ]
    with Store.open(root) as store:
        assert [finding.id for finding in store.check(repair=True)] in ([], ["oci-layout"])
        assert store.check() == []


def test_a_store_of_another_layout_is_refused(root: Path) -> None:
    Store.open(root).close()
    (root / "version").write_text("2\n")
    with pytest.raises(StoreError, match="layout '2'"):
        Store.open(root)


def test_two_processes_that_make_one_store_both_get_it(root: Path, spawn) -> None:
    code = "store = Store.open(root); store.memo.put('k', sys.argv[2], 1); print(len(store.check()))"
    processes = [spawn(code, number) for number in range(8)]
    assert [process.communicate()[0] for process in processes] == ["0\n"] * 8
    with Store.open(root) as store:
        assert all(store.memo.get("k", str(number)) == 1 for number in range(8))


def test_a_maker_that_does_not_end_is_reported(root: Path, spawn, monkeypatch) -> None:
    root.mkdir()
    holder = spawn(
        """
        import fcntl
        fd = os.open(root, os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_EX)
        print("held", flush=True); time.sleep(600)
        """
    )
    holder.stdout.readline()
    monkeypatch.setattr("buildkit_py.store.layout._CREATE_SECONDS", 0.05)
    with pytest.raises(StoreBusyError, match="is making the store"):
        Store.open(root)
    holder.kill()
    holder.wait()
    Store.open(root).close()


def test_work_of_a_killed_process_is_removed_at_the_next_start(root: Path, store: Store, spawn) -> None:
    dead = spawn(
        """
        store = Store.open(root)
        area = store.snapshots.area()
        (area.fs / "secret").write_text("x")
        writer = store.blobs.writer(); writer.write(b"x")
        print("made", flush=True); os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    live = spawn(
        """
        store = Store.open(root)
        area = store.snapshots.area()
        print(area.path, flush=True); time.sleep(600)
        """
    )
    dead.wait()
    kept = live.stdout.readline().strip()
    Store.open(root).close()
    assert [str(path) for path in store.layout.tmp.iterdir()] == [kept]
    live.kill()
    live.wait()
    Store.open(root).close()
    assert list(store.layout.tmp.iterdir()) == []


def test_a_store_is_not_used_after_a_fork(store: Store) -> None:
    child = os.fork()
    if child == 0:
        try:
            store.memo.get("k", "k")
        except StoreError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


@as_root
def test_an_ordinary_user_has_a_whole_store() -> None:
    code = """
import ctypes, os, sys
sys.path.insert(0, "tests/unit/store")
from pathlib import Path
from buildkit_py.store import Store, check, gc
from conftest import commit_snapshot
os.setgid(65534); os.setuid(65534)
store = Store.open(Path(sys.argv[1]) / "store")
with store.lease():
    digest = store.blobs.put(b"{}")
    commit_snapshot(store, {"a": b"one"})
    store.images.put("me", {"digest": digest, "size": 2, "mediaType": "x"})
    with store.caches.directory("pip", sharing="locked") as path: (path / "f").touch()
print(store.check(), len(store.prune(all=True).removed), store.images.list()[0].name)
"""
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", code, place], cwd=Path(__file__).parents[3], capture_output=True, text=True
        )
    assert (done.stdout, done.stderr) == ("[] 2 me\n", "")


def test_opening_imports_nothing_large() -> None:
    code = """
import sys, tempfile, pathlib
from buildkit_py.store import Store
with tempfile.TemporaryDirectory() as place:
    Store.open(pathlib.Path(place) / "s").close()
large = {"pydantic", "asyncio", "ssl", "http", "subprocess", "ctypes", "typing_extensions", "lark", "rich"}
print(sorted(large & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_an_inner_directory_must_lie_on_the_same_file_system(root: Path, monkeypatch) -> None:
    Store.open(root).close()
    layout = Layout(root)
    with pytest.raises(StoreError, match="another file system"):
        layout._is_directory("tmp", root.stat().st_dev + 1)
