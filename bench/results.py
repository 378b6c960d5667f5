"""Samples as JSON lines, and what they say: medians, spreads, ratios to the best peer of the same run."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.measure import Sample
from bench.workloads import CASES, Case

OURS = "pybuild"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The samples of one tool in one case, put together: seconds, bytes, counts."""

    tool: str
    median: float
    low: float
    high: float
    peak: int
    daemons: int
    written: int
    started: int

    @classmethod
    def of(cls, tool: str, samples: Sequence[Sample]) -> Figure:
        """Medians, and the spread of the time."""

        def middle(name: str) -> int:
            values: list[int] = [getattr(sample, name) for sample in samples]
            return round(statistics.median(values))

        walls = [sample.wall for sample in samples]
        return cls(
            tool=tool,
            median=statistics.median(walls),
            low=min(walls),
            high=max(walls),
            peak=max(sample.peak for sample in samples),
            daemons=max(sample.daemons for sample in samples),
            written=middle("written"),
            started=middle("started"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table."""

    case: Case
    ours: Figure
    peers: Sequence[Figure]

    @property
    def best(self) -> Figure | None:
        """The fastest peer."""
        return min(self.peers, key=lambda figure: figure.median, default=None)

    @property
    def ratio(self) -> float | None:
        """pybuild's time over that of the best peer."""
        return self.ours.median / self.best.median if self.best else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none or nobody to compare with."""
        return None if self.ratio is None or self.case.target is None else self.ratio <= self.case.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run of the benchmark."""

    about: Mapping[str, Any]
    lines: Sequence[Line]
    bounds: Mapping[str, float]
    """Medians, in seconds."""

    @classmethod
    def read(cls, file: Path) -> Results:
        """Take the JSON lines apart. Raises `ValueError` where they are none."""
        rows = [json.loads(text) for text in file.read_text().splitlines()]
        samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
        bounds: dict[str, list[float]] = defaultdict(list)
        for row in rows[1:]:
            sample = Sample(**row["sample"])
            if row["kind"] == "bound":
                bounds[row["case"]].append(sample.wall)
            else:
                samples[row["case"]][row["tool"]].append(sample)
        found = [_line(case, samples[case.name]) for case in CASES if case.name in samples]
        lines = [line for line in found if line is not None]
        return cls(about=rows[0], lines=lines, bounds={name: statistics.median(each) for name, each in bounds.items()})


def _line(case: Case, samples: Mapping[str, Sequence[Sample]]) -> Line | None:
    figures = [Figure.of(tool, each) for tool, each in samples.items()]
    ours = next((figure for figure in figures if figure.tool.startswith(OURS)), None)
    if ours is None:
        return None
    return Line(case=case, ours=ours, peers=[figure for figure in figures if figure is not ours])


def row(kind: str, case: str, sample: Sample, **more: object) -> str:
    """A sample as a JSON line."""
    return json.dumps({"kind": kind, "case": case, **more, "sample": asdict(sample)}) + "\n"


def regressions(old: Results, new: Results, by: float = 1.1) -> Iterable[tuple[str, float, float]]:
    """Name, earlier and present ratio of the rows whose ratio to the best peer grew by more than a tenth."""
    before = {line.case.name: line for line in old.lines}
    for line in new.lines:
        then = before.get(line.case.name)
        if then is not None and then.ratio and line.ratio and line.ratio > then.ratio * by:
            yield line.case.name, then.ratio, line.ratio
