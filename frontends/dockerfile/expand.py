r"""Variables, quotes and escapes of one word, as a Dockerfile has them: near to a shell, but not one.

    $name ${name}          the value, nothing if there is none
    ${name:-w} ${name-w}   `w` if there is no value (`:`, here and below: or an empty one)
    ${name:+w} ${name+w}   `w` if there is a value
    ${name:?w} ${name?w}   an error that says `w` if there is no value
    ${name#p} ${name##p}   without the shortest, longest beginning that matches; `%` and `%%` for the end
    ${name/p/w} ${name//p/w}   with the first match, or all of them, replaced

A word `w` or a pattern `p` is expanded itself. Nothing but the variables given is looked at: special parameters are
names like others, so `$$` is the value of a variable `$`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.source import visible
from frontends.dockerfile.shellpattern import PatternError, replaced, without_prefix, without_suffix
from frontends.dockerfile.words import SPACES

LIMIT = 1 << 20
"""The characters that a result may have."""
_TAKEN = 16 * LIMIT
_DEPTH = 50

_ORDINARY = re.compile("[^$'\"\\\\`\ufeff]*")
_SPECIAL_NAMES = frozenset("@*#?-$!")
_OPERATORS = frozenset("-+?#%")
_GAP = re.compile(f"[{SPACES}]+")
_NONE: frozenset[str] = frozenset()

Piece = tuple[str, bool]
"""Text, and whether it is quoted: white space in it parts no words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A word expanded. `used` are the variables that were looked up and are set; `unset` those that are not, those
    with a default included."""

    text: str
    used: frozenset[str] = _NONE
    unset: frozenset[str] = _NONE


class ExpandError(Exception):
    """A word can't be expanded; `offset` is where in the word."""

    def __init__(self, message: str, *, hint: str | None = None, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


def expand(
    word: str, env: Mapping[str, str], *, escape: str = "\\", quotes: Literal["strip", "keep"] = "strip"
) -> Expansion:
    """Expand a word. With `keep` quotes are characters like others: the text of a here-document.

    Raises `ExpandError`.
    """
    if _ORDINARY.fullmatch(word):
        return Expansion(text=word)
    reader = _Reader(word, env, escape, quotes == "strip")
    return reader.expansion(reader.read())


def expand_words(word: str, env: Mapping[str, str], *, escape: str = "\\") -> tuple[tuple[str, ...], Expansion]:
    """Expand a text and part what comes out at white space that is not quoted. An empty word is none, quoted or not.

    Raises `ExpandError`.
    """
    reader = _Reader(word, env, escape, True)
    pieces = reader.read()
    return tuple(_parted(pieces)), reader.expansion(pieces)


def unquote(word: str, *, escape: str = "\\") -> str:
    """Take quotes and escapes away, and expand nothing: a `$` is a character like others. Raises `ExpandError`."""
    return _joined(_Reader(word, None, escape, True).read())


def _joined(pieces: list[Piece]) -> str:
    return "".join(text for text, _ in pieces)


def _parted(pieces: list[Piece]) -> list[str]:
    words = [""]
    for text, quoted in pieces:
        first, *others = [text] if quoted else _GAP.split(text)
        words[-1] += first
        words += others
    return [word for word in words if word]


@lru_cache(maxsize=64)
def _run(stops: str) -> re.Pattern[str]:
    return re.compile(f"[^{re.escape(stops)}]*")


class _Reader:
    """Reads one word from left to right. Without an `env`, `$` means nothing."""

    def __init__(self, word: str, env: Mapping[str, str] | None, escape: str, strip: bool) -> None:
        # The reference takes a byte order mark at the start of any word for no part of it.
        self._offset = word.startswith("\ufeff")
        self._text = word[self._offset :]
        self._place = 0
        self._env = env
        self._escape = escape
        self._strip = strip
        self._ends = f"${escape}" + "'\"" * strip
        self._used: set[str] = set()
        self._unset: set[str] = set()
        self._taken = 0
        self._depth = 0

    def read(self) -> list[Piece]:
        """The whole word."""
        return self._pieces("", raw=False) or []

    def expansion(self, pieces: list[Piece]) -> Expansion:
        """What was read, as a value."""
        text = _joined(pieces)
        self._measure(len(text), 0)
        return Expansion(text=text, used=frozenset(self._used), unset=frozenset(self._unset))

    def _pieces(self, stop: str, *, raw: bool) -> list[Piece] | None:
        """What stands before the character `stop`, None if it is not there; or before the end, if `stop` is empty.

        With `raw`, escapes are kept beside what they escape.
        """
        pieces: list[Piece] = []
        while char := self._peek():
            if char == stop:
                self._place += 1
                return pieces
            pieces.append(self._piece(char, stop, raw))
        return None if stop else pieces

    def _piece(self, char: str, stop: str, raw: bool) -> Piece:
        if char == "$":
            return self._dollar(), False
        if char == self._escape:
            return self._escaped(raw), True
        if char == "'" and self._strip:
            return self._single(), True
        if char == '"' and self._strip:
            return self._double(raw), True
        return self._ordinary(self._ends + stop), False

    def _ordinary(self, ends: str) -> str:
        start = self._place
        found = _run(ends).match(self._text, start)
        self._place = found.end() if found else start
        return self._text[start : self._place]

    def _escaped(self, raw: bool) -> str:
        char = self._text[self._place + 1 : self._place + 2]
        self._place += 2
        return self._escape * raw + char

    def _single(self) -> str:
        start = self._place + 1
        end = self._text.find("'", start)
        if end < 0:
            raise self._error("a single quote opens here and nothing closes it", start - 1, hint="add a ' at the end")
        self._place = end + 1
        return self._text[start:end]

    def _double(self, raw: bool) -> str:
        start = self._place
        self._place += 1
        found: list[str] = []
        while char := self._peek():
            if char == '"':
                self._place += 1
                return "".join(found)
            if char == "$":
                found.append(self._dollar())
            elif char == self._escape:
                found.append(self._escaped_in_double(raw))
            else:
                found.append(self._ordinary(f'$"{self._escape}'))
        raise self._error("a double quote opens here and nothing closes it", start, hint='add a " at the end')

    def _escaped_in_double(self, raw: bool) -> str:
        """Inside double quotes an escape character before another character than these stands for itself."""
        kept = self._escape * raw
        self._place += 1
        char = self._peek()
        if char not in {'"', "$", self._escape}:
            return kept + self._escape
        self._place += 1
        return kept + char

    def _dollar(self) -> str:
        start = self._place
        self._place += 1
        if self._env is None:
            return "$"
        if self._peek() == "{":
            self._place += 1
            return self._braced(start)
        name = self._name()
        return self._value(name, start) or "" if name else "$"

    def _braced(self, start: int) -> str:
        """The rest of `${…}`."""
        if self._peek() in {"{", "}", ":"}:
            raise self._error("there is no name in ${ }", start, hint="write ${NAME}")
        name = self._name()
        operator = self._take(start)
        if operator == "}":
            return self._value(name, start) or ""
        if operator == "/":
            return self._replacement(name, start)
        strict = operator == ":"
        if strict:
            operator = self._take(start)
        if operator not in _OPERATORS:
            raise self._error(
                f"${{{name}{':' * strict}{operator} is no way to use a variable",
                start,
                hint="write ${x}, or one of - + ? with or without a colon before it, # ## % %% / // behind the name",
            )
        word = self._inner("}", start, raw=operator in "#%")
        value = self._value(name, start)
        if operator in "#%":
            return self._trimmed(value or "", operator, word, start)
        return self._chosen(name, None if strict and not value else value, operator, word, start)

    def _chosen(self, name: str, value: str | None, operator: str, word: str, start: int) -> str:
        if operator == "+":
            return "" if value is None else word
        if value is not None:
            return value
        if operator == "-":
            return word
        reason = "empty" if name in self._used else "not set"
        raise self._error(
            f"{name}: {word}" if word else f"{name} is {reason}",
            start,
            hint=f"give {name} a value: it is {reason}, and ${{{name}?…}} asks for one",
        )

    def _trimmed(self, value: str, operator: str, pattern: str, start: int) -> str:
        longest = pattern.startswith(operator)
        trim = without_prefix if operator == "#" else without_suffix
        try:
            return trim(value, pattern[longest:], longest=longest)
        except PatternError as error:
            raise self._error(error.message, start, hint=error.hint) from error

    def _replacement(self, name: str, start: int) -> str:
        everywhere = self._peek() == "/"
        self._place += everywhere
        pattern = self._inner("/", start, raw=True)
        replacement = self._inner("}", start, raw=True)
        value = self._value(name, start) or ""
        try:
            return replaced(value, pattern, replacement, everywhere=everywhere, limit=LIMIT)
        except PatternError as error:
            raise self._error(error.message, start, hint=error.hint) from error

    def _inner(self, stop: str, start: int, *, raw: bool) -> str:
        """A word inside `${…}`, up to `stop`."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._error(f"variables are nested more than {_DEPTH} deep", start, hint="use an ARG in between")
        pieces = self._pieces(stop, raw=raw)
        if pieces is None:
            raise self._unclosed(stop, start)
        self._depth -= 1
        text = _joined(pieces)
        self._measure(len(text), start)
        return text

    def _value(self, name: str, start: int) -> str | None:
        value = (self._env or {}).get(name)
        if value is None:
            self._unset.add(name)
            return None
        self._used.add(name)
        self._taken += len(value)
        if self._taken > _TAKEN:
            raise self._error("the variables of this word hold too much", start, hint="use fewer of them in one word")
        return value

    def _name(self) -> str:
        """A name, digits, or one special character; empty where there is none of them."""
        start = self._place
        first = self._peek()
        if first in _SPECIAL_NAMES:
            self._place += 1
        elif first.isdecimal():
            while self._peek().isdecimal():
                self._place += 1
        else:
            while (char := self._peek()) and (char == "_" or char.isalpha() or char.isdecimal()):
                self._place += 1
        return self._text[start : self._place]

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self, start: int) -> str:
        char = self._peek()
        if not char:
            raise self._unclosed("}", start)
        self._place += 1
        return char

    def _measure(self, length: int, start: int) -> None:
        if length > LIMIT:
            raise self._error(f"the result is longer than {LIMIT} characters", start, hint="use smaller values")

    def _unclosed(self, stop: str, start: int) -> ExpandError:
        if stop == "}":
            return self._error("${ opens here and no } closes it", start, hint="write ${name}")
        hint = "write ${name/pattern/replacement}, or ${name/pattern/} to take something away"
        return self._error("there is no second / in ${name/", start, hint=hint)

    def _error(self, message: str, place: int, *, hint: str) -> ExpandError:
        return ExpandError(visible(message), hint=hint and visible(hint), offset=place + self._offset)
