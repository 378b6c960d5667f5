"""Fault 7: the quota is used up, a file is too large, the file system becomes read-only, in the middle of a commit."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.errors import StoreError
from buildkit_py.store import Store
from tests.support.disks import own_mounts
from tests.support.disturb import Disk, some
from tests.support.works import Works

SAID = {errno.EDQUOT: ("quota",), errno.EROFS: ("read-only", "Read-only")}


@pytest.mark.parametrize("number", SAID, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["build", "pull", "save"])
def test_7_a_refusal_at_any_call(works: Works, tmp_path: Path, name: str, number: int) -> None:
    """From one call on the disk refuses with EDQUOT, or, to removals too, with EROFS."""

    def disk(which: int) -> Disk:
        place = tmp_path / f"disk-{which}"
        place.mkdir()
        return Disk(below=place, counts=tmp_path / "counts")

    first = disk(0)
    pybuild = works.place(name, first.below)
    assert works.run(name, first.below, first.failing(pybuild, 0, number)).code == 0
    for call in some(range(1, first.calls + 1), 1, seed=number + len(name)):
        mine = disk(call)
        pybuild = works.place(name, mine.below)
        met = works.run(name, mine.below, mine.failing(pybuild, call, number))
        assert met.code == 0 or any(words in met.output for words in SAID[number]), met.output
        works.survived(name, mine.below, pybuild, met)


@pytest.mark.parametrize("limit", some([1 << 10, 1 << 12, 1 << 15, 100_000, 300_000, 1 << 20], 2))
@pytest.mark.parametrize("name", ["build by copies", "pull", "save"])
def test_7_files_that_may_not_grow(works: Works, tmp_path: Path, name: str, limit: int) -> None:
    """EFBIG: the limit of the process (RLIMIT_FSIZE)."""
    disk = tmp_path / "disk"
    disk.mkdir()
    pybuild = works.place(name, disk)
    met = works.run(name, disk, replace(pybuild, wrapper=("prlimit", f"--fsize={limit}")))
    works.survived(name, disk, pybuild, met)


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A file system on a disk, which becomes read-only when something is wrong with it."""
    place = tmp_path / "ext4"
    place.mkdir()
    with (tmp_path / "image").open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", tmp_path / "image"], check=True)
    with own_mounts():
        mount(place)
        yield place
        subprocess.run(["umount", place], check=True)
        # The kernel lets go of the device in its own time.
        while subprocess.run(["losetup", "-j", place.with_name("image")], capture_output=True, check=True).stdout:
            time.sleep(0.01)


def mount(place: Path) -> None:
    options = "loop,errors=remount-ro"
    subprocess.run(["mount", "-o", options, place.with_name("image"), place], check=True)


def break_disk(place: Path) -> None:
    """Let the kernel find an error of the file system; it becomes read-only at once, whoever writes."""
    source = subprocess.run(["findmnt", "-nro", "SOURCE", place], check=True, capture_output=True, text=True).stdout
    trigger = Path("/sys/fs/ext4", Path(source.strip()).name, "trigger_fs_error")
    if not trigger.exists():
        pytest.skip("the kernel has no trigger for errors of ext4")
    trigger.write_text("1")


def repair_disk(place: Path) -> None:
    """What a restart of the machine does."""
    subprocess.run(["umount", place], check=True)
    done = subprocess.run(["e2fsck", "-fy", place.with_name("image")], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout
    mount(place)


def write_blob(store: Store, fault: Callable[[], None]) -> None:
    with store.blobs.writer() as writer:
        writer.write(bytes(70_000))
        fault()
        writer.write(bytes(70_000))
        writer.commit()


def write_partial(store: Store, fault: Callable[[], None]) -> None:
    data = bytes(140_000)
    from buildkit_py.digest import Digest

    with store.blobs.partial(str(Digest.of(data))) as partial:
        partial.append(data[:70_000])
        fault()
        partial.append(data[70_000:])
        partial.commit()


def write_name(store: Store, fault: Callable[[], None]) -> None:
    with store.transaction():
        store.memo.put("k", "lost", 1)
        fault()
        store.images.put("lost", {"digest": store.blobs.put(b"{}"), "size": 2, "mediaType": "x"})


@pytest.mark.parametrize("write", [write_blob, write_partial, write_name])
def test_7_the_disk_becomes_read_only(ext4: Path, write: Callable[..., None]) -> None:
    store = Store.open(ext4 / "store")
    with store.lease():
        kept = store.blobs.put(b"{}")
        store.images.put("kept", {"digest": kept, "size": 2, "mediaType": "x"})
    with pytest.raises(StoreError) as caught, store.lease():
        write(store, lambda: break_disk(ext4))
    assert any(words in caught.value.message for words in ("read-only", "the disk reported an error"))
    store.close()
    repair_disk(ext4)
    with Store.open(ext4 / "store") as again:
        assert again.check() == []
        assert [record.name for record in again.images.list()] == ["kept"]
        assert again.memo.get("k", "lost") is None
        assert again.blobs.read(kept) == b"{}"
        write(again, lambda: None)
        assert again.check() == []
