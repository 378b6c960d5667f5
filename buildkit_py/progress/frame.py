"""What the live view draws at one moment, as lines of styled text: a pure function of the model, the size and the time.

⠹    2.4 s  run apt-get install build-essential
            │ Unpacking libc6-dev…
            │ Setting up gcc…
⠹    0.8 s  from docker.io/library/python:3.12  ━━━━━━━━━━━━━━━━━━━━  12.3 of 45.1 MB
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  14/30  ran 3, cached 11, 12.4 s
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.graph.title import clip
from buildkit_py.progress.text import clean, count, duration, reason, size

if TYPE_CHECKING:
    from buildkit_py.progress.model import Model, Step

Line = tuple[tuple[str, str], ...]
"""Pieces of one line: (text, style); styles are names that rich knows, empty for none."""

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
MARKS = {"done": ("✓", "green"), "failed": ("✗", "bold red"), "cancelled": ("■", "yellow"), "skipped": ("·", "yellow")}
_MOST_LINES = 5
_BAR = 20
_INDENT = 15
_TITLE = 100


def draw(model: Model, *, now: float, width: int, height: int) -> list[Line]:
    """The live region, at most `height` lines of at most `width` columns; `now` is on the clock of the events."""
    steps = model.running()
    room = max(1, height - 1)
    shown = steps if len(steps) <= room else steps[: max(0, room - 1)]
    lines_each = min(_MOST_LINES, max(0, (room - len(shown)) // max(1, len(shown))))
    lines = [line for step in shown for line in _step(step, now, lines_each)]
    if len(shown) < len(steps):
        lines.append(((" " * _INDENT + f"and {len(steps) - len(shown)} more", "dim"),))
    lines.append(_footer(model, now, width))
    return [fit(line, width) for line in lines][-height:]


def settled(step: Step) -> Line:
    """The line that stays of a step that ended or was skipped."""
    mark, style = MARKS[step.state]
    time = duration(step.seconds) if step.finished is not None else ""
    same = (("  same result as before", "dim"),) if step.same and step.state == "done" else ()
    failed = step.error if step.state == "failed" else None
    error = ((f"  {clean(reason(step.title, failed))}", "red"),) if failed else ()
    return ((f"{mark} ", style), (f"{time:>11}  ", "dim"), (clip(step.title or step.id, _TITLE), ""), *same, *error)


def fit(line: Line, width: int) -> Line:
    """The line, cut to `width` columns, with `…` where something is cut."""
    room = max(1, width)
    if columns("".join(text for text, _ in line)) <= room:
        return line
    room -= 1
    kept: list[tuple[str, str]] = []
    for text, style in line:
        while columns(text) > room:
            text = text[:-1]
            if columns(text) <= room:
                return (*kept, (f"{text}…", style))
        kept.append((text, style))
        room -= columns(text)
    return tuple(kept)


def columns(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def _step(step: Step, now: float, most: int) -> list[Line]:
    elapsed = max(0.0, now - (step.started or 0.0))
    spinner = SPINNER[int(now * 10) % len(SPINNER)]
    head: Line = ((f"{spinner} ", "cyan"), (f"{duration(elapsed):>11}  ", "dim"), (step.title, "bold"))
    if step.done or step.total:
        head = (*head, ("  ", ""), *_transfer(step.done, step.total))
    tail = list(step.tail)[-most:] if most else []
    return [head, *(((" " * _INDENT + "│ ", "dim"), (line.expandtabs(4), "dim")) for line in tail)]


def _transfer(done: int, total: int | None) -> Line:
    if not total:
        return ((size(done), "cyan"),)
    return (*bar(done, total, _BAR), (f"  {size(done)} of {size(total)}", "dim"))


def bar(done: int, total: int, width: int) -> Line:
    """A bar of exactly `width` columns."""
    filled = min(width, width * done // total) if total > 0 else 0
    return (("━" * filled, "cyan"), ("─" * (width - filled), "dim"))


def _footer(model: Model, now: float, width: int) -> Line:
    ended = model.in_state("cached", "done", "failed", "cancelled", "skipped")
    cached = sum(1 for step in ended if step.state == "cached" or step.same)
    ran = sum(1 for step in ended if step.state == "done" and not step.same)
    total = max(model.total, len(model.steps))
    text = f"  {len(ended)}/{total}  ran {ran}, cached {cached}, {duration(now)}"
    return (*bar(len(ended), total, max(0, min(40, width - len(text)))), (text, "dim"))


def cached_line(number: int) -> Line:
    """The one line that stays of all cached steps."""
    return (("· ", "dim"), (" " * 13, ""), (f"{count(number, 'step')} cached", "dim"))


def note_line(text: str, *, warning: bool) -> Line:
    """The line that stays of a note."""
    style = "yellow" if warning else "blue"
    return (("! " if warning else "· ", style), (" " * 13, ""), (clip(text, 400), style if warning else ""))
