"""Here-documents: which words of a logical line open one, and the lines below it that are its body.

The words are those of a shell, more or less: parted by white space that is neither quoted nor escaped, where a `<<`
takes the white space behind it along. A line that can't be parted so opens none. The escape character is a backslash
here, whatever the file says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from buildkit_py.dataclass import dataclass
from frontends.dockerfile.text import Line, Part
from frontends.dockerfile.words import SPACES

_OPENING = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_TABS = re.compile(r"^\t+", re.MULTILINE)
_ORDINARY = re.compile(rf"[^{SPACES}'\"\\$<]+")
_IN_DOUBLE = re.compile(r'[^"$\\]+')
_GAP = re.compile(f"[{SPACES}]+")
_NAME = re.compile(r"[0-9]+|[@*#?\-$!]|\w+")
_ESCAPE = "\\"
_DEPTH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A word that opens a here-document; `expand` is false where a part of the name is quoted."""

    name: str
    expand: bool
    chomp: bool


class _UnreadableError(Exception):
    """A text can't be parted into words."""


def openings(line: Line) -> tuple[tuple[Opening, Part], ...]:
    """The here-documents that a line opens, in order, each with the word that opens it."""
    if "<<" not in line.text:
        return ()
    try:
        words = _Words(line.text, raw=True).read()
    except _UnreadableError:
        return ()
    found = ((opening(word), line.whole.part(start, end)) for word, start, end in words)
    return tuple((each, part) for each, part in found if each is not None)


def opening(word: str) -> Opening | None:
    """The here-document that one word opens, if it opens one and is nothing else."""
    match = _OPENING.match(word)
    if match is None or not match[3]:
        return None
    try:
        plain = _Words(match[3], raw=False).read()
        quoted = _Words(match[3], raw=False, quotes=True).read()
    except _UnreadableError:
        return None
    if len(plain) != 1 or len(quoted) != 1:
        return None
    name = plain[0][0]
    return Opening(name=name, expand=_quotes(name) == _quotes(quoted[0][0]), chomp=match[2] == "-")


def without_tabs(text: str) -> str:
    """A body without the tabs that its lines begin with."""
    return _TABS.sub("", text)


def ends(raw: str, document: Opening) -> bool:
    """Whether a physical line is the end of a here-document: its name, and nothing else."""
    text = raw.rstrip("\r\n")
    return (text.lstrip("\t") if document.chomp else text) == document.name


def almost_ends(raw: str, document: Opening) -> bool:
    """Whether a physical line was probably meant as the end."""
    return raw.strip(SPACES) == document.name


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


class _Words:
    """Parts a text into words. `raw` keeps quotes and escapes, `quotes` the quotes alone; no variable is set."""

    def __init__(self, text: str, *, raw: bool, quotes: bool = False) -> None:
        self._text = text
        self._escapes = raw
        self._quotes = raw or quotes
        self._place = 0
        self._depth = 0
        self._found: list[tuple[str, int, int]] = []
        self._word: list[str] = []
        self._start = 0

    def read(self) -> Sequence[tuple[str, int, int]]:
        """The words, each with its range in the text; raises `_UnreadableError`."""
        while self._place < len(self._text):
            start = self._place
            char = self._text[start]
            if char in SPACES:
                self._place += 1
                self._end(start)
                continue
            piece = self._piece(char, raw=self._escapes)
            first, *others = _GAP.split(piece) if char == "$" else [piece]
            self._add(first, start)
            for other in others:
                self._end(self._place)
                self._add(other, start)
        self._end(self._place)
        return self._found

    def _add(self, text: str, start: int) -> None:
        if not self._word:
            self._start = start
        self._word.append(text)

    def _end(self, end: int) -> None:
        word = "".join(self._word)
        if word:
            self._found.append((word, self._start, end))
        self._word.clear()

    def _piece(self, char: str, *, raw: bool) -> str:
        if char == "'":
            return self._single()
        if char == '"':
            return self._double(raw=raw)
        if char == "$":
            return self._dollar()
        if char == "<":
            return self._less()
        if char == _ESCAPE:
            self._place += 2
            return _ESCAPE * raw + self._text[self._place - 1 : self._place]
        return self._match(_ORDINARY)

    def _less(self) -> str:
        """`<`, or `<<` with the white space behind it."""
        start = self._place
        self._place += 1
        if self._peek() == "<":
            self._place += 1
            while self._peek() in {" ", "\t", "\r", "\n"}:
                self._place += 1
        return self._text[start : self._place]

    def _single(self) -> str:
        start = self._place
        end = self._text.find("'", start + 1)
        if end < 0:
            raise _UnreadableError
        self._place = end + 1
        return self._text[start : end + 1] if self._quotes else self._text[start + 1 : end]

    def _double(self, *, raw: bool) -> str:
        found = ['"'] if self._quotes else []
        self._place += 1
        while (char := self._peek()) != '"':
            if not char:
                raise _UnreadableError
            if char == "$":
                found.append(self._dollar())
            elif char == _ESCAPE:
                found.append(self._escaped(raw=raw))
            else:
                found.append(self._match(_IN_DOUBLE))
        self._place += 1
        return "".join(found) + '"' * self._quotes

    def _escaped(self, *, raw: bool) -> str:
        """An escape inside double quotes: before another character than these it stands for itself."""
        self._place += 1
        char = self._peek()
        if char not in {'"', "$", _ESCAPE}:
            return _ESCAPE * (1 + raw) if char else _ESCAPE * raw
        self._place += 1
        return _ESCAPE * raw + char

    def _dollar(self) -> str:
        """A variable, as it is written: none is set."""
        self._place += 1
        if self._peek() != "{":
            return "$" + self._match(_NAME)
        self._place += 1
        if self._peek() in {"", "{", "}", ":"}:
            raise _UnreadableError
        name = self._match(_NAME)
        operator = self._take()
        if operator == "}":
            return f"${{{name}}}"
        if operator == "/":
            self._place += self._peek() == "/"
            pattern = self._inner("/", raw=True)
            return f"${{{name}/{pattern}/{self._inner('}', raw=True)}}}"
        strict = operator == ":"
        if strict:
            operator = self._take()
        elif operator not in "+-?#%":
            raise _UnreadableError
        return f"${{{name}{':' * strict}{operator}{self._inner('}', raw=operator in '#%')}}}"

    def _inner(self, stop: str, *, raw: bool) -> str:
        """A word inside `${…}`, up to `stop`."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise _UnreadableError
        found: list[str] = []
        while (char := self._peek()) != stop:
            if not char:
                raise _UnreadableError
            if char in "'\"$<\\":
                found.append(self._piece(char, raw=raw))
            else:
                self._place += 1
                found.append(char)
        self._place += 1
        self._depth -= 1
        return "".join(found)

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._place)
        if match is None:
            return ""
        self._place = match.end()
        return match[0]

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise _UnreadableError
        self._place += 1
        return char
