"""File modes: octal text, or symbols as chmod(1) has them."""

from __future__ import annotations

import re

from buildkit_py.errors import GraphError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SET_ID = {"u": 0o4000, "g": 0o2000}


def apply_mode(text: str, mode: int, *, directory: bool) -> int:
    """The mode that `text` makes of `mode` (12 bits). Symbols without a `ugoa` mean all, whatever the umask; `g=u`
    gives one what another has.

    Raises `GraphError` for what is no mode.
    """
    if re.match(r"[0-7]{3,4}\Z", text):
        return int(text, 8)
    for clause in text.split(","):
        found = _CLAUSE.match(clause)
        if not found:
            raise GraphError(f"not a file mode: {text!r}", hint="write octal digits as 0644, or symbols as u+x,go-w")
        who = "ugo" if not found[1] or "a" in found[1] else found[1]
        for sign, letters in _ACTION.findall(found[2]):
            mode = _apply(sign, letters, mode, who, directory)
    return mode


def _apply(sign: str, letters: str, mode: int, who: str, directory: bool) -> int:
    bits = 0
    for letter in letters:
        if letter == "X" and not (directory or mode & 0o111):
            continue
        if letter == "t":
            bits |= 0o1000
        given = mode >> _SHIFT[letter] & 7 if letter in _SHIFT else _BITS.get(letter.lower(), 0)
        for each in who:
            bits |= _SET_ID.get(each, 0) if letter == "s" else given << _SHIFT[each]
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    kept = mode
    for each in who:
        kept &= ~(7 << _SHIFT[each])
        # As chmod(1): a directory keeps its set-id bits unless they are named.
        kept &= ~(0 if directory else _SET_ID.get(each, 0))
    return kept | bits
