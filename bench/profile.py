"""`python -m bench.profile`: where pybuild's own time goes in a case, measured four ways that noise hardly touches.

    callgrind   instructions of the client, for the cases that valgrind can run
    importtime  modules imported, and their share
    strace -c   calls to the kernel, of every process
    py-spy      samples of all threads that do something, by what they do

`--tree DIR` profiles another checkout, for a before and after.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import bases
from bench.measure import FailedError, Work
from bench.run import Bench
from bench.tools import Job, Pybuild
from bench.workloads import CASES, Case, Mode
from tests.support import cache
from tests.support.registry import serve_registry

_HERE = Path(__file__).parent
_NAMES = (
    "W1 noop", "W1 cold", "W1 edit", "W3 cold", "W6 cold", "W7 cold pull", "W7 push", "W8 cold", "W9 cold", "W9s cold",
)  # fmt: skip
_COUNTED = ("W7 push",)
"""Those that valgrind can run: it does not know openat2(2), which everything that opens files of a context needs."""
_RUNS = 5
_CALLS = 6
_PARTS = 8
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|")
_COLLECTED = re.compile(r"Collected\s*: (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One case. `instructions` is None where they can't be counted; `cpu` is the least of some runs; `imports` are
    modules and seconds; `calls` the most frequent of `all_calls`; `parts` what was done, with its share of samples."""

    case: str
    wall: float
    cpu: float
    instructions: int | None
    imports: tuple[int, float]
    all_calls: int
    calls: Sequence[tuple[str, int]]
    parts: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profiler:
    """Runs a case once with each instrument; the store is emptied, or a file edited, before each."""

    bench: Bench
    tree: Path

    def profile(self, case: Case) -> Profile:
        job = self.bench._job(case)
        try:
            return self._profile(case, job)
        finally:
            shutil.rmtree(job.dockerfile.parent)

    def _profile(self, case: Case, job: Job) -> Profile:
        tool, countable = self.bench.pybuild, case.name in _COUNTED and shutil.which("valgrind") is not None
        self.bench._warm(job.context)
        self.bench._edit(case, job, 0)
        tool.empty()
        if case.mode is not Mode.COLD:
            self._run(tool.build(job))
            # A build leaves no receipt of files that are younger than two seconds.
            time.sleep(2.1)
            self._run(tool.build(job))
        numbers = iter(range(1, 100))

        def work() -> Work:
            number = next(numbers)
            if case.mode is Mode.COLD:
                tool.empty()
            if case.mode in (Mode.COLD, Mode.EDIT):
                self.bench._edit(case, job, number)
            os.sync()
            return (
                tool.push(job, f"{self.bench.registry}/pushed/{number}:1")
                if case.mode is Mode.PUSH
                else tool.build(job)
            )

        wall, cpu = (min(times) for times in zip(*(self._timed(work()) for _ in range(_RUNS)), strict=True))
        counted = (
            self._run(work(), "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null") if countable else ""
        )
        found = _COLLECTED.search(counted)
        imported = [int(each) for each in _IMPORT.findall(self._run(work(), python=("-X", "importtime")))]
        with tempfile.TemporaryDirectory() as scratch:
            calls, samples = Path(scratch, "calls"), Path(scratch, "samples")
            self._run(work(), "strace", "-f", "-c", "-o", str(calls))
            spy = str(Path(sys.executable).with_name("py-spy"))
            self._run(work(), spy, "record", "-r", "500", "-t", "-f", "raw", "-o", str(samples), "--")
            counts = _counted(calls.read_text())
            parts = _shares(samples.read_text(), self.tree)
        return Profile(
            case=case.name,
            wall=wall,
            cpu=cpu,
            instructions=int(found[1]) if found else None,
            imports=(len(imported), sum(imported) / 1e6),
            all_calls=sum(counts.values()),
            calls=counts.most_common(_CALLS),
            parts=parts[:_PARTS],
        )

    def _timed(self, work: Work) -> tuple[float, float]:
        """Seconds of the clock, and of all processors."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        self._run(work)
        took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _run(self, work: Work, *instrument: str, python: Sequence[str] = ()) -> str:
        """Run the command of a piece of work from `tree`; what it and the instrument wrote to standard error."""
        command = [*instrument, sys.executable, *python, "-m", "buildkit_py.cli", *work.commands[0][1:]]
        environment = {**work.environment, "PYTHONPATH": str(self.tree)}
        done = subprocess.run(command, cwd=work.directory, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise FailedError(f"{' '.join(command[:6])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stderr


def _counted(text: str) -> Counter[str]:
    """The table of `strace -c`: calls by name."""
    rows = (line.split() for line in text.splitlines())
    return Counter({row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"})


def _shares(text: str, tree: Path) -> list[tuple[str, float]]:
    """What py-spy saw, by the innermost module of pybuild, or importing; the largest share first."""
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[_part(stack.split(";"))] += int(count)
    total = max(1, sum(counts.values()))
    return [(name, count / total) for name, count in counts.most_common()]


def _part(frames: Sequence[str]) -> str:
    if any("importlib._bootstrap" in frame for frame in frames):
        return "importing"
    for frame in reversed(frames):
        found = re.search(r"\(((?:buildkit_py|frontends)/[\w/]+)\.py:\d+\)", frame)
        if found:
            return found[1].replace("/", ".")
    return "other"


def _table(profiles: Sequence[Profile]) -> Iterator[str]:
    yield "| case | seconds | CPU | instructions | modules imported | calls to the kernel | shares of the samples |"
    yield "|---|---|---|---|---|---|---|"
    for each in profiles:
        instructions = f"{each.instructions / 1e6:,.0f} M" if each.instructions else ""
        calls = ", ".join(f"{name} {count:,}" for name, count in each.calls)
        parts = ", ".join(f"{name} {share:.0%}" for name, share in each.parts if share >= 0.02)
        imports = f"{each.imports[0]}, {each.imports[1]:.3f} s"
        yield (
            f"| {each.case} | {each.wall:.3f} | {each.cpu:.3f} | {instructions} | {imports} "
            f"| {each.all_calls:,}: {calls} | {parts} |"
        )


@contextmanager
def _alone(tree: Path) -> Iterator[_Profiler]:
    with tempfile.TemporaryDirectory(prefix="profile-", dir=cache.directory()) as directory:
        root = Path(directory)
        with serve_registry(root / "registry") as registry:
            names = {name: bases.push(name, registry.name) for name in bases.NAMES}
            pybuild = Pybuild(root=root / "pybuild", registry=registry.name)
            bench = Bench(root=root, registry=registry.name, bases=names, pybuild=pybuild, peers=(), scale=1.0)
            try:
                yield _Profiler(bench=bench, tree=tree)
            finally:
                pybuild.empty()


def main(words: Sequence[str] | None = None) -> int:
    """Profile the cases that are named, or all that are worth it, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--tree", type=Path, default=_HERE.parent, help="another checkout")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args(words)
    chosen = [case for case in CASES if case.name in (options.cases or _NAMES)]
    profiles = []
    with _alone(options.tree.absolute()) as profiler:
        for case in chosen:
            print(f"{case.name} …", file=sys.stderr, flush=True)
            profiles.append(profiler.profile(replace(case, alone=True)))
    print("\n".join(_table(profiles)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
