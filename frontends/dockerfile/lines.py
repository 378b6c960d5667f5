"""Physical lines to logical ones, each with the comments above it and the here-documents below it.

A line that ends in the escape character goes on in the next; white space may stand behind that character, another one
before it may not. Comment lines in between are dropped, and so are blank ones, which is worth a warning. Which
instruction it is matters here for one thing: only some of them may open here-documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildkit_py.dataclass import dataclass
from buildkit_py.source import Diagnostic, Span
from frontends.dockerfile.directives import Directives
from frontends.dockerfile.flags import Command, split_command
from frontends.dockerfile.forms import is_list
from frontends.dockerfile.heredoc import Opening, almost_ends, ends, openings, without_tabs
from frontends.dockerfile.syntax import Heredoc
from frontends.dockerfile.text import Line, Source
from frontends.dockerfile.words import SPACES

_LOOKS = re.compile(r"(?<!<)<<(?!<)")
_OPENERS = frozenset({"run", "copy", "add"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Logical:
    """One instruction as text. `end` is the offset in the source where it ends, here-documents included. `is_lost` says
    that the instruction above looks as if it opens a here-document, and opens none."""

    line: Line
    command: Command
    comments: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    end: int
    warning: Diagnostic | None = None
    fault: Diagnostic | None = None
    is_lost: bool = False


class Lines:
    """Reads a source from top to bottom."""

    def __init__(self, source: Source, directives: Directives) -> None:
        self._source = source
        self._escape = directives.escape
        self._directives = directives.lines
        self._at = 0
        self._is_lost = False

    def read(self) -> Iterator[Logical]:
        """The instructions in order."""
        comments: list[str] = []
        while self._at < len(self._source):
            number = self._at
            raw = self._source.raw(number)
            text = raw.lstrip(SPACES)
            if text.startswith("#"):
                self._at += 1
                if number not in self._directives:
                    _note(comments, raw)
            elif text:
                yield self._instruction(comments)
                comments.clear()
            else:
                self._at += 1

    def _instruction(self, comments: list[str]) -> Logical:
        line, has_blank = self._line()
        last = self._at - 1
        command = split_command(line.whole)
        heredocs, fault = self._heredocs(line, command)
        final = self._source.raw(self._at - 1)
        is_lost, self._is_lost = self._is_lost, bool(_LOOKS.search(line.text)) and not heredocs
        warning = _blank(command, self._source.line_span(last)) if has_blank else None
        return Logical(
            line=line,
            command=command,
            comments=tuple(comments),
            heredocs=heredocs,
            end=self._source.line_starts[self._at - 1] + len(final.rstrip(SPACES)),
            warning=warning,
            fault=fault,
            is_lost=is_lost,
        )

    def _line(self) -> tuple[Line, bool]:
        """The logical line that begins here, and whether blank lines stand in it."""
        pieces: list[str] = []
        offsets: list[int] = []
        has_blank, goes_on = False, True
        while goes_on and self._at < len(self._source):
            raw = self._source.raw(self._at).rstrip("\r\n")
            text = raw if offsets else raw.lstrip(SPACES)
            offset = self._source.line_starts[self._at] + len(raw) - len(text)
            self._at += 1
            written = text.lstrip(SPACES)
            if offsets and not written:
                has_blank = True
            elif not written.startswith("#"):
                text, goes_on = self._continued(text)
                pieces.append(text)
                offsets.append(offset)
        return _joined(self._source, pieces, offsets), has_blank

    def _continued(self, text: str) -> tuple[str, bool]:
        """A physical line without the escape character at its end, and whether there was one."""
        return (text.rstrip(" \t")[:-1], True) if joins(text, self._escape) else (text, False)

    def _heredocs(self, line: Line, command: Command) -> tuple[tuple[Heredoc, ...], Diagnostic | None]:
        if "<<" not in line.text or not _may_open(command):
            return (), None
        found: list[Heredoc] = []
        for opened, part in openings(line):
            start = self._at
            if not self._skip_to_end(opened):
                return tuple(found), self._unended(opened, part.span, start)
            found.append(self._heredoc(opened, part.span, start))
        return tuple(found), None

    def _skip_to_end(self, opened: Opening) -> bool:
        while self._at < len(self._source):
            self._at += 1
            if ends(self._source.raw(self._at - 1), opened):
                return True
        return False

    def _heredoc(self, opened: Opening, span: Span, first: int) -> Heredoc:
        """The here-document whose body begins on a line, and whose end was just read."""
        starts = self._source.line_starts
        raw = self._source.text[starts[first] : starts[self._at - 1]]
        return Heredoc(
            name=opened.name,
            text=without_tabs(raw) if opened.chomp else raw,
            raw=raw,
            expand=opened.expand,
            chomp=opened.chomp,
            span=span,
        )

    def _unended(self, opened: Opening, span: Span, first: int) -> Diagnostic:
        lines = range(first, len(self._source))
        near = next((number for number in lines if almost_ends(self._source.raw(number), opened)), None)
        notes = () if near is None else (("this line has more than the name", self._source.line_span(near)),)
        return Diagnostic(
            message=f"the here-document {opened.name} does not end",
            span=span,
            hint=f"write a line below that is {opened.name} and nothing else, without white space around it",
            notes=notes,
        )


def joins(text: str, escape: str) -> bool:
    """Whether a physical line goes on in the next."""
    head = text.rstrip(" \t")
    return head.endswith(escape) and not head[:-1].endswith(escape)


def _note(comments: list[str], raw: str) -> None:
    """Keep a comment; an empty one parts those above it from what follows. Of an indented one the `#` is kept."""
    comment = raw[1:].strip(SPACES)
    if comment:
        comments.append(comment)
    else:
        comments.clear()


def _joined(source: Source, pieces: list[str], offsets: list[int]) -> Line:
    starts, length = [], 0
    for piece in pieces:
        starts.append(length)
        length += len(piece)
    return Line(source=source, text="".join(pieces), starts=starts, offsets=offsets)


def _may_open(command: Command) -> bool:
    """Whether an instruction, or the one behind ONBUILD, may open here-documents."""
    if command.keyword.text.lower() == "onbuild" and command.args.text:
        command = split_command(command.args)
    return command.keyword.text.lower() in _OPENERS and not is_list(command.args.text)


def _blank(command: Command, span: Span) -> Diagnostic:
    return Diagnostic(
        message=f"{command.keyword.text.upper()} has a blank line inside",
        span=span,
        severity="warning",
        hint="take the blank line out, or write a # there",
        rule="NoEmptyContinuation",
    )
