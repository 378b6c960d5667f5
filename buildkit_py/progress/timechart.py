"""A timeline as an SVG drawing that needs nothing else: a bar for each step, in the colours of its phases.

Light or dark as the reader's system is. Sizes are pixels; text is set in a fixed-width font, so that widths are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from buildkit_py.graph.title import clip
from buildkit_py.progress.timeline import WORDS
from buildkit_py.progress.timetable import FAILED, moment, phases

if TYPE_CHECKING:
    from buildkit_py.progress.timeline import Row, Timeline

_CHARACTER = 7.3
_ROW = 22
_BAR = 14
_HEAD = 98
_LEGEND = 6
_MARGIN = 20
_LABEL = 46
_CHART = 900
_TICKS = 8
_COLOURS = {
    "wait": "#cbd5e1", "look": "#94a3b8", "hash": "#a855f7", "transfer": "#0ea5e9", "unpack": "#14b8a6",
    "prepare": "#eab308", "run": "#f97316", "compress": "#ec4899", "write": "#22c55e", "compile": "#6366f1",
    "assemble": "#84cc16",
}  # fmt: skip
_STYLE = """\
  text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #0f172a; }
  .page { fill: #ffffff; } .grid { stroke: #e2e8f0; } .dim { fill: #64748b; } .head { font-weight: bold; }
  .critical text { font-weight: bold; } .critical .frame { stroke: #dc2626; stroke-width: 1.5; fill: none; }
  .frame { stroke: none; fill: none; } .wait { opacity: 0.6; } .failed text { fill: #dc2626; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e2e8f0; } .page { fill: #0f172a; } .grid { stroke: #334155; } .dim { fill: #94a3b8; }
    .critical .frame { stroke: #f87171; } .wait { opacity: 0.35; }
    .failed text { fill: #f87171; }
  }"""


def render(timeline: Timeline) -> str:
    """The drawing, as a whole document."""
    left = _MARGIN + round(_LABEL * _CHARACTER)
    width, height = left + _CHART + 90, _HEAD + _ROW * len(timeline.rows) + _MARGIN
    scale = _CHART / timeline.seconds if timeline.seconds else 0.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{escape(_headline(timeline))}</title>",
        f"<style>\n{_STYLE}\n{_colours()}\n</style>",
        '<rect class="page" width="100%" height="100%"/>',
        _text(_MARGIN, 24, _headline(timeline), "head"),
        *_legend(timeline),
        *_grid(timeline.seconds, scale, left, height),
        *(line for number, row in enumerate(timeline.rows) for line in _bar(row, number, scale, left)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _headline(timeline: Timeline) -> str:
    return (
        f"build {timeline.build} ({timeline.outcome}): {moment(timeline.seconds)}, "
        f"{moment(timeline.critical)} on the critical path"
    )


def _colours() -> str:
    return "\n".join(f"  .{name} {{ fill: {colour}; }}" for name, colour in _COLOURS.items())


def _legend(timeline: Timeline) -> Iterator[str]:
    for number, (name, seconds) in enumerate(timeline.totals.items()):
        x, y = _MARGIN + number % _LEGEND * 190, 36 + number // _LEGEND * 18
        yield f'<rect class="{name}" x="{x}" y="{y}" width="10" height="10" rx="2"/>'
        yield _text(x + 15, y + 9, f"{WORDS[name]} {moment(seconds)}", "dim")


def _grid(seconds: float, scale: float, left: int, height: int) -> Iterator[str]:
    """Lines at round times."""
    step = round_step(seconds / _TICKS)
    for number in range(int(seconds / step) + 1 if seconds else 0):
        x = left + number * step * scale
        yield f'<path class="grid" d="M{x:.1f} {_HEAD - 8}V{height - _MARGIN}"/>'
        yield _text(x + 3, _HEAD - 10, moment(number * step), "dim")


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, … (of any power of ten) that is not below `least`; a millisecond at the least."""
    step, factors = 0.001, (2.0, 2.5, 2.0)
    turn = 0
    while step < least:
        step *= factors[turn % 3]
        turn += 1
    return step


def _bar(row: Row, number: int, scale: float, left: int) -> Iterator[str]:
    y = _HEAD + number * _ROW
    begin, end = left + row.phases[0].begin * scale, left + row.end * scale
    marks = [name for name, is_so in (("critical", row.critical), ("failed", row.outcome in FAILED)) if is_so]
    marked = f' class="{" ".join(marks)}"' if marks else ""
    yield f"<g{marked}><title>{escape(_tooltip(row))}</title>"
    label = f"#{row.number} {row.title}" if row.number else row.title
    yield _text(_MARGIN, y + _BAR - 2, clip(label, _LABEL - 2), "")
    for phase in row.phases:
        x, width = left + phase.begin * scale, max(0.5, (phase.end - phase.begin) * scale)
        yield f'<rect class="{phase.name}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
    worked = left + row.begin * scale
    yield f'<rect class="frame" x="{worked:.1f}" y="{y}" width="{max(1.0, end - worked):.1f}" height="{_BAR}"/>'
    failed = f" {row.outcome}" if row.outcome in FAILED else ""
    yield _text(max(begin, end) + 5, y + _BAR - 2, moment(row.took) + failed, "" if failed else "dim")
    yield "</g>"


def _tooltip(row: Row) -> str:
    lines = [row.title, row.at, f"from {moment(row.begin)} to {moment(row.end)}", phases(row)]
    if row.critical:
        lines.append("on the critical path")
    return "\n".join(line for line in lines if line)


def _text(x: float, y: float, text: str, style: str) -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'
