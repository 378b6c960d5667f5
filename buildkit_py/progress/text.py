"""Numbers and foreign text as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from buildkit_py.amounts import size as size

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS and the like, up to their terminator
    r"|\x1b[ -/]*[0-~]"  # two-byte escapes
)


def clean(line: str) -> str:
    """One line of a program's output without anything that a terminal would obey.

    What was overwritten by a carriage return is dropped; a tab is kept; other control characters become `\\ufffd`.
    """
    if line.isprintable():
        return line
    line = _ESCAPES.sub("", line.rstrip("\r"))
    line = line.rpartition("\r")[2]
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)


def reason(title: str, error: str) -> str:
    """What an error says beside the title of its step, which it begins with as a rule."""
    rest = error.removeprefix(title)
    return rest.removeprefix(":").lstrip() or error if rest != error else error


def duration(seconds: float) -> str:
    """`0.0 s`, `12.3 s`, `2 min 03 s`, `1 h 02 min`."""
    if seconds < 59.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def count(number: int, noun: str) -> str:
    """`1 step`, `3 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_digest(digest: str) -> str:
    """`sha256:` and the first 12 digits."""
    algorithm, _, hexadecimal = digest.partition(":")
    return f"{algorithm}:{hexadecimal[:12]}"


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: str = "") -> str:
    """Rows as aligned columns two spaces apart; the columns of `right` are flush right. Ends with a line end."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{indent}{'  '.join(cells)}".rstrip())
    return "\n".join(lines) + "\n"
