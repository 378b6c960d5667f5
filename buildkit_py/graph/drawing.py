"""A graph as an SVG drawing: cards from left to right, a curve for each step that uses what another card made.

    column 0            column 1             column 2
    ┌─ stage 1 ─┐       ┌─ stage 2 ─┐        ┌─ image web ─────┐
    │ from …    │   ╭──▶│ copy …    │   ╭───▶│ layer deps      │
    │ run make  ├───╯   │ run …     ├───╯    │   copy … → …    │
    └───────────┘       └───────────┘        └─────────────────┘

A card's column is one more than that of the last card it needs. Sizes are pixels; text is set in a fixed-width font, so
that widths are known without measuring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.graph.groups import Card, Row, cards_of, with_grants
from buildkit_py.graph.title import clip

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition

_CHARACTER = 7.3
_ROW = 22
_HEAD = 32
_HEADING = 26
_PAD = 14
_GAP_X = 90
_GAP_Y = 28
_MARGIN = 24
_TEXT = 64
_NOTE = 30
_KINDS = {"run": "run", "host": "host", "test": "test", "output": "output", "stage": "source"}
_SOURCES = frozenset({"scratch", "image", "local", "http", "git"})
_STYLE = """\
  text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #0f172a; }
  .card { fill: #ffffff; stroke: #cbd5e1; }
  .head { fill: #eef2f7; } .image .head { fill: #dbeafe; }
  .name { font-weight: bold; } .heading { fill: #64748b; font-size: 11px; } .note { fill: #64748b; }
  .rule { stroke: #e2e8f0; } .edge { fill: none; stroke: #94a3b8; stroke-width: 1.5; }
  .run { fill: #c2410c; } .host { fill: #7c3aed; } .file { fill: #2563eb; } .source { fill: #64748b; }
  .test { fill: #15803d; } .output { fill: #0f766e; }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of a card: a heading, or a row; `y` is its middle, from the top of the card."""

    y: int
    heading: str = ""
    row: Row | None = None


@dataclass(slots=True, kw_only=True)
class _Box:
    """A card with its lines laid out, and its place in the drawing."""

    card: Card
    lines: tuple[_Line, ...]
    width: int
    height: int
    column: int = 0
    x: int = 0
    y: int = 0


def svg(definition: Definition) -> str:
    """The drawing, as a whole document that needs nothing else."""
    boxes = [_box(card) for card in cards_of(definition)]
    ends = _ends(boxes)
    _set_columns(boxes, ends)
    _place(boxes, ends)
    width = max((box.x + box.width for box in boxes), default=0) + _MARGIN
    height = max((box.y + box.height for box in boxes), default=0) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>\n{_STYLE}\n</style>",
        '<rect width="100%" height="100%" fill="#f8fafc"/>',
        *_edges(boxes, ends),
        *(part for box in boxes for part in _draw(box)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(card: Card) -> _Box:
    lines: list[_Line] = []
    y = _HEAD + 4
    for section in card.sections:
        if section.heading:
            lines.append(_Line(y=y + _HEADING // 2 + 3, heading=section.heading))
            y += _HEADING
        for row in section.rows:
            lines.append(_Line(y=y + _ROW // 2, row=row))
            y += _ROW
    longest = max((len(text) + len(note) for text, note in map(_texts, card.rows())), default=0)
    characters = max(longest + 3, len(card.name) + 1, *(len(line.heading) for line in lines))
    return _Box(card=card, lines=tuple(lines), width=round(characters * _CHARACTER) + 2 * _PAD, height=y + 8)


def _texts(row: Row) -> tuple[str, str]:
    """What a row says, and what it needs from sources, which have no card of their own."""
    sources = [need.label for need in row.needs if need.vertex is None]
    return clip(row.text, _TEXT), f"  ← {clip(', '.join(sources), _NOTE)}" if sources else ""


def _ends(boxes: Sequence[_Box]) -> dict[str, tuple[_Box, int]]:
    """Where each step is drawn first: its box, and the middle of its line."""
    ends: dict[str, tuple[_Box, int]] = {}
    for box in boxes:
        for line in box.lines:
            if line.row is not None and line.row.vertex is not None:
                ends.setdefault(line.row.vertex, (box, line.y))
    return ends


def _needed(box: _Box, ends: dict[str, tuple[_Box, int]]) -> Iterator[tuple[_Line, _Box, int]]:
    """For each line that uses another card: the line, that card's box, and the middle of the line used there."""
    for line in box.lines:
        for need in line.row.needs if line.row is not None else ():
            if need.vertex is not None and ends[need.vertex][0] is not box:
                yield line, *ends[need.vertex]


def _set_columns(boxes: Sequence[_Box], ends: dict[str, tuple[_Box, int]]) -> None:
    # Cards can need each other though their steps do not (a stage on top of an image that copies from it), so this is
    # bounded: a card moves right at most as often as there are cards.
    for _ in boxes:
        moved = False
        for box in boxes:
            column = max((other.column + 1 for _, other, _ in _needed(box, ends)), default=0)
            if box.column < column < len(boxes):
                box.column, moved = column, True
        if not moved:
            return


def _place(boxes: Sequence[_Box], ends: dict[str, tuple[_Box, int]]) -> None:
    x = _MARGIN
    for column in sorted({box.column for box in boxes}):
        members = [box for box in boxes if box.column == column]
        members.sort(key=lambda box: _pull(box, ends))
        y = _MARGIN
        for box in members:
            box.x, box.y = x, y
            y += box.height + _GAP_Y
        x += max(box.width for box in members) + _GAP_X


def _pull(box: _Box, ends: dict[str, tuple[_Box, int]]) -> float:
    """The mean height of what a card needs in the columns before: cards stand near it, so that few curves cross."""
    heights = [other.y + y for _, other, y in _needed(box, ends) if other.column < box.column]
    return sum(heights) / len(heights) if heights else 0.0


def _edges(boxes: Sequence[_Box], ends: dict[str, tuple[_Box, int]]) -> Iterator[str]:
    for box in boxes:
        for line, other, y in _needed(box, ends):
            x1, y1, x2, y2 = other.x + other.width, other.y + y, box.x, box.y + line.y
            bend = max(40, abs(x2 - x1) // 2)
            yield f'<path class="edge" d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 6} {y2}"/>'
            yield f'<path d="M{x2 - 8} {y2 - 4}L{x2} {y2}L{x2 - 8} {y2 + 4}z" fill="#94a3b8"/>'


def _draw(box: _Box) -> Iterator[str]:
    yield f'<g class="{box.card.kind}" transform="translate({box.x} {box.y})">'
    yield f'<rect class="card" width="{box.width}" height="{box.height}" rx="8"/>'
    right, bottom = box.width - 1, _HEAD
    yield f'<path class="head" d="M1 {bottom}V8a7 7 0 0 1 7-7H{right - 7}a7 7 0 0 1 7 7V{bottom}z"/>'
    yield _text(_PAD, _HEAD // 2 + 4, box.card.name, "name")
    for line in box.lines:
        if line.row is None:
            rule = line.y - _HEADING // 2 - 2
            yield f'<path class="rule" d="M{_PAD} {rule}H{box.width - _PAD}"/>'
            yield _text(_PAD, line.y + 4, line.heading, "heading")
        else:
            yield _draw_row(line.row, line.y)
    yield "</g>"


def _draw_row(row: Row, y: int) -> str:
    text, note = _texts(row)
    whole = "\n".join(filter(None, (row.text, with_grants(row))))
    kind = "source" if row.kind in _SOURCES else _KINDS.get(row.kind, "file")
    shown = f'{escape(text)}<tspan class="note">{escape(note)}</tspan>' if note else escape(text)
    return (
        f'<g><title>{escape(whole)}</title><circle class="{kind}" cx="{_PAD + 4}" cy="{y}" r="4"/>'
        f'<text x="{_PAD + 16}" y="{y + 4}" xml:space="preserve">{shown}</text></g>'
    )


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(text)}</text>'
