"""`python -m tests.fuzz [NAME…]`: each target in turn under atheris, for FUZZ_SECONDS (60) seconds; what was found.

    --replay FILE   one input again, on the target NAME, with the whole traceback

Ends with 1 where anything was found. What a run learned is kept below `.fuzz/`, and the next one goes on from there.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.contract import Finding, check
from tests.fuzz.scratch import MEMORY
from tests.fuzz.targets import TARGETS
from tests.support.command import ROOT

KEPT = ROOT / ".fuzz"
_UNITS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")
_PATIENCE = 300
"""Seconds beside the time for feeding: for starting, and for reading what earlier runs kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one target came to."""

    name: str
    inputs: int
    covered: int
    kept: int
    found: tuple[Path, ...]
    failed: str = ""


def feed(name: str, seconds: int) -> Run:
    """Feed one target in a process of its own, since what is wrong with it may end that."""
    directory = KEPT / name
    words = [sys.executable, "-m", "tests.fuzz.guided", name, str(directory), str(seconds)]
    try:
        # libFuzzer ends its process before that could clean up.
        with tempfile.TemporaryDirectory(prefix="pybuild-fuzz-", dir=MEMORY) as place:
            done = subprocess.run(
                words,
                cwd=ROOT,
                env={**os.environ, "TMPDIR": place},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds + _PATIENCE,
            )
        said, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired:
        said, code = "it did not end", 1
    units, covered = _UNITS.findall(said), _COVERED.findall(said)
    return Run(
        name=name,
        inputs=int(units[-1]) if units else 0,
        covered=int(covered[-1]) if covered else 0,
        kept=len(_files(directory / "corpus")),
        found=tuple(_files(directory / "found")),
        failed=said[-2000:] if code != 0 else "",
    )


def replay(name: str, file: Path) -> int:
    """Feed a target with one file; 1 where that breaks the contract."""
    try:
        check(TARGETS[name], file.read_bytes())
    except Finding as found:
        print(found)
        return 1
    print(f"{name} keeps the contract for {file}")
    return 0


def _files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _tell(run: Run) -> None:
    state = f"{len(run.found)} found" if run.found else "failed" if run.failed else "nothing found"
    print(f"{run.name:24} {run.inputs:9} inputs {run.covered:6} branches {run.kept:5} kept  {state}", flush=True)
    for file in run.found:
        place = file.relative_to(ROOT)
        print(f"    {file.name}\n    again with: {Path(sys.executable).name} -m tests.fuzz {run.name} --replay {place}")
    if run.failed:
        print("    " + run.failed.replace("\n", "\n    "), flush=True)


def main(words: list[str]) -> int:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    chosen = parser.parse_args(words)
    unknown = [name for name in chosen.names if name not in TARGETS]
    if unknown or (chosen.replay and len(chosen.names) != 1):
        parser.error(f"there is no target {unknown[0]!r}" if unknown else "--replay needs one NAME")
    if chosen.replay:
        return replay(chosen.names[0], chosen.replay)
    seconds = int(os.environ.get("FUZZ_SECONDS") or 60)
    runs = []
    for name in chosen.names or TARGETS:
        runs.append(feed(name, seconds))
        _tell(runs[-1])
    broken = [run.name for run in runs if run.found or run.failed]
    total = sum(run.inputs for run in runs)
    print(f"\n{len(runs)} targets, {total} inputs: {'found in ' + ', '.join(broken) if broken else 'nothing found'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
