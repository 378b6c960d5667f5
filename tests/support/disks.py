"""File systems of the tests' own, each in a file behind a loop device."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MAKE = {
    "btrfs": ("mkfs.btrfs", "--quiet"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
    "xfs-old": ("mkfs.xfs", "-q", "-m", "reflink=0"),
    "ext4": ("mkfs.ext4", "-q"),
}
_SIZE = 512 << 20


@contextmanager
def disk(directory: Path, kind: str) -> Iterator[Path]:
    """The mount point of a new file system of that kind, below `directory`; it is gone afterwards."""
    program, *options = _MAKE[kind]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    image, place = directory / f"{kind}.img", directory / kind
    with image.open("wb") as file:
        file.truncate(_SIZE)
    place.mkdir()
    subprocess.run([program, *options, image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        image.unlink()


def shared(path: Path) -> bool:
    """Whether a file shares blocks with another (FIEMAP)."""
    subprocess.run(["sync", "--file-system", path], check=True)
    told = subprocess.run(["filefrag", "-v", path], check=True, capture_output=True, text=True).stdout
    return "shared" in told
