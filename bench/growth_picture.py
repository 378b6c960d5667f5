"""Growth as a picture: one small chart a series, both axes logarithmic, with the line of linear growth beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from bench.growth import Grown

_WIDTH, _HEIGHT, _COLUMNS, _PAD = 300, 210, 3, 44
_STYLE = """text{font:11px sans-serif;fill:#333}.s{fill:#777}path{fill:none}.axis{stroke:#bbb}
.time{stroke:#2467b0;stroke-width:2}
.linear{stroke:#bbb;stroke-dasharray:3 3}circle{fill:#2467b0}
@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#999}.axis,.linear{stroke:#555}
.time{stroke:#6aa9e9}circle{fill:#6aa9e9}}"""


def draw(grown: Sequence[Grown]) -> str:
    """An SVG document."""
    rows = -(-len(grown) // _COLUMNS)
    size = f"0 0 {_COLUMNS * _WIDTH} {rows * _HEIGHT}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img"><style>{_STYLE}</style>'
    places = [(number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT) for number in range(len(grown))]
    charts = [
        f'<g transform="translate({x} {y})">{"".join(_chart(each))}</g>'
        for (x, y), each in zip(places, grown, strict=True)
    ]
    return "\n".join((head, *charts, "</svg>")) + "\n"


def _chart(grown: Grown) -> Iterator[str]:
    low, high = _decades(grown.seconds)
    left, right = math.log10(grown.sizes[0]), math.log10(grown.sizes[-1])

    def x(size: float) -> float:
        return _PAD + (math.log10(size) - left) / (right - left) * (_WIDTH - _PAD - 16)

    def y(seconds: float) -> float:
        return _HEIGHT - 30 - (math.log10(seconds) - low) / (high - low) * (_HEIGHT - 76)

    yield f'<text x="{_PAD}" y="16">{escape(grown.name)}</text>'
    memory = f"{grown.peaks[0] >> 20} to {grown.peaks[-1] >> 20} MiB"
    yield f'<text class="s" x="{_PAD}" y="31">n^{grown.exponents[0]:.2f} in time, {memory}</text>'
    for decade in range(low, high + 1):
        at = y(10.0**decade)
        yield f'<path class="axis" d="M{_PAD} {at:.1f}H{_WIDTH - 12}"/>'
        yield f'<text class="s" x="{_PAD - 4}" y="{at + 4:.1f}" text-anchor="end">{10.0**decade:g} s</text>'
    points = [(x(size), y(value)) for size, value in zip(grown.sizes, grown.seconds, strict=True)]
    slope = y(min(10.0**high, grown.seconds[0] * grown.sizes[-1] / grown.sizes[0]))
    reach = x(min(grown.sizes[-1], grown.sizes[0] * 10.0**high / grown.seconds[0]))
    yield f'<path class="linear" d="M{points[0][0]:.1f} {points[0][1]:.1f}L{reach:.1f} {slope:.1f}"/>'
    yield '<path class="time" d="M' + "L".join(f"{a:.1f} {b:.1f}" for a, b in points) + '"/>'
    yield from (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points)
    yield from (
        f'<text class="s" x="{x(size):.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{_short(size)}</text>'
        for size in (grown.sizes[0], grown.sizes[-1])
    )


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _short(size: int) -> str:
    return f"{size // 1000}k" if size >= 1000 else str(size)
