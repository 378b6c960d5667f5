"""The patterns of `${x#…}`, `${x%…}` and `${x/…/…}`: `*`, `?`, and a backslash before either or before itself.

Neither wildcard matches the end of a line, as in the regular expressions that the reference makes of them. A pattern is
cut at its stars, and each piece is put where it fits first (the last one where it fits last, if the match is to be
long); that finds the end that trying every way would find, in a time that grows with the value times the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildkit_py.dataclass import dataclass

_STAR = "*"
_ANY = "."
_WORK = 1 << 26
_FIELD = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


class PatternError(ValueError):
    """A pattern can't be used; the text says why, `hint` what to write."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """`first` is what stands before the first star; `rest` is matched right behind it."""

    first: re.Pattern[str]
    rest: re.Pattern[str]
    over_lines: bool

    def at_start(self, value: str) -> int | None:
        """Where the match at the value's start ends."""
        begin = self.first.match(value)
        end = begin and self.rest.match(value, begin.end())
        return end.end() if end else None

    def find(self, value: str, place: int) -> tuple[int, int] | None:
        """The leftmost match from `place` on."""
        while begin := self.first.search(value, place):
            if end := self.rest.match(value, begin.end()):
                return begin.start(), end.end()
            if self.over_lines:
                place = begin.start() + 1
                continue
            # No later beginning in this line can reach what this one does not.
            line = value.find("\n", begin.end())
            if line < 0:
                return None
            place = line + 1
        return None


def without_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """The value without the shortest or longest beginning that matches."""
    return value[_prefix(_atoms(pattern), value, longest) :]


def without_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """The value without the shortest or longest end that matches."""
    # A beginning of the mirror image: of ends, the shortest is not what a search from the left finds.
    return value[: len(value) - _prefix(_atoms(pattern)[::-1], value[::-1], longest)]


def replaced(value: str, pattern: str, replacement: str, *, everywhere: bool, limit: int) -> str:
    """The value with its first match, or all of them, replaced; matches are as long as can be.

    Where all are replaced, `$0` in the replacement is the match, `$$` a dollar, and another `$name` nothing. Raises
    `PatternError` also for a result of more than `limit` characters.
    """
    wanted = _compiled(_atoms(pattern), value, longest=True)
    if not everywhere:
        found = wanted.find(value, 0)
        return value[: found[0]] + replacement + value[found[1] :] if found else value
    pieces: list[str] = []
    length = last = 0
    for start, end in _matches(wanted, value):
        pieces += [value[last:start], _filled(replacement, value[start:end])]
        last = end
        length += len(pieces[-2]) + len(pieces[-1])
        if length > limit:
            raise PatternError(f"the result is longer than {limit} characters", hint="replace less, or by less")
    return "".join([*pieces, value[last:]])


def _matches(wanted: _Pattern, value: str) -> Iterator[tuple[int, int]]:
    """All matches from left to right; an empty one right behind another does not count."""
    place = last = 0
    while place <= len(value) and (found := wanted.find(value, place)):
        start, end = found
        if end > last or start == 0:
            yield start, end
        last = end
        place = max(end, place + 1)


def _filled(replacement: str, match: str) -> str:
    if "$" not in replacement:
        return replacement
    return _FIELD.sub(lambda field: "$" if field[1] else match if (field[2] or field[3]) == "0" else "", replacement)


def _prefix(atoms: list[str], value: str, longest: bool) -> int:
    return _compiled(atoms, value, longest=longest).at_start(value) or 0


def _atoms(pattern: str) -> list[str]:
    """Regular expressions for one character each, and stars."""
    atoms: list[str] = []
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if char == "\\":
            place += 1
            char = pattern[place : place + 1]
            if char not in set("*?\\}/"):
                raise PatternError(
                    f"the pattern {pattern} has a backslash before {char or 'its end'}",
                    hint=r"write \* or \? for the character itself, and \\ for a backslash",
                )
            atoms.append(re.escape(char))
        else:
            atoms.append({"*": _STAR, "?": _ANY}.get(char) or re.escape(char))
        place += 1
    return atoms


def _compiled(atoms: list[str], value: str, *, longest: bool) -> _Pattern:
    if len(atoms) * len(value) > _WORK:
        raise PatternError("the pattern is too long for a value this long", hint="write a shorter pattern")
    first, *rest = _cut(atoms)
    fitted = [f"(?>.*?{piece})" for piece in rest]
    if fitted and longest:
        fitted[-1] = f"(?>.*{rest[-1]})"
    return _Pattern(first=re.compile(first), rest=re.compile("".join(fitted)), over_lines="\n" in first)


def _cut(atoms: list[str]) -> list[str]:
    """The pieces between stars."""
    pieces: list[list[str]] = [[]]
    for atom in atoms:
        if atom == _STAR:
            pieces.append([])
        else:
            pieces[-1].append(atom)
    return ["".join(piece) for piece in pieces]
