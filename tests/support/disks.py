"""File systems of the tests' own, in memory or behind a loop device, mounted where no other process sees them."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_MAKE = {
    "btrfs": ("mkfs.btrfs", "--quiet"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
    "xfs-old": ("mkfs.xfs", "-q", "-m", "reflink=0"),
    "ext4": ("mkfs.ext4", "-q"),
}
_SIZE = 512 << 20
_NEWNS = 0x20000
# The loop device is gone when the last process of the namespace is.
_HOLD = 'mount -o loop "$1" "$2"; echo ready; exec sleep infinity'


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A mounted file system: `place` is where it is for what `wrapper` starts, `here` the way to it for the test."""

    place: Path
    here: Path
    wrapper: tuple[str, ...]


@contextmanager
def disk(directory: Path, kind: str) -> Iterator[Disk]:
    """A new file system of that kind, below `directory`; it is gone afterwards."""
    program, *options = _MAKE[kind]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    image, place = directory / f"{kind}.img", directory / kind
    with image.open("wb") as file:
        file.truncate(_SIZE)
    place.mkdir()
    subprocess.run([program, *options, image], check=True, capture_output=True)
    words = ("unshare", "--mount", "sh", "-ec", _HOLD, "sh", image, place)
    holder = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"ready\n"
        enter = ("nsenter", f"--target={holder.pid}", "--mount", f"--wd={directory}", "--")
        yield Disk(place=place, here=Path(f"/proc/{holder.pid}/root{place}"), wrapper=enter)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@contextmanager
def own_mounts() -> Iterator[None]:
    """What is mounted inside the block is seen by this thread and what it starts alone: another test's process that
    begins meanwhile would take a copy of the mount along."""
    libc, here = ctypes.CDLL(None, use_errno=True), Path.cwd()
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    assert libc.unshare(_NEWNS) == 0, os.strerror(ctypes.get_errno())
    try:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        yield
    finally:
        assert libc.setns(before, _NEWNS) == 0, os.strerror(ctypes.get_errno())
        os.close(before)
        os.chdir(here)


@contextmanager
def in_memory(place: Path, options: str) -> Iterator[Path]:
    """A file system in memory, with the `options` of tmpfs(5)."""
    place.mkdir()
    with own_mounts():
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def shared(path: Path) -> bool:
    """Whether a file shares blocks with another (FIEMAP)."""
    subprocess.run(["sync", "--file-system", path], check=True)
    told = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True).stdout
    return "shared" in told
