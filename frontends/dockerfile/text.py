"""Where in a Dockerfile something stands: physical lines, the logical lines made of them, and parts of those."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Span
from frontends.dockerfile.syntax import Word
from frontends.dockerfile.words import SPACES

MAX_CHARACTERS = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A text without its byte order mark, and the name that spans give it.

    With a `place` every span is that one: the text was not written in the file, but comes from a base image.
    """

    file: str
    text: str
    line_starts: Sequence[int] = field(repr=False)
    place: Span | None = None

    @classmethod
    def of(cls, text: str, file: str, place: Span | None = None) -> Source:
        """Take a text as it was read; line ends stay what they are."""
        text = text.removeprefix("\ufeff")
        starts, offset = [0], text.find("\n")
        while offset >= 0:
            starts.append(offset + 1)
            offset = text.find("\n", offset + 1)
        if starts[-1] == len(text):
            starts.pop()
        return cls(file=file, text=text, line_starts=starts, place=place)

    def __len__(self) -> int:
        """The number of physical lines; what stands behind the last line end is none if it is empty."""
        return len(self.line_starts)

    def raw(self, number: int) -> str:
        """A physical line, counted from 0, with its line end."""
        end = self.line_starts[number + 1] if number + 1 < len(self) else len(self.text)
        return self.text[self.line_starts[number] : end]

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` up to, not including, `end`."""
        if self.place is not None:
            return self.place
        line, column = self._position(start)
        last = self.line_starts[line] if line < len(self.line_starts) else len(self.text) + 1
        if end < last:
            return Span(self.file, line, column, line, column + end - start)
        return Span(self.file, line, column, *self._position(end))

    def end(self, head: Span, end: int) -> tuple[int, int]:
        """Line and column of the offset where what began at `head` ends."""
        return (head.end_line, head.end_column) if self.place is not None else self._position(end)

    def line_span(self, number: int) -> Span:
        """The span of what is written on a physical line, counted from 0."""
        start, raw = self.line_starts[number], self.raw(number)
        text = raw.strip(SPACES)
        first = start + (len(raw) - len(raw.lstrip(SPACES)) if text else 0)
        return self.span(first, first + len(text))

    def _position(self, offset: int) -> tuple[int, int]:
        line = max(bisect.bisect_right(self.line_starts, offset), 1)
        return line, offset - (self.line_starts[line - 1] if self.line_starts else 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A logical line: physical lines joined where one ends in the escape character.

    `text[starts[i]]` is the character at `offsets[i]` of the source, and so on up to the next of them.
    """

    source: Source
    text: str
    starts: Sequence[int]
    offsets: Sequence[int]

    def span(self, start: int, end: int) -> Span:
        """The span of a range of the text."""
        first = self._offset(start)
        return self.source.span(first, self._offset(end - 1) + 1 if end > start else first)

    def _offset(self, at: int) -> int:
        if len(self.starts) == 1:
            return self.offsets[0] + at
        number = bisect.bisect_right(self.starts, at) - 1
        return self.offsets[number] + at - self.starts[number]

    @property
    def whole(self) -> Part:
        """All of it."""
        return Part(self, 0, len(self.text))


class Part(NamedTuple):
    """A range of a logical line. A tuple, because every line makes dozens of them."""

    line: Line
    start: int
    end: int

    @property
    def text(self) -> str:
        """What is written there."""
        return self.line.text[self.start : self.end]

    @property
    def span(self) -> Span:
        """Where it is written."""
        return self.line.span(self.start, self.end)

    @property
    def word(self) -> Word:
        """It as a word."""
        return Word(text=self.text, span=self.span)

    def part(self, start: int, end: int) -> Part:
        """A range of it."""
        return Part(self.line, self.start + start, self.start + end)

    def stripped(self) -> Part:
        """It without white space at its ends."""
        text = self.text
        start = len(text) - len(text.lstrip(SPACES))
        return self.part(start, max(start, len(text.rstrip(SPACES))))
