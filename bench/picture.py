"""The table as a picture: a bar for each row, the ratio of pybuild to the best peer, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from bench.results import Line

_LEFT, _WIDTH, _ROW, _TOP = 150, 560, 22, 46
_LOW, _HIGH = 0.02, 2.0
_STYLE = """text{font:12px sans-serif;fill:#333}.s{fill:#777}line{stroke:#ccc}.one{stroke:#333}
.met{fill:#3a7d44}.slow{fill:#c0392b}.none{fill:#888}.t{stroke:#e08e0b;stroke-width:3}
@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#999}line{stroke:#444}.one{stroke:#ddd}}"""


def draw(lines: Sequence[Line]) -> str:
    """An SVG document."""
    shown = [line for line in lines if line.ratio is not None]
    height = _TOP + _ROW * len(shown) + 16
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 70} {height}" role="img">'
    title = "<title>Time of pybuild as a part of the best peer's; the mark is the target</title>"
    return "\n".join((head, title, f"<style>{_STYLE}</style>", *_scale(height), *_bars(shown), "</svg>")) + "\n"


def _x(ratio: float) -> float:
    part = math.log(min(max(ratio, _LOW), _HIGH) / _LOW) / math.log(_HIGH / _LOW)
    return _LEFT + part * _WIDTH


def _scale(height: int) -> Iterator[str]:
    yield f'<text x="{_LEFT}" y="16">time of pybuild / best peer (mark: target)</text>'
    for ratio in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
        kind = ' class="one"' if ratio == 1.0 else ""
        yield f'<line{kind} x1="{_x(ratio):.1f}" x2="{_x(ratio):.1f}" y1="{_TOP - 8}" y2="{height - 12}"/>'
        yield f'<text class="s" x="{_x(ratio):.1f}" y="{_TOP - 12}" text-anchor="middle">{ratio:g}</text>'


def _bars(lines: Sequence[Line]) -> Iterator[str]:
    for number, line in enumerate(lines):
        ratio, y = line.ratio or 0.0, _TOP + number * _ROW
        kind = {None: "none", True: "met", False: "slow"}[line.met]
        yield f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(line.case.name)}</text>'
        yield f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{_x(ratio) - _LEFT:.1f}" height="{_ROW - 8}"/>'
        yield f'<text x="{_x(ratio) + 6:.1f}" y="{y + 14}">{ratio:.2f}</text>'
        if line.case.target is not None:
            at = _x(line.case.target)
            yield f'<line class="t" x1="{at:.1f}" x2="{at:.1f}" y1="{y + 1}" y2="{y + _ROW - 3}"/>'
