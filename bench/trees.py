"""The contexts of the workloads: files whose number, sizes and content follow from a seed alone.

Text is lines of 2 to 10 made-up words behind 0, 4, 8 or 12 blanks; words have 2 to 11 letters and come as often as
Zipf says. `gzip -6` makes it about three times smaller. Sizes of files are log-normal (sigma 1). A tree has 100 files
a directory and 10 directories under each upper one.
"""

from __future__ import annotations

import math
import random
import subprocess
from itertools import accumulate
from pathlib import Path

_WORDS = 20_000
_LETTERS = "eeeeeeaaaaoooiiinnntttrrrsssllcdmpuhgbfyvwkxjqz"


class Text:
    """An endless text, drawn from a pool of lines that is long enough to tell a compressor nothing."""

    def __init__(self, seed: int, lines: int) -> None:
        self._random = random.Random(seed)
        words = [self._word() for _ in range(_WORDS)]
        weights = list(accumulate(1 / (rank + 10) for rank in range(_WORDS)))
        drawn = iter(self._random.choices(words, cum_weights=weights, k=lines * 10))
        self._lines = [self._line([next(drawn) for _ in range(self._random.randint(2, 10))]) for _ in range(lines)]

    def take(self, size: int) -> bytes:
        """So many bytes."""
        out, missing = [], size
        while missing > 0:
            part = "".join(self._random.choices(self._lines, k=missing // 40 + 1))[:missing]
            out.append(part)
            missing -= len(part)
        return "".join(out).encode()

    def _word(self) -> str:
        return "".join(self._random.choices(_LETTERS, k=self._random.randint(2, 11)))

    def _line(self, words: list[str]) -> str:
        return f"{' ' * self._random.choice((0, 4, 8, 12))}{' '.join(words)}\n"


def sizes(seed: int, count: int, mean: float) -> list[int]:
    """Log-normal sizes in bytes around a mean."""
    source, centre = random.Random(seed), math.log(mean) - 0.5
    return [max(1, round(source.lognormvariate(centre, 1.0))) for _ in range(count)]


def tree(directory: Path, seed: int, count: int, mean: float, suffix: str = ".txt") -> None:
    """Write `count` text files."""
    text = Text(seed, 60_000)
    for number, size in enumerate(sizes(seed, count, mean)):
        place = directory / f"{number // 1000:03}" / f"{number // 100 % 10}"
        if number % 100 == 0:
            place.mkdir(parents=True)
        (place / f"f{number % 100:02}{suffix}").write_bytes(text.take(size))


def random_file(path: Path, seed: int, size: int) -> None:
    """A file that can't be compressed."""
    source = random.Random(seed)
    with path.open("wb") as out:
        for begin in range(0, size, 1 << 20):
            out.write(source.randbytes(min(1 << 20, size - begin)))


def text_file(path: Path, seed: int, size: int) -> None:
    """A file of text."""
    text = Text(seed, 1_000_000)
    with path.open("wb") as out:
        for begin in range(0, size, 1 << 24):
            out.write(text.take(min(1 << 24, size - begin)))


def packages(directory: Path, seed: int, count: int) -> None:
    """Debian packages of 300 text files each, compressed by xz, with a script that runs at installation."""
    directory.mkdir()
    for number in range(count):
        name = f"bench-{number:02}"
        root = directory / name
        tree(root / "usr" / "share" / name, seed + number, 300, 6000)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: none\n"
        )
        script = root / "DEBIAN" / "postinst"
        script.write_text(f"#!/bin/sh\nset -e\nfind /usr/share/{name} -type f | wc -l > /var/lib/{name}.count\n")
        script.chmod(0o755)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, directory / f"{name}.deb"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        subprocess.run(["rm", "-r", root], check=True)
