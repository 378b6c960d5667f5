"""Row 1: SIGKILL at every rename, link, sync and commit of SQLite that a command makes.

The points are those that the command makes, in the one order in which it makes them (`support/gate.py`); strace is
asked whether these are all. Here a sample of them, with `make faults` every one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.conftest import Prepared
from tests.support import gate
from tests.support.gate import Call
from tests.support.kill_cases import CASES, Case, case, halves
from tests.support.leftovers import cgroups_of, deserted
from tests.support.places import Place, sample
from tests.support.wholeness import flaws

SAMPLE = 2


@pytest.mark.parametrize("it", CASES, ids=lambda it: it.name.replace(" ", "-"))
def test_01_sigkill_at_every_commit(prepared: Prepared, it: Case) -> None:
    undisturbed = prepared(it, "undisturbed")
    done = gate.run(undisturbed.pybuild, *it.words(undisturbed), cwd=undisturbed.project, below=undisturbed.root)
    assert done.result.code == 0, done.result.output
    assert len(done.calls) >= (1 if it.name == "push" else 8), done.calls
    undisturbed.check()
    expected = it.told(undisturbed)
    with sample(it.name, range(1, len(done.calls) + 1), SAMPLE) as numbers:
        for number in numbers:
            _kill(it, prepared(it, f"killed-{number}"), number, expected)


def _kill(it: Case, place: Place, number: int, expected: object) -> None:
    """Kill the command when it asks for that call, and see what there is then and after it is run again."""
    point: list[Call] = []
    pids: list[int] = []

    def answer(pid: int, call: Call) -> int:
        if call.number == number:
            point.append(call)
            pids.append(pid)
            os.kill(pid, signal.SIGKILL)
        return 0

    killed = gate.run(place.pybuild, *it.words(place), cwd=place.project, below=place.root, answer=answer)
    try:
        # Threads may have something done already that took a call of its own when nobody disturbed them.
        assert killed.result.code == (-signal.SIGKILL if point else 0), killed.result.output
        deserted(place.root)
        assert not [group for pid in pids for group in cgroups_of(pid)]
        if not it.damaged:
            assert flaws(place.store) == [] if place.store.exists() else True
            place.check()
            place.check_images()
        halves(place, it)
        again = place.pybuild(*it.words(place), cwd=place.project)
        assert again.code in it.again, again.output
        place.check()
        place.check_images()
        assert it.told(place) == expected
    except BaseException as error:
        error.add_note(f"{it.name}: killed at {point[0] if point else number}, in {place.root}")
        raise
    subprocess.run(["rm", "-r", place.root], check=True)


STRACED = ("rename", "renameat", "renameat2", "link", "linkat", "fsync", "fdatasync", "syncfs", "pwrite64")


@pytest.mark.parametrize("name", ["tag", "build a Buildfile", "prune"])
def test_01_the_points_are_those_that_strace_sees(prepared: Prepared, tmp_path: Path, name: str) -> None:
    it = case(name)
    one, other = prepared(it, "one"), prepared(it, "other")
    asked = gate.run(one.pybuild, *it.words(one), cwd=one.project, below=one.root).calls
    log = tmp_path / "log"
    command = [sys.executable, "-m", "buildkit_py.cli", *it.words(other)]
    trace = ["strace", "-f", "-y", "-qq", "-o", log, "-e", f"trace={','.join(STRACED)}", "-e", "signal=none"]
    subprocess.run(
        [*trace, *command], cwd=other.project, env=other.pybuild.variables(), check=True, capture_output=True
    )
    # What a runtime writes is in a file system of its own, which the step's namespace has there.
    lines = [line for line in _whole_lines(log.read_text()) if f"{other.store}/run/" not in line]
    seen = [line for line in lines if str(other.root) in line]
    counted, expected = _counted(line for line in seen if _is_point(line)), Counter(call.name for call in asked)
    if name.startswith("build"):
        # How many transactions its threads share is a matter of time.
        counted, expected = Counter(set(counted)), Counter(set(expected))
    assert counted == expected


def _whole_lines(text: str) -> list[str]:
    """The calls without their threads; one that was interrupted in the log counts with its begin."""
    return [line.split(None, 1)[1] for line in text.splitlines() if " resumed>" not in line]


def _is_point(line: str) -> bool:
    """Of writes to the log of SQLite, those of the header of a frame that ends a transaction."""
    if not line.startswith("pwrite64("):
        return True
    found = re.match(r'pwrite64\(\d+<[^>]*-wal>, "((?:[^"\\]|\\.)*)", 24, ', line)
    return found is not None and any(found[1].encode().decode("unicode_escape").encode("latin-1")[4:8])


def _counted(lines: object) -> Counter[str]:
    return Counter(line.partition("(")[0] for line in lines)  # type: ignore[attr-defined]
