"""The benchmark's own arithmetic, and that its pages can be made; what it measures is run by `make bench` alone."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import trees
from bench.growth import Grown, exponent
from bench.growth_picture import draw as draw_growth
from bench.measure import FailedError, Sample, Work, measure
from bench.picture import draw
from bench.report import report
from bench.results import Results, regressions, row
from bench.workloads import CASES

ABOUT = '{"date": "2026-11-25", "commit": "c", "machine": "m", "scale": 1, "tools": [["pybuild", "1", "all"]]}\n'


def sample(wall: float) -> Sample:
    return Sample(wall=wall, cpu=wall, peak=1 << 20, daemons=0, written=1000, started=3)


def results(tmp_path: Path, ours: float, *peers: float) -> Results:
    file = tmp_path / f"{ours}.jsonl"
    lines = [row("case", "W1 noop", sample(ours * part), tool="pybuild", round=1) for part in (1, 9, 1)]
    lines += [row("case", "W1 noop", sample(peer), tool=f"peer {n}", round=1) for n, peer in enumerate(peers)]
    file.write_text("".join((ABOUT, *lines, row("bound", "read", sample(0.5)))))
    return Results.read(file)


def test_the_ratio_is_of_medians_to_the_best_peer(tmp_path: Path) -> None:
    (line,) = results(tmp_path, 1.0, 4.0, 2.0).lines
    assert (line.ratio, line.met) == (0.5, True)
    assert line.best is not None and line.best.tool == "peer 1"
    (line,) = results(tmp_path, 3.0, 4.0, 2.0).lines
    assert (line.ratio, line.met) == (1.5, False)
    (line,) = results(tmp_path, 3.5).lines
    assert (line.ratio, line.met) == (None, None)


def test_what_became_slower_is_told(tmp_path: Path) -> None:
    old, new = results(tmp_path, 1.0, 2.0), results(tmp_path, 1.2, 2.0)
    assert list(regressions(old, new)) == [("W1 noop", 0.5, 0.6)]
    assert list(regressions(new, old)) == []


def test_slow_rows_stand_first_and_the_pictures_are_whole(tmp_path: Path) -> None:
    found = results(tmp_path, 3.0, 2.0)
    page = report(found, "p.svg")
    assert "| W1 noop | 3.000 (3.000 to 27.000) |" in page and "**no**" in page
    assert ET.fromstring(draw(found.lines)).tag.endswith("svg")
    grown = Grown(name="a & b", sizes=(1, 10), seconds=(0.1, 0.2), peaks=(1, 2))
    assert ET.fromstring(draw_growth([grown])).tag.endswith("svg")


def test_the_exponent_of_growth() -> None:
    assert exponent([1, 2, 4, 8], [3, 3, 3, 3]) == pytest.approx(0)
    assert exponent([1, 2, 4, 8], [1, 4, 16, 64]) == pytest.approx(2)


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_tree_follows_from_its_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trees.tree(tmp_path / name, 1, 250, 100)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 250
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_a_command_is_measured_with_what_it_starts(tmp_path: Path) -> None:
    python = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = chr(120) * 60_000_000'])"
    commands = (("true",), (sys.executable, "-c", python))
    work = Work(commands=commands, directory=tmp_path, environment={"PATH": os.environ["PATH"]})
    found = measure(work, tmp_path / "l")
    assert found.peak > 55_000_000
    assert found.wall > 0 and found.started >= 3


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    work = Work(commands=(("sh", "-c", "echo why >&2; exit 3"),), directory=tmp_path, environment={"PATH": "/bin"})
    with pytest.raises(FailedError, match=r"ended with 3:\nwhy"):
        measure(work, tmp_path / "l")
