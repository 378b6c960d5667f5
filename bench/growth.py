"""`python -m bench.growth`: time and memory against size, and the exponent with which each grows.

An exponent of 1 is linear: twice the size, twice the time. What does not depend on the size has one near 0. It is the
least squares over the logarithms of the upper half of the sizes, where they show most.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import trees
from bench.growth_picture import draw
from bench.measure import Sample, Work, measure
from bench.stores import fill
from bench.tools import Job, Pybuild
from tests.support import cache

_HERE = Path(__file__).parent
_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is made larger. `make` lays down a context of a size, with its Dockerfile; with `noop` a build that was done
    before is measured, else a cold one. `store` fills the store to a size beforehand, where that is what grows."""

    name: str
    sizes: Sequence[int]
    make: Callable[[Path, int], None]
    noop: bool = False
    edit: bool = False
    store: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One series, measured: seconds and bytes by size, and the exponents of both."""

    name: str
    sizes: Sequence[int]
    seconds: Sequence[float]
    peaks: Sequence[int]
    exponents: tuple[float, float] = field(default=(0.0, 0.0))


def _files(place: Path, size: int) -> None:
    trees.tree(place / "files", 1, size, 1000)
    (place / "Dockerfile").write_text("FROM scratch\nCOPY files/ /files/\n")


def _steps(place: Path, size: int) -> None:
    place.mkdir(exist_ok=True)
    (place / "a").write_text("a")
    lines = [f"COPY a /f{number}" for number in range(size)]
    (place / "Dockerfile").write_text("\n".join(("FROM scratch", *lines, "")))


def _stages(place: Path, size: int) -> None:
    place.mkdir(exist_ok=True)
    (place / "a").write_text("a")
    lines = ["FROM scratch AS s0\nCOPY a /a"]
    lines += [f"FROM scratch AS s{number}\nCOPY --from=s{number - 1} /a /a" for number in range(1, size)]
    (place / "Dockerfile").write_text("\n".join((*lines, "")))


def _one(place: Path, size: int) -> None:
    _files(place, 100)


_FILES, _STEPS = (1000, 2000, 4000, 8000, 16000, 32000), (10, 20, 40, 80, 160)
SERIES = (
    Series(name="files, cold", sizes=_FILES, make=_files),
    Series(name="files, no-op", sizes=_FILES, make=_files, noop=True),
    Series(name="layers, cold", sizes=_STEPS, make=_steps),
    Series(name="layers, no-op", sizes=_STEPS, make=_steps, noop=True),
    Series(name="stages, cold", sizes=_STEPS, make=_stages),
    Series(name="stages, no-op", sizes=_STEPS, make=_stages, noop=True),
    Series(name="cached steps in the store, no-op", sizes=(1000, 10_000, 100_000), make=_one, noop=True, store="steps"),
    Series(name="cached steps in the store, edit", sizes=(1000, 10_000, 100_000), make=_one, edit=True, store="steps"),
    Series(name="images in the store, no-op", sizes=(10, 100, 1000), make=_one, noop=True, store="images"),
    Series(name="images in the store, edit", sizes=(10, 100, 1000), make=_one, edit=True, store="images"),
)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and write growth.json and growth.svg."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="SERIES", help="series whose names begin so")
    parser.add_argument("--out", type=Path, default=_HERE, help="where the results go (default: bench/)")
    options = parser.parse_args(words)
    chosen = [each for each in SERIES if not options.only or any(each.name.startswith(name) for name in options.only)]
    with tempfile.TemporaryDirectory(prefix="growth-", dir=cache.directory()) as directory:
        grown = [_grow(series, Path(directory)) for series in chosen]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "growth.json").write_text(json.dumps([asdict(each) for each in grown], indent=1) + "\n")
    (options.out / "growth.svg").write_text(draw(grown))
    return 0


def _grow(series: Series, root: Path) -> Grown:
    seconds, peaks = [], []
    for size in series.sizes:
        samples = list(_samples(series, size, root))
        seconds.append(statistics.median(sample.wall for sample in samples))
        peaks.append(max(sample.peak for sample in samples))
        print(f"{series.name:34} {size:7} {seconds[-1]:8.3f} s {peaks[-1] >> 20:5} MiB", flush=True)
    exponents = (exponent(series.sizes, seconds), exponent(series.sizes, peaks))
    print(f"{series.name:34} grows as n^{exponents[0]:.2f} in time, n^{exponents[1]:.2f} in memory", flush=True)
    return Grown(name=series.name, sizes=series.sizes, seconds=seconds, peaks=peaks, exponents=exponents)


def _samples(series: Series, size: int, root: Path) -> Iterator[Sample]:
    place, tool = root / "context", Pybuild(root=root / "pybuild", registry="127.0.0.1:1")
    shutil.rmtree(place, ignore_errors=True)
    tool.empty()
    series.make(place, size)
    work = tool.build(Job(context=place, dockerfile=place / "Dockerfile"))
    if series.store:
        measure(work, root / "log")
        fill(root / "pybuild" / "store", series.store, size)
    if series.noop or series.store:
        # The second build of the two finds everything cached, and leaves a receipt.
        for _ in range(2):
            measure(_settled(work), root / "log")
    for number in range(_ROUNDS):
        if series.edit:
            trees.random_file(place / "files" / "000" / "0" / "f00.txt", number, 1000)
        elif not series.noop:
            tool.empty()
        yield measure(work, root / "log")


def _settled(work: Work) -> Work:
    """The same, once the files are old enough to be trusted by their stamps."""
    return Work(commands=(("sleep", "2.1"), *work.commands), directory=work.directory, environment=work.environment)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of the logarithms, over the upper half."""
    half = len(sizes) // 2
    points = [(math.log(size), math.log(max(value, 1e-9))) for size, value in zip(sizes, values, strict=True)][
        half - 1 :
    ]
    x, y = (statistics.mean(point[axis] for point in points) for axis in (0, 1))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


if __name__ == "__main__":
    raise SystemExit(main())
