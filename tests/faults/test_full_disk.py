"""Faults 4 and 5: the disk has no room or no inodes left, at any moment of any command that writes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.disks import in_memory
from tests.support.disturb import EVERYTHING, Disk, some
from tests.support.works import WORKS, Works

_FULL = ("disk is full", "No space left", "no inodes left")
_STEP = 4096


def fresh(directory: Path, number: int) -> Path:
    """An empty directory for one more try."""
    place = directory / f"disk-{number}"
    place.mkdir()
    return place


@pytest.mark.parametrize("name", some(list(WORKS), 6))
def test_4_no_room_at_any_call(works: Works, tmp_path: Path, name: str) -> None:
    """From one call on, all that would write, make or rename something below the disk fail with ENOSPC."""
    disk = Disk(below=fresh(tmp_path, 0), counts=tmp_path / "counts")
    pybuild = works.place(name, disk.below)
    whole = works.run(name, disk.below, disk.failing(pybuild, 0))
    assert whole.code == 0, whole.output
    calls = disk.calls
    assert calls > 3, "nothing was counted"
    for number in some(range(1, calls + 1), 2, seed=len(name)):
        disk = Disk(below=fresh(tmp_path, number), counts=tmp_path / "counts")
        pybuild = works.place(name, disk.below)
        met = works.run(name, disk.below, disk.failing(pybuild, number))
        assert met.code == 0 or any(words in met.output for words in _FULL), met.output
        works.survived(name, disk.below, pybuild, met)


def room(place: Path) -> int:
    state = os.statvfs(place)
    return state.f_bavail * state.f_frsize


def fill(place: Path, left: int) -> None:
    """Leave so many bytes of the file system."""
    with (place / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room(place) - left))


def points(sizes: range, name: str) -> list[int]:
    """How much is left, in turn. Each call is refused in a test of its own; here a real file system does it."""
    return list(sizes[:: max(1, len(sizes) // 16)]) if EVERYTHING else random.Random(name).sample(sizes, 1)


@pytest.mark.parametrize("name", some([name for name in WORKS if name not in ("tag", "rmi", "prune")], 5, seed=3))
def test_4_a_disk_that_is_too_small(works: Works, tmp_path: Path, name: str) -> None:
    """A real file system with a little room left, from none to as much as the command needs."""
    with in_memory(tmp_path / "whole", "size=128m") as place:
        pybuild = works.place(name, place)
        before = room(place)
        assert works.run(name, place, pybuild).code == 0
        needed = before - room(place)
    for left in points(range(0, needed + _STEP, _STEP), name):
        with in_memory(tmp_path / f"left-{left}", "size=128m") as place:
            pybuild = works.place(name, place)
            fill(place, left)
            met = works.run(name, place, pybuild)
            (place / "filler").unlink()
            works.survived(name, place, pybuild, met)


@pytest.mark.parametrize("name", some([name for name in WORKS if name not in ("tag", "rmi", "prune")], 4, seed=5))
def test_5_no_inodes_left(works: Works, tmp_path: Path, name: str) -> None:
    with in_memory(tmp_path / "whole", "size=128m,nr_inodes=1000") as place:
        pybuild = works.place(name, place)
        before = os.statvfs(place).f_favail
        assert works.run(name, place, pybuild).code == 0
        needed = max(1, before - os.statvfs(place).f_favail)
    for left in points(range(needed + 1), name):
        with in_memory(tmp_path / f"left-{left}", "size=128m,nr_inodes=1000") as place:
            pybuild = works.place(name, place)
            filler = place / "filler"
            filler.mkdir()
            for number in range(os.statvfs(place).f_favail - left):
                (filler / str(number)).touch()
            met = works.run(name, place, pybuild)
            subprocess.run(["rm", "-r", filler], check=True)
            works.survived(name, place, pybuild, met)


@pytest.mark.parametrize("words", [("prune", "--all"), ("rmi", "--force", "app:1")])
@pytest.mark.parametrize("left", [64 << 10, 0])
def test_4_a_full_disk_can_be_pruned(works: Works, tmp_path: Path, left: int, words: tuple[str, ...]) -> None:
    """What the message says to do works, without any room as well."""
    with in_memory(tmp_path / "disk", "size=128m") as place:
        pybuild = works.place("prune", place)
        fill(place, left)
        before = room(place)
        if not left:
            assert "pybuild prune" in pybuild("ls").stderr
        pybuild.ok(*words)
        assert room(place) > before
        (place / "filler").unlink()
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"


def test_4_standard_output_on_a_full_disk(works: Works, tmp_path: Path) -> None:
    pybuild = works.place("tag", fresh(tmp_path, 0))
    for words in (("ls",), ("store", "check"), ("export", "-o", "-", "app:1")):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" > /dev/full', "sh", sys.executable, "-m", "buildkit_py.cli", *words],
            cwd=tmp_path,
            env=pybuild.variables(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode not in (0, 70), done.stderr
        assert "No space left" in done.stderr
