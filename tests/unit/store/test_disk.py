"""What the store asks of the disk, in which order, and what it says when the disk refuses."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import StoreError
from buildkit_py.store import Store
from tests.support.disks import in_memory

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, str]]:
    """The fsyncs and renames, by the last two names of their path, as they come."""
    seen: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def short(path: str | os.PathLike[str]) -> str:
        parts = Path(path).parts
        return "tmp" if "tmp" in parts[-2:] else "/".join(parts[-2:])

    def noted_fsync(fd: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
        seen.append((f"fsync {kind}", short(Path(f"/proc/self/fd/{fd}").readlink())))
        fsync(fd)

    def noted_rename(source, target, **options) -> None:
        seen.append(("rename", short(target)))
        rename(source, target, **options)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    return seen


class TestOrder:
    def test_a_blob_gets_its_name_between_two_syncs(self, store: Store, calls) -> None:
        digest = store.blobs.put(b"hello")
        assert calls == [
            ("fsync file", "tmp"),
            ("rename", f"sha256/{digest[7:]}"),
            ("fsync directory", "blobs/sha256"),
        ]
        calls.clear()
        store.blobs.put(b"hello")
        assert calls == [("fsync directory", "blobs/sha256")]

    def test_a_snapshot_gets_its_name_between_two_syncs(self, store: Store, calls, make_snapshot, monkeypatch) -> None:
        from buildkit_py.store import files

        monkeypatch.setattr(files, "sync_file_system", lambda fd: calls.append(("syncfs", "")))
        digest = make_snapshot(store, {"a": b"one"})
        wanted = [
            ("syncfs", ""),
            ("rename", f"snapshots/{digest[7:]}"),
            ("fsync directory", "store/snapshots"),
        ]
        assert calls == wanted
        calls.clear()
        make_snapshot(store, {"a": b"one"})
        assert calls == wanted[2:]

    def test_index_json_gets_its_name_between_two_syncs(self, store: Store, calls) -> None:
        digest = store.blobs.put(b"{}")
        calls.clear()
        store.images.put("app", {"digest": digest, "size": 2})
        assert [call for call in calls if call[1] != "store/index.db"] == [
            ("fsync file", "tmp"),
            ("rename", "store/index.json"),
            ("fsync directory", calls[-1][1]),
        ]
        assert calls[-1][1].endswith("store")

    def test_what_is_pruned_is_gone_for_good_before_it_is_taken_apart(self, store: Store, calls) -> None:
        store.blobs.put(b"hello")
        calls.clear()
        store.prune()
        assert calls[:2] == [("rename", "tmp"), ("fsync directory", "blobs/sha256")]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB and 100 inodes."""
    with in_memory(tmp_path / "small", "size=2m,nr_inodes=100") as place:
        yield place


@as_root
class TestFull:
    def test_no_space_for_a_blob(self, small: Path) -> None:
        with Store.open(small / "store") as store:
            kept = store.blobs.put(b"kept")
            with pytest.raises(StoreError, match="the disk is full") as caught:
                store.blobs.put(bytes(4 << 20))
            assert "pybuild prune" in (caught.value.hint or "")
            assert list(store.layout.tmp.iterdir()) == []
            assert store.blobs.read(kept) == b"kept"
            assert store.check() == []

    def test_no_space_for_a_row(self, small: Path) -> None:
        with Store.open(small / "store") as store:
            store.memo.put("k", "kept", 1)
            with pytest.raises(StoreError, match="the disk is full"):
                for number in range(1000):
                    store.memo.put("k", str(number), "x" * 10_000)
            assert store.memo.get("k", "kept") == 1
        with Store.open(small / "store") as store:
            assert store.memo.get("k", "kept") == 1
            assert store.check() == []

    def test_no_space_for_a_snapshot(self, small: Path, make_snapshot) -> None:
        with Store.open(small / "store") as store:
            (small / "filler").write_bytes(bytes(int(1.5 * (1 << 20))))
            with pytest.raises(OSError, match="No space"), store.snapshots.area() as area:
                (area.fs / "a").write_bytes(bytes(1 << 20))
            assert list(store.layout.tmp.iterdir()) == []

    def test_no_inodes(self, small: Path) -> None:
        with Store.open(small / "store") as store:
            store.owner.temporary()
            try:
                for number in range(200):
                    (small / f"filler-{number}").touch()
            except OSError:
                pass
            with pytest.raises(StoreError, match="no inodes left"):
                store.blobs.put(b"hello")
            for path in small.glob("filler-*"):
                path.unlink()
            store.blobs.put(b"hello")
            assert store.check() == []

    def test_a_read_only_file_system(self, small: Path) -> None:
        Store.open(small / "store").close()
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with pytest.raises(StoreError, match="read-only"):
            Store.open(small / "store")

    def test_a_file_system_that_becomes_read_only(self, small: Path) -> None:
        store = Store.open(small / "store")
        store.memo.put("k", "k", 1)
        store.owner.temporary()
        store.owner.close()
        store.index.close()
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        with pytest.raises(StoreError, match="read-only"):
            store.blobs.put(b"hello")
