"""A timeline in the Trace Event Format of Chrome, for Perfetto and `chrome://tracing`.

What is worked on at once lies in several lanes (`tid`); the phases of a step lie inside it. Times are microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildkit_py.progress.timeline import Row, Timeline

_PROCESS = 1


def render(timeline: Timeline) -> str:
    """The trace, in the JSON object format."""
    events = [_named("process_name", 0, f"pybuild {timeline.build}")]
    lanes = lanes_of(timeline)
    events += [_named("thread_name", lane, f"lane {lane}") for lane in sorted(set(lanes))]
    for row, lane in zip(timeline.rows, lanes, strict=True):
        events += _events(row, lane)
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events}) + "\n"


def lanes_of(timeline: Timeline) -> list[int]:
    """A lane for each row, counted from 1, the lowest that is free; in no lane two overlap."""
    ends: list[float] = []
    found: list[int] = []
    for row in timeline.rows:
        lane = next((number for number, end in enumerate(ends) if end <= row.begin), len(ends))
        ends[lane : lane + 1] = [row.end]
        found.append(lane + 1)
    return found


def _events(row: Row, lane: int) -> Iterator[dict[str, Any]]:
    category = "critical" if row.critical else "step"
    said = {"kind": row.kind, "at": row.at, "number": row.number, "outcome": row.outcome, "cached": row.cached}
    yield {
        **_span(row.title, category, lane, row.begin, row.end),
        "args": {name: value for name, value in said.items() if value},
    }
    for phase in row.phases:
        if phase.begin >= row.begin:
            yield _span(phase.name, "phase", lane, phase.begin, phase.end)


def _span(name: str, category: str, lane: int, begin: float, end: float) -> dict[str, Any]:
    start = round(begin * 1e6)
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": start,
        "dur": round(end * 1e6) - start,
        "pid": _PROCESS,
        "tid": lane,
    }


def _named(what: str, lane: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": lane, "args": {"name": name}}
