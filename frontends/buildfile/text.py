"""One build file's text: offsets to spans, and faults as diagnostics."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span

MAX_CHARACTERS = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceText:
    """A normalised text (LF line ends, no byte-order mark) and the name that spans give it."""

    file: str
    text: str
    line_starts: Sequence[int] = field(repr=False)

    @classmethod
    def of(cls, text: str, file: str) -> SourceText:
        """Normalise `text` as it was read."""
        text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        starts = [0, *(offset + 1 for offset, char in enumerate(text) if char == "\n")]
        return cls(file=file, text=text, line_starts=starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect.bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` up to, not including, `end`."""
        line, column = self.position(start)
        end_line, end_column = self.position(max(start, end))
        return Span(self.file, line, column, end_line, end_column)

    def excerpt(self, span: Span) -> str:
        """The text that a span of this file covers."""
        start = self.line_starts[span.line - 1] + span.column - 1
        return self.text[start : self.line_starts[span.end_line - 1] + span.end_column - 1]

    def indent_at(self, offset: int) -> str:
        """The white space that the line holding `offset` begins with."""
        line, _ = self.position(offset)
        start = self.line_starts[line - 1]
        end = start
        while end < len(self.text) and self.text[end] in " \t":
            end += 1
        return self.text[start:end]


def fault(
    message: str,
    span: Span | None,
    *,
    label: str | None = None,
    hint: str | None = None,
    notes: tuple[tuple[str, Span], ...] = (),
) -> SourceError:
    """One diagnostic, ready to be raised."""
    return SourceError([Diagnostic(message=message, span=span, label=label, hint=hint, notes=notes)])


def dedent(text: str) -> str:
    """Take the white space that all lines begin with away; a line of white space alone does not count."""
    lines = text.split("\n")
    written = [line for line in lines if line.strip(" \t")]
    prefix = ""
    if written:
        low, high = min(written), max(written)
        while len(prefix) < len(low) and low[len(prefix)] in " \t" and high.startswith(low[: len(prefix) + 1]):
            prefix = low[: len(prefix) + 1]
    return "\n".join(line[len(prefix) :] if line.startswith(prefix) else "" for line in lines)
