"""Runs the cases: the tools in turn, A B C, A B C, …, every emptying and syncing outside of what is timed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import trees
from bench.measure import FailedError, Sample, Work, measure
from bench.tools import Job, Pybuild, Tool
from bench.workloads import Case, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample of one tool in one case."""

    case: str
    tool: str
    round: int
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The tools, and the names of base images in the registry that all pull from."""

    root: Path
    registry: str
    bases: Mapping[str, str]
    pybuild: Pybuild
    peers: Sequence[Tool]
    scale: float

    def run(self, case: Case, rounds: int, say: Callable[[str], None]) -> Iterator[Row]:
        """All rounds of one case."""
        ours = self.pybuild.with_runtime(case.runtime) if case.runtime else self.pybuild
        peers = [] if case.alone else [peer for peer in self.peers if peer.name not in case.without]
        tools: list[Tool] = [ours, *peers]
        job = self._job(case)
        self._warm(job.context)
        if case.mode in (Mode.NOOP, Mode.EDIT, Mode.PUSH):
            self._edit(case, job, 0)
            for tool in list(tools):
                tool.empty()
                try:
                    self._measure(tool, tool.build(job))
                except FailedError as fault:
                    say(f"{case.name}: {tool.name} left out: {fault}")
                    tools.remove(tool)
        for number in range(1, rounds + 1):
            if case.mode in (Mode.EDIT, Mode.COLD):
                self._edit(case, job, number)
            for tool in list(tools):
                try:
                    sample = self._once(case, tool, job, number)
                except FailedError as fault:
                    say(f"{case.name}: {tool.name} left out: {fault}")
                    tools.remove(tool)
                    continue
                say(f"{case.name:18} {tool.name:18} {sample.wall:8.3f} s {sample.peak >> 20:5} MiB")
                yield Row(case=case.name, tool=tool.name, round=number, sample=sample)
        shutil.rmtree(job.dockerfile.parent)

    def _once(self, case: Case, tool: Tool, job: Job, number: int) -> Sample:
        if case.mode is Mode.COLD:
            tool.empty()
        if job.archive is not None:
            job.archive.unlink(missing_ok=True)
        if case.mode is Mode.START:
            work = tool.start()
        elif case.mode is Mode.PUSH:
            place = re.sub(r"\W+", "-", tool.name).strip("-")
            work = tool.push(job, f"{self.registry}/pushed/{place}-{number}:1")
        else:
            work = tool.build(job)
        return self._measure(tool, work)

    def _measure(self, tool: Tool, work: Work) -> Sample:
        return measure(work, self.root / "log", tool.daemons)

    def _job(self, case: Case) -> Job:
        """A build of a context that may be written to: where a file is edited, it is a copy."""
        place = self.root / "job"
        place.mkdir()
        dockerfile = place / "Dockerfile"
        dockerfile.write_text(case.workload.dockerfile.format_map(self.bases))
        context = case.workload.make(self.scale)
        if case.workload.edited:
            shutil.copytree(context, place / "context")
            context = place / "context"
        archive = place / "out.tar" if case.archive else None
        return Job(context=context, dockerfile=dockerfile, archive=archive, jobs=case.jobs)

    def _edit(self, case: Case, job: Job, number: int) -> None:
        if case.workload.edited:
            trees.random_file(job.context / case.workload.edited, number, case.workload.edited_size)

    def _warm(self, directory: Path) -> None:
        """Read all of a context, so that none of it comes from the disk later."""
        for parent, _, names in os.walk(directory):
            for name in names:
                with Path(parent, name).open("rb", buffering=0) as file:
                    while file.read(1 << 22):
                        pass
