"""A timeline as a table for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from buildkit_py.graph.title import clip
from buildkit_py.progress.text import count, duration, table
from buildkit_py.progress.timeline import WORDS

if TYPE_CHECKING:
    from buildkit_py.progress.timeline import Row, Timeline

FAILED = ("failed", "cancelled")
"""Outcomes that are told beside what a step is."""
_TITLE = 60


def render(timeline: Timeline) -> str:
    """The rows by begin, those of the critical path marked, and the sums of the phases. Ends with a line end."""
    outcome = "" if timeline.outcome == "done" else f" {timeline.outcome} after" if timeline.outcome else ""
    head = f"build {timeline.build}{outcome or ' took'} {moment(timeline.seconds)}, "
    head += f"{moment(timeline.critical)} of it on the critical path (*)\n"
    rows = [("", "", "START", "TOOK", "WHAT", "PHASES"), *map(_row, timeline.rows)]
    quiet = f"    and {count(timeline.quiet, 'step')} that took no time\n" if timeline.quiet else ""
    return head + table(rows, right=frozenset({2, 3}), indent="  ") + quiet + _totals(timeline)


def moment(seconds: float) -> str:
    """A length of time; below a second in milliseconds."""
    return f"{round(seconds * 1000)} ms" if seconds < 0.9995 else duration(seconds)


def phases(row: Row) -> str:
    """What a row's time went into: the sums of its phases, in the order in which they first came."""
    return ", ".join(f"{name} {moment(seconds)}" for name, seconds in sums(row).items())


def sums(row: Row) -> dict[str, float]:
    """Seconds by phase."""
    found: dict[str, float] = {}
    for phase in row.phases:
        found[phase.name] = found.get(phase.name, 0.0) + phase.end - phase.begin
    return found


def _row(row: Row) -> tuple[str, ...]:
    failed = f" ({row.outcome})" if row.outcome in FAILED else ""
    return (
        "*" if row.critical else "",
        f"#{row.number}" if row.number else "",
        moment(row.begin),
        moment(row.took),
        clip(row.title, _TITLE) + failed,
        phases(row),
    )


def _totals(timeline: Timeline) -> str:
    rows = [(WORDS[name], moment(seconds)) for name, seconds in _largest(timeline.totals.items())]
    if not rows:
        return ""
    head = "\nin all, of steps that may have been worked on at once\n"
    return head + table(rows, right=frozenset({1}), indent="    ")


def _largest(items: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(items, key=lambda item: -item[1])
