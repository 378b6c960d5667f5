"""File modes: octal text, or symbols as chmod of BSD and of container tools has them."""

from __future__ import annotations

import re

from buildkit_py.errors import GraphError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_PART = re.compile(r"[ugo]|[rwxXst]+")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_REACH = {"u": 0o4700, "g": 0o2070, "o": 0o0007}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111, "s": 0o6000, "t": 0o1000}
_STICKY = 0o1000


def apply_mode(text: str, mode: int, *, directory: bool) -> int:
    """The mode that `text` makes of `mode` (12 bits), as BSD's chmod has it, which container tools follow: symbols
    without a `ugoa` mean all, whatever the umask; `g=u` gives one the permissions of another, and no more; `=` takes
    the set-id bits away from a directory too; `X` looks at the mode that there was before.

    Raises `GraphError` for what is no mode.
    """
    if re.match(r"[0-7]{3,4}\Z", text):
        return int(text, 8)
    runs = directory or bool(mode & 0o111)
    for clause in text.split(","):
        found = _CLAUSE.match(clause)
        if not found:
            raise GraphError(f"not a file mode: {text!r}", hint="write octal digits as 0644, or symbols as u+x,go-w")
        who = "ugo" if "a" in found[1] else found[1]
        for sign, letters in _ACTION.findall(found[2]):
            allowed = letters if runs else letters.replace("X", "")
            for part in _PART.findall(allowed) or [""]:
                mode = _copied(sign, part, mode, who) if part in _SHIFT else _changed(sign, part, mode, who)
    return mode


def _copied(sign: str, source: str, mode: int, who: str) -> int:
    """The permissions of `source` for others."""
    given = mode >> _SHIFT[source] & 7
    for each in who or "ugo":
        mode = _set(sign, mode, given << _SHIFT[each], 7 << _SHIFT[each])
    return mode


def _changed(sign: str, letters: str, mode: int, who: str) -> int:
    bits = sum(_BITS[letter] for letter in set(letters.replace("X", "x")))
    reach = sum(_REACH[each] for each in set(who or "ugo"))
    # The sticky bit belongs to no class, and not to others alone; where nobody is named, it goes alone.
    if bits & _STICKY and set(who) != {"o"}:
        reach = _STICKY | (reach if who else 0)
    return _set(sign, mode, bits & reach, reach)


def _set(sign: str, mode: int, bits: int, reach: int) -> int:
    if sign == "+":
        return mode | bits
    return mode & ~bits if sign == "-" else mode & ~reach | bits
