"""ENV, LABEL and ARG: words with quotes and escapes, and `name=value` in them. Nothing is taken away but parted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from frontends.dockerfile.faults import fault
from frontends.dockerfile.syntax import Pair
from frontends.dockerfile.text import Part
from frontends.dockerfile.words import SPACES

_GAP = re.compile(r"[\t\v\f\r ]+")
_SPACE = re.compile(f"[{SPACES}]*")


def quoted_words(args: Part, escape: str) -> Iterator[tuple[str, Part]]:
    """Words parted by white space that is neither quoted nor escaped; an escape character at the very end is none."""
    text, place = args.text, 0
    pattern = _word(escape)
    while True:
        gap = _SPACE.match(text, place)
        place = gap.end() if gap else place
        if place == len(text):
            return
        start, word = place, pattern.match(text, place)
        place = word.end() if word else len(text)
        # What no word may hold is a lone escape character, or one inside a quote that is not closed: at the end both.
        found = text[start:place]
        if place < len(text) and text[place] not in SPACES:
            found, place = _rest(text, start, place, escape), len(text)
        if found:
            yield found, args.part(start, place)


def _rest(text: str, start: int, place: int, escape: str) -> str:
    """The last word where a quote is open, or an escape character ends it."""
    tail = text[place:]
    body = text[start:]
    if tail.startswith("'"):
        return body
    return body[:-1] if _escapes_nothing(tail, escape) else body


def _escapes_nothing(tail: str, escape: str) -> bool:
    """Whether the last character of a text is an escape character that is not escaped itself."""
    return (len(tail) - len(tail.rstrip(escape))) % 2 == 1


@cache
def _word(escape: str) -> re.Pattern[str]:
    """A word as far as its quotes are closed and its escapes escape something."""
    mark = re.escape(escape)
    double = rf'"(?:[^"{mark}]++|{mark}.)*+"'
    plain = rf"[^{SPACES}'\"{mark}]"
    return re.compile(rf"(?:{plain}++|{double}|'[^']*'|{mark}.)*+", re.DOTALL)


def read_pairs(keyword: str, args: Part, escape: str) -> tuple[Pair, ...]:
    """`name=value …`, or the old `name value`; raises `SourceError`."""
    words = list(quoted_words(args, escape))
    if words and "=" not in words[0][0]:
        return (_old(keyword, args),)
    return tuple(_pair(keyword, word, part) for word, part in words)


def _old(keyword: str, args: Part) -> Pair:
    gap = _GAP.search(args.text)
    if gap is None:
        name = args.text
        raise fault(f"{keyword} {name} has no value", args.span, hint=f"write {keyword} {name}=value")
    name, value = args.text[: gap.start()], args.text[gap.end() :]
    return Pair(name=name, value=value, legacy=True, span=args.span)


def _pair(keyword: str, word: str, part: Part) -> Pair:
    name, equals, value = word.partition("=")
    if not equals:
        hint = "put quotes around a value that holds white space"
        if word.startswith("#"):
            hint = "a comment needs a line of its own, and a value that holds white space quotes around it"
        raise fault(f"{keyword} needs name=value, and {word} has no =", part.span, hint=hint)
    _check_name(keyword, name, part)
    return Pair(name=name, value=value, span=part.span)


def read_arguments(args: Part, escape: str) -> tuple[Pair, ...]:
    """`name` or `name=value`, several of them; raises `SourceError`."""
    return tuple(_argument(word, part) for word, part in quoted_words(args, escape))


def _argument(word: str, part: Part) -> Pair:
    name, equals, value = word.partition("=")
    _check_name("ARG", name, part)
    return Pair(name=name, value=value if equals else None, span=part.span)


def _check_name(keyword: str, name: str, part: Part) -> None:
    if not name:
        raise fault(f"{keyword} has a name that is empty", part.span, hint=f"write {keyword} NAME=value")
