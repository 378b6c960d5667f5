"""A disk that fails from a chosen call on, and a clock that jumps, for the real command (`disturb.c` says how)."""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.support import cache
from tests.support.command import Pybuild

T = TypeVar("T")
EVERYTHING = os.environ.get("PYBUILD_FAULTS") == "all"
"""Whether every point is to be tried, or a few that chance chooses, the same in every run."""
_SOURCE = Path(__file__).with_name("disturb.c")


def some(points: Sequence[T], count: int, seed: int = 7) -> list[T]:
    """So many of these points, or all where everything is to be tried, in their order."""
    if EVERYTHING or len(points) <= count:
        return list(points)
    chosen = random.Random(seed).sample(range(len(points)), count)
    return [points[number] for number in sorted(chosen)]


def library() -> Path:
    """The library to preload, compiled once a machine."""

    def make(directory: Path) -> None:
        cache.run("gcc", "-O1", "-Wall", "-fPIC", "-shared", "-o", directory / "disturb.so", _SOURCE, "-ldl")

    return cache.once("disturb", _SOURCE.read_text(), make) / "disturb.so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What lies below a directory, for commands that meet its faults. `counts` is a file for the numbers of calls."""

    below: Path
    counts: Path

    def failing(self, pybuild: Pybuild, first: int, error: int = errno.ENOSPC) -> Pybuild:
        """The command, to which every call that changes something fails from number `first` on; with 0 none does."""
        self.counts.write_bytes(struct.pack("=qq", 0, first))
        return pybuild.having(
            LD_PRELOAD=str(library()),
            DISTURB_BELOW=str(self.below),
            DISTURB_COUNTS=str(self.counts),
            DISTURB_ERROR=str(error),
        )

    @property
    def calls(self) -> int:
        """How many calls there were."""
        count, _ = struct.unpack("=qq", self.counts.read_bytes())
        return int(count)


def at_another_time(pybuild: Pybuild, seconds: int) -> Pybuild:
    """The command, whose wall clock is ahead by so many seconds."""
    return pybuild.having(LD_PRELOAD=str(library()), DISTURB_CLOCK=str(seconds))
