r"""Glob patterns, and lists of patterns that say what is left out.

`*` stands for any run of characters but `/`, `?` for one of them, `[a-z]` and `[^a-z]` for one of a set, `**` for any
run of characters, `/` included (`**/` for nothing too), `\` takes the next character as it is. A name that begins
with a dot is like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from buildkit_py.errors import SourceInputError

_MAGIC = re.compile(r"[*?\[\\]")
_ANY = "[^/]*"
_DEEP = {"(?:.*/)?": "(?:.*?/)??", ".+": ".+?", ".*": ".*?"}
"""What `**` may be, and the same taking as little as it can."""


def is_glob(text: str) -> bool:
    """Whether a path holds anything that stands for something else."""
    return _MAGIC.search(text) is not None


def escaped(path: str) -> str:
    """The pattern that stands for exactly that path."""
    return _MAGIC.sub(r"\\\g<0>", path)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression that matches whole relative paths; raises `SourceInputError` for an open `[`."""
    return re.compile(_expression(list(_translate(pattern))), re.DOTALL)


@lru_cache(maxsize=1024)
def compiled_strictly(pattern: str, *, deep: bool = True) -> re.Pattern[str]:
    """The same without what is no part of Go's patterns: in a set `^` alone negates, and unless it is `deep`, `**` is
    no more than `*`."""
    return re.compile(_expression(list(_translate(pattern, negations=("^",), deep=deep))), re.DOTALL)


def _expression(pieces: Sequence[str]) -> str:
    """The pieces of a pattern as one expression that never takes longer than the square of a path's length.

    What stands between two `**` is put where it fits first, and stays there: what comes behind reaches from there what
    it would reach from any later place. Trying every place takes a power of the length, by the number of wildcards.
    """
    cuts = [place for place, piece in enumerate(pieces) if piece in _DEEP]
    made = [_between(pieces[: cuts[0] if cuts else None], is_last=not cuts)]
    for start, stop in zip(cuts, (*cuts[1:], None), strict=False):
        inside = _between(pieces[start + 1 : stop], is_last=stop is None)
        made.append(pieces[start] + inside if stop is None else f"(?>{_DEEP[pieces[start]]}{inside})")
    return "".join((*made, r"\Z"))


def _between(pieces: Sequence[str], *, is_last: bool) -> str:
    """The pieces between two `**`. None of their `*` passes a slash, so the first fit is as good as any here, too."""
    parts: list[list[str]] = [[]]
    for piece in pieces:
        if piece == _ANY:
            parts.append([])
        else:
            parts[-1].append(piece)
    first, *rest = map("".join, parts)
    last = [_ANY + rest.pop()] if rest and is_last else []
    return "".join((first, *(f"(?>{_ANY}?{part})" for part in rest), *last))


def _translate(pattern: str, *, negations: tuple[str, ...] = ("^", "!"), deep: bool = True) -> Iterator[str]:
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if deep and pattern.startswith("**", place):
            piece, place = _stars(pattern, place)
            yield piece
        elif char == "[":
            piece, place = _set(pattern, place, negations)
            yield piece
        elif char == "\\" and place + 1 < len(pattern):
            yield re.escape(pattern[place + 1])
            place += 2
        else:
            yield {"*": _ANY, "?": "[^/]"}.get(char) or re.escape(char)
            place += 1


def _stars(pattern: str, place: int) -> tuple[str, int]:
    """`**`: with a slash on both sides (or an end of the pattern before it) it may stand for no directory at all."""
    starts = place == 0 or pattern[place - 1] == "/"
    while pattern.startswith("*", place):
        place += 1
    if starts and pattern.startswith("/", place):
        return "(?:.*/)?", place + 1
    return (".+" if starts and place == len(pattern) else ".*"), place


def _set(pattern: str, place: int, negations: tuple[str, ...]) -> tuple[str, int]:
    end = place + 1
    negated = pattern.startswith(negations, end)
    end += negated
    items: list[str] = []
    first = end
    while end < len(pattern) and (pattern[end] != "]" or end == first):
        if pattern[end] == "\\":
            end += 1
        low = pattern[end : end + 1]
        high = low
        if pattern[end + 1 : end + 2] == "-" and pattern[end + 2 : end + 3] not in ("", "]"):
            end += 3 if pattern[end + 2] == "\\" else 2
            high = pattern[end : end + 1]
        if low <= high:
            items.append(f"{re.escape(low)}-{re.escape(high)}")
        end += 1
    if end >= len(pattern):
        raise SourceInputError(
            f"the pattern {pattern!r} has a [ without a ]", hint=r"write \[ for the character itself"
        )
    if not items:
        return ("[^/]" if negated else "(?!)"), end + 1
    return f"(?!/)[{'^' if negated else ''}{''.join(items)}]", end + 1


def literal(pattern: str) -> str:
    """A pattern without magic as the path that it names."""
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


class Rules:
    """An ordered list of patterns. Each is anchored at the root; what is in a directory that matches, matches too.

    The last pattern that matches a path wins; one that begins with `!` takes the path in again.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [rule for rule in map(_rule, patterns) if rule is not None]
        self._negations = any(again for again, _ in self._rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def excludes(self, path: str) -> bool:
        """Whether a path is left out."""
        if not self._rules:
            return False
        for again, pattern in reversed(self._rules):
            if _covers(pattern, path):
                return not again
        return False

    def within(self, directory: str) -> Callable[[str], bool]:
        """Says of the paths of the names in one directory what `excludes` says; what matches the directory, and with
        it everything in it, is looked at once."""
        open_rules: list[tuple[bool, re.Pattern[str]]] = []
        settled = False
        for again, pattern in reversed(self._rules):
            if directory and _covers(pattern, directory):
                settled = not again
                break
            open_rules.append((again, pattern))
        if len(open_rules) == 1 and not settled and not open_rules[0][0]:
            alone = open_rules[0][1].match
            return lambda path: alone(path) is not None

        def excluded(path: str) -> bool:
            return next((not again for again, pattern in open_rules if pattern.match(path)), settled)

        return excluded

    def prunes(self, path: str) -> bool:
        """Whether a directory is left out together with everything that can be in it."""
        return not self._negations and self.excludes(path)


def _rule(text: str) -> tuple[bool, re.Pattern[str]] | None:
    text = text.strip()
    again = text.startswith("!")
    path = text[again:].strip()
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not kept and not path.startswith("/"):
                return None  # outside of the root, where nothing is
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return (again, compiled("/".join(kept))) if kept else None


def _covers(pattern: re.Pattern[str], path: str) -> bool:
    if pattern.match(path):
        return True
    end = path.rfind("/")
    while end > 0:
        if pattern.match(path, 0, end):
            return True
        end = path.rfind("/", 0, end)
    return False
