"""The two forms of a command: a JSON list of words, or else text for a shell."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from frontends.dockerfile.faults import fault
from frontends.dockerfile.syntax import Command, Word
from frontends.dockerfile.text import Part

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_GAP = re.compile(r"[\t\v\f\r ]+")


def is_list(text: str) -> bool:
    """Whether a text is a JSON list of texts."""
    found = _list(text)
    return found is not None and all(isinstance(each, str) for each in found)


def read_list(args: Part) -> Sequence[str] | None:
    """The texts of a JSON list; None if it is none, so that it is text for a shell.

    Raises `SourceError` for a list that holds other things.
    """
    found = _list(args.text)
    if found is None:
        return None
    for each in found:
        if not isinstance(each, str):
            message = f"a list of words holds {_kind(each)}"
            raise fault(message, args.span, hint='write every word in double quotes: ["one", "2"]')
    return found


def read_command(args: Part) -> Command:
    """A command in either form; raises `SourceError`."""
    words = read_list(args) if args.text else None
    if words is not None:
        return Command(form="exec", words=tuple(words))
    return Command(form="shell", words=(args.text,) if args.text else ())


def read_words(args: Part) -> tuple[Word, ...]:
    """The texts of a JSON list, or words parted by white space; raises `SourceError`."""
    texts = read_list(args)
    if texts is None:
        return parted(args)
    places = _STRING.finditer(args.text)
    return tuple(
        Word(text=text, span=args.part(place.start(), place.end()).span)
        for text, place in zip(texts, places, strict=False)
    )


def parted(args: Part) -> tuple[Word, ...]:
    """Words parted by white space, quotes or not."""
    text, words, start = args.text, [], 0
    if not text:
        return ()
    for gap in _GAP.finditer(text):
        words.append(args.part(start, gap.start()).word)
        start = gap.end()
    return (*words, args.part(start, len(text)).word)


def _list(text: str) -> list[Any] | None:
    """A JSON list; None for what is no JSON, or no list."""
    if not text.startswith("["):
        return None
    import json

    try:
        found = json.loads(text, parse_constant=_refuse, parse_int=_number, parse_float=_number)
    except RecursionError:
        return [[]]
    except ValueError:
        return None
    return _paired(found) if isinstance(found, list) else None


def _refuse(name: str) -> None:
    """Infinity and the like are no JSON, though Python reads them."""
    raise ValueError(name)


def _number(text: str) -> float:
    """A number; one beyond what a float holds is no JSON to the reference."""
    number = float(text)
    if math.isinf(number):
        raise ValueError("too large")
    return number


def _paired(values: list[Any]) -> list[Any]:
    """The values, and in texts no halves of surrogate pairs: no file can hold them."""
    return [_whole(each) if isinstance(each, str) and not each.isascii() else each for each in values]


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float):
        return "a number"
    if value is None:
        return "null"
    return "another list" if isinstance(value, list) else "an object"
