"""Modes: octal or symbolic text applied to what a file has."""

from __future__ import annotations

import re

_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")


def apply_mode(text: str, mode: int, *, directory: bool) -> int:
    """The mode that `text` (checked before: octal, or symbolic as `u+x,go-w`) makes of `mode`."""
    if text.isdigit():
        return int(text, 8)
    for who, action, letters in _CLAUSE.findall(text):
        mode = _apply(who, action, letters, mode, directory)
    return mode


def _apply(who: str, action: str, letters: str, mode: int, directory: bool) -> int:
    everyone = not who or "a" in who
    mask = 0o7777 if everyone else 0
    for letter in who:
        mask |= _WHO.get(letter, 0)
    bits = 0
    for letter in letters:
        if letter == "X":
            bits |= 0o111 if directory or mode & 0o111 else 0
        else:
            bits |= _BITS[letter]
    bits &= mask
    if action == "+":
        return mode | bits
    if action == "-":
        return mode & ~bits
    return (mode & ~(mask & 0o777 if everyone else mask)) | bits
