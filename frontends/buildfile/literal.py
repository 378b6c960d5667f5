"""String literals and bare words: escapes, `${…}`, and the `$name` that is probably a slip."""

from __future__ import annotations

import re
from collections.abc import Callable

from frontends.buildfile.mask import expression_end
from frontends.buildfile.syntax import Expression, Text, Word
from frontends.buildfile.text import SourceText, dedent, fault

ParseExpression = Callable[[int, int], Expression]

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "$": "$"}
_PIECE = re.compile(r"(?P<escape>\\.)|(?P<open>\$\{)|(?P<dollar>\$[A-Za-z_][A-Za-z0-9_]*)|(?P<plain>[^\\$]+|.)", re.S)


def read_text(source: SourceText, start: int, end: int, parse: ParseExpression) -> Text:
    """The language string at `start` up to `end`; `parse` reads the expression between two offsets.

    Raises `SourceError` for an unknown escape or a wrong expression.
    """
    bare = source.text[start] != '"'
    triple = not bare and source.text.startswith('"""', start) and end - start >= 6
    quotes = 0 if bare else 3 if triple else 1
    reader = _Reader(source, bare, parse)
    parts = reader.read(start + quotes, end - quotes)
    if triple:
        parts = _block(parts)
    return Text(parts=parts, span=source.span(start, end), bare=bare, dollars=tuple(reader.dollars))


class _Reader:
    def __init__(self, source: SourceText, bare: bool, parse: ParseExpression) -> None:
        self.source = source
        self.bare = bare
        self.parse = parse
        self.dollars: list[Word] = []

    def read(self, at: int, end: int) -> tuple[str | Expression, ...]:
        parts: list[str | Expression] = []
        text = self.source.text
        while at < end and (match := _PIECE.match(text, at, end)):
            piece, kind = match.group(), match.lastgroup
            at = match.end()
            if kind == "open":
                stop = expression_end(text, at, end) or end
                parts.append(self.parse(at, stop - 1))
                at = stop
                continue
            if kind == "dollar":
                self.dollars.append(Word(text=piece[1:], span=self.source.span(match.start(), at)))
            if kind == "escape" and not self.bare:
                piece = self.escape(piece, match.start())
            if parts and isinstance(parts[-1], str):
                parts[-1] += piece
            else:
                parts.append(piece)
        return tuple(parts)

    def escape(self, piece: str, at: int) -> str:
        if piece[1] not in _ESCAPES:
            raise fault(
                f"there is no escape `{piece}`" if piece[1] != "\n" else "a string can't be continued by `\\`",
                self.source.span(at, at + 2),
                hint='a string has the escapes \\n \\t \\r \\\\ \\" and \\$; write `\\\\` for a backslash',
            )
        return _ESCAPES[piece[1]]


def _block(parts: tuple[str | Expression, ...]) -> tuple[str | Expression, ...]:
    """A `\"\"\"` text: without the line end after the opening quotes, dedented; an expression counts as ink."""
    marks = "".join(part if isinstance(part, str) else "\0" for part in parts)
    head, newline, rest = marks.partition("\n")
    marks = rest if newline and not head.strip(" \t") else marks
    lines = marks.split("\n")
    closing = lines[-1]
    text = dedent(marks) if closing.strip(" \t") else dedent("\n".join(lines[:-1])) + "\n" if len(lines) > 1 else ""
    expressions = [part for part in parts if not isinstance(part, str)]
    pieces = text.split("\0")
    made: list[str | Expression] = [pieces[0]]
    for expression, piece in zip(expressions, pieces[1:], strict=True):
        made += [expression, piece]
    return tuple(part for part in made if part != "")
