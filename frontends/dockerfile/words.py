"""Texts as Go reads and writes them: what other builders put into an image's history is printed by Go's formatter."""

from __future__ import annotations

import sys
from collections.abc import Iterable

SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""White space as Unicode has it; str.isspace() takes four control characters for it, too."""

_ESCAPES = {
    "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"
}  # fmt: skip
_SECOND = 10**9
_UNITS = ((10**6, "ms"), (10**3, "µs"), (1, "ns"))


def go_quote(text: str) -> str:
    """A text as `%q` prints it: in double quotes, with escapes for what can't be seen."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_quoted(char, '"') for char in text) + '"'


def go_quote_number(number: int) -> str:
    """A number as `%q` prints it: as the character of that code."""
    is_character = 0 <= number <= sys.maxunicode and not 0xD800 <= number <= 0xDFFF
    return "'" + _quoted(chr(number) if is_character else "\ufffd", "'") + "'"


def go_quote_all(texts: Iterable[str]) -> str:
    """A list of texts as `%q` prints it: `["a" "b"]`."""
    return "[" + " ".join(map(go_quote, texts)) + "]"


def _quoted(char: str, quote: str) -> str:
    if char == quote:
        return f"\\{char}"
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        code -= 0xDC00
    elif code > 0x7F:
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return f"\\x{code:02x}"


def go_duration(nanoseconds: int) -> str:
    """A duration as `%v` prints it: `1h0m0.5s`, `30s`, `1.5ms`, `0s`."""
    if nanoseconds < 0:
        return "-" + go_duration(-nanoseconds)
    if not nanoseconds:
        return "0s"
    if nanoseconds < _SECOND:
        size, unit = next(each for each in _UNITS if nanoseconds >= each[0])
        return _decimal(nanoseconds, size) + unit
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest, _SECOND) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, one: int) -> str:
    """`value` in units of `one`, a power of ten, without zeros at the end."""
    whole, part = divmod(value, one)
    if not part:
        return str(whole)
    return f"{whole}." + str(one + part)[1:].rstrip("0")
