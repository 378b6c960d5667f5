"""An instruction's keyword and flags, and the rest of its line.

A flag begins with `--`; quotes around parts of it are taken away and a backslash takes the next character as it is,
whatever the file's escape character. The first other word, or a `--` alone, ends the flags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Diagnostic
from buildkit_py.suggest import suggest
from frontends.dockerfile.syntax import Flag
from frontends.dockerfile.text import Part
from frontends.dockerfile.words import SPACES

Kind = Literal["bool", "text", "texts"]
"""What a flag takes: `true`, `false` or nothing; a text; a text, and it may repeat."""

_KEYWORD = re.compile(r"[^\t\v\f\r ]+")
_GAP = re.compile(rf"[{SPACES}]*")
_ORDINARY = re.compile(rf"[^{SPACES}'\"\\]+")
_END = "--"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An instruction as it is dealt out. `whole` is all of it, without white space at its ends as `args` is."""

    whole: Part
    keyword: Part
    flags: tuple[Flag, ...]
    args: Part


def split_command(line: Part) -> Command:
    """Part a line into keyword, flags and arguments."""
    body = line.stripped()
    text = body.text
    match = _KEYWORD.match(text)
    end = match.end() if match else 0
    flags, place = _Flags(body, end).read() if _END in text else ([], end)
    args = body.part(place, len(text)).stripped()
    return Command(whole=body, keyword=body.part(0, end), flags=tuple(flags), args=args)


class _Flags:
    """Reads the flags of a line from a place on."""

    def __init__(self, part: Part, place: int) -> None:
        self._part = part
        self._text = part.text
        self._place = place

    def read(self) -> tuple[list[Flag], int]:
        """The flags, and where the arguments begin."""
        found: list[Flag] = []
        while True:
            self._skip(_GAP)
            start = self._place
            if not self._text.startswith(_END, start):
                return found, start
            text, equals = self._word()
            if text == _END:
                return found, self._place
            found.append(self._flag(text, start, equals))

    def _flag(self, text: str, start: int, equals: int | None) -> Flag:
        name, has_value, value = text[len(_END) :].partition("=")
        part = self._part.part(start, self._place)
        if not has_value or equals is None:
            return Flag(name=name, value=None, span=part.span)
        return Flag(name=name, value=value, span=part.span, value_span=self._part.part(equals, self._place).span)

    def _word(self) -> tuple[str, int | None]:
        """One word without its quotes, and where the text behind its first `=` begins."""
        found: list[str] = []
        equals: int | None = None
        quote = ""
        while self._place < len(self._text):
            char = self._text[self._place]
            if char in SPACES and not quote:
                break
            start = self._place
            piece, quote = self._piece(char, quote)
            if equals is None and "=" in piece:
                equals = start + self._text[start : self._place].index("=") + 1
            found.append(piece)
        return "".join(found), equals

    def _piece(self, char: str, quote: str) -> tuple[str, str]:
        """The next characters that mean the same, and the quote that is open behind them."""
        self._place += 1
        if char == quote:
            return "", ""
        if not quote and char in "'\"":
            return "", char
        if char == "\\":
            self._place += 1
            return self._text[self._place - 1 : self._place], quote
        if quote:
            return char, quote
        start = self._place - 1
        self._skip(_ORDINARY)
        return self._text[start : self._place], quote

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._place)
        if match:
            self._place = match.end()


@dataclass(slots=True, kw_only=True)
class Given:
    """The flags of one instruction by name, and what is wrong with them."""

    once: dict[str, Flag] = field(default_factory=dict)
    repeated: dict[str, list[Flag]] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)

    def all(self, name: str) -> tuple[Flag, ...]:
        """The flags of a name that may repeat."""
        return tuple(self.repeated.get(name, ()))


def read_flags(keyword: str, flags: Iterable[Flag], known: Mapping[str, Kind]) -> Given:
    """Look flags up among those that an instruction takes."""
    given = Given()
    for flag in flags:
        found = _fault(keyword, flag, known, given)
        if found is not None:
            given.faults.append(found)
        elif known[flag.name] == "texts":
            given.repeated.setdefault(flag.name, []).append(flag)
        else:
            given.once[flag.name] = flag
    return given


def _fault(keyword: str, flag: Flag, known: Mapping[str, Kind], given: Given) -> Diagnostic | None:
    kind = known.get(flag.name)
    if kind is None:
        return _unknown(keyword, flag, known)
    if flag.name in given.once:
        first = given.once[flag.name].span
        message = f"--{flag.name} stands here a second time"
        return Diagnostic(message=message, span=flag.span, hint="keep one of them", notes=(("the first", first),))
    if kind == "bool":
        return _bad_truth(flag)
    if flag.value is None:
        return Diagnostic(message=f"--{flag.name} needs a value", span=flag.span, hint=f"write --{flag.name}=VALUE")
    return None


def _unknown(keyword: str, flag: Flag, known: Mapping[str, Kind]) -> Diagnostic:
    close = suggest(flag.name, sorted(known))
    if close:
        hint = f"did you mean --{close}?"
    elif known:
        hint = f"{keyword} takes {', '.join(f'--{name}' for name in sorted(known))}"
    else:
        hint = f"{keyword} takes no flags; if this is a word of its own, write it behind --"
    return Diagnostic(message=f"{keyword} has no flag --{flag.name}", span=flag.span, hint=hint)


def _bad_truth(flag: Flag) -> Diagnostic | None:
    if flag.value is None or flag.value.lower() in ("true", "false"):
        return None
    span = flag.value_span if flag.value else flag.span
    message = f"--{flag.name} is true or false, not {flag.value!r}" if flag.value else f"--{flag.name} needs a value"
    return Diagnostic(message=message, span=span, hint=f"write --{flag.name}, or --{flag.name}=false")
