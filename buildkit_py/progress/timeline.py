"""Where the time of a build went, from the record that it left: a pure function of that.

    record ──▶ Timeline: rows with phases, the critical path, totals ──▶ table │ Chrome trace │ SVG │ JSON

The *critical path* is the chain of work that the end had to wait for: from what ended last back to the input that was
ready last, and so on. Only what shortens it makes the build shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from buildkit_py.dataclass import dataclass, field

WAIT = "wait"
WORDS = {
    "wait": "waiting", "look": "looking up", "hash": "hashing", "transfer": "transfer", "unpack": "unpacking",
    "prepare": "preparing", "run": "running", "compress": "compressing", "write": "writing", "compile": "compiling",
    "assemble": "assembling",
}  # fmt: skip
"""The phases, and what is said of their sums."""
_LEAST = 0.001
_NEAR = 0.0005
"""Times are rounded to a tenth of a millisecond: what ends so little after a begin was before it."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a row: seconds of the build."""

    name: str
    begin: float
    end: float


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One thing that was worked on. `known` is when its result was; `number` is None where no view showed it."""

    id: str
    title: str
    kind: str
    number: int | None = None
    at: str = ""
    outcome: str = ""
    cached: str = ""
    phases: tuple[Phase, ...] = ()
    known: float = 0.0
    inputs: list[Row] = field(default_factory=list)
    critical: bool = False

    @property
    def begin(self) -> float:
        """When work on it began."""
        return next((phase.begin for phase in self.phases if phase.name != WAIT), self.known)

    @property
    def end(self) -> float:
        """When it was left for the last time."""
        return self.phases[-1].end if self.phases else self.known

    @property
    def resumed(self) -> float:
        """The begin of the work after the last wait: what was waited for was there by then."""
        waits = [number for number, phase in enumerate(self.phases[:-1]) if phase.name == WAIT]
        return self.phases[waits[-1] + 1].begin if waits else self.begin

    def gave(self, limit: float) -> float | None:
        """When it last gave something, no later than `limit`: what it is may be known long before its bytes are."""
        moments = (self.known, *(phase.end for phase in self.phases if phase.name != WAIT))
        return max((moment for moment in moments if 0 < moment <= limit), default=None)

    @property
    def took(self) -> float:
        """The seconds of work, without waiting."""
        return sum(phase.end - phase.begin for phase in self.phases if phase.name != WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A build in rows, by begin. `quiet` is the number of steps that are left out: they took no time."""

    build: str
    outcome: str
    seconds: float
    rows: tuple[Row, ...]
    quiet: int
    totals: Mapping[str, float]

    @property
    def critical(self) -> float:
        """The seconds in which something of the critical path was worked on."""
        works = [phase for row in self.rows if row.critical for phase in row.phases if phase.name != WAIT]
        total = until = 0.0
        for phase in sorted(works, key=lambda phase: phase.begin):
            total += max(0.0, phase.end - max(until, phase.begin))
            until = max(until, phase.end)
        return total


def timeline_of(record: Mapping[str, Any]) -> Timeline:
    """Read a record; one of an older version has no phases, and gives rows of what began and ended."""
    rows = list(_rows(record))
    for row in critical_path(rows):
        row.critical = True
    shown = sorted((row for row in rows if row.phases), key=lambda row: (row.begin, row.number or 0))
    marks = record.get("marks", {})
    totals: dict[str, float] = {}
    for phase in (phase for row in rows for phase in row.phases):
        totals[phase.name] = totals.get(phase.name, 0.0) + phase.end - phase.begin
    return Timeline(
        build=str(record["id"]),
        outcome=str(record.get("outcome", "")),
        seconds=max([marks.get("ended", 0.0), *(row.end for row in rows)]),
        rows=tuple(shown),
        quiet=sum(1 for row in rows if row.number is not None and not row.phases),
        totals={name: totals[name] for name in WORDS if name in totals},
    )


def critical_path(rows: Sequence[Row]) -> list[Row]:
    """The rows that the end had to wait for, the first one first."""
    worked = [row for row in rows if row.phases]
    current = max(worked, key=lambda row: row.end, default=None)
    path: list[Row] = []
    while current is not None:
        path.append(current)
        limit = current.resumed + _NEAR
        gave = {row: moment for row in current.inputs if row not in path and (moment := row.gave(limit)) is not None}
        current = max(gave, key=lambda row: gave[row], default=None)
    return path[::-1]


def _rows(record: Mapping[str, Any]) -> Iterator[Row]:
    """Reading the build file, the nodes in the order of the graph, putting images together, the outputs."""
    marks: Mapping[str, float] = record.get("marks", {})
    again = record.get("again")
    said = ("look", "see that all is as it was") if again else ("compile", "read the build file")
    first = _own(*said, 0.0, marks.get("began", 0.0))
    yield first
    nodes = [_row(name, node) for name, node in record["nodes"].items()]
    for row, node in zip(nodes, record["nodes"].values(), strict=True):
        places = dict.fromkeys((*node.get("inputs", {}).values(), *node.get("asked", ())))
        row.inputs = [nodes[place] for place in places] or [first]
    solved = [row for row in nodes if row.kind != "output"]
    outputs = [row for row in nodes if row.kind == "output"]
    yield from solved
    after = outputs[0].begin if outputs else marks.get("ended", 0.0)
    last = _own("assemble", "put the images together", marks.get("solved", after), after)
    last.inputs = solved
    if record.get("images"):
        yield last
    for row in outputs:
        row.inputs, last = [last], row
        yield row


def _own(name: str, title: str, begin: float, end: float) -> Row:
    """A row for what is no node."""
    phases = (Phase(name, begin, end),) if end - begin >= _LEAST else ()
    return Row(id=name, title=title, kind=name, phases=phases, known=end)


def _row(name: str, node: Mapping[str, Any]) -> Row:
    begin, end = node.get("started"), node.get("finished")
    spans = node.get("phases", [])
    if not spans and "known" not in node and begin is not None and end is not None:
        spans = [("run", begin, end)]
    return Row(
        id=name,
        title=node.get("title", name),
        kind=node.get("kind", ""),
        number=node.get("number"),
        at=node.get("at", ""),
        outcome=node.get("outcome", ""),
        cached=node.get("cached", ""),
        phases=tuple(Phase(*span) for span in spans),
        known=node.get("known", end or 0.0),
    )


def to_plain(timeline: Timeline) -> dict[str, Any]:
    """As a JSON value."""
    return {
        "build": timeline.build,
        "outcome": timeline.outcome,
        "seconds": round(timeline.seconds, 4),
        "critical": round(timeline.critical, 4),
        "totals": {name: round(seconds, 4) for name, seconds in timeline.totals.items()},
        "steps": [_plain(row) for row in timeline.rows],
    }


def _plain(row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "title": row.title,
        "kind": row.kind,
        "at": row.at or None,
        "outcome": row.outcome or None,
        "cached": row.cached or None,
        "begin": row.begin,
        "end": row.end,
        "took": round(row.took, 4),
        "critical": row.critical,
        "phases": [{"name": phase.name, "begin": phase.begin, "end": phase.end} for phase in row.phases],
    }
