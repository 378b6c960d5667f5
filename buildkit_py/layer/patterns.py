"""Globs and ignore patterns: `*`, `?` and `[…]` stay inside a path component, `**` crosses them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from buildkit_py.errors import SourceInputError

_MAGIC = re.compile(r"[*?\[\\]")


def is_glob(text: str) -> bool:
    """Whether a path has anything that a pattern gives a meaning."""
    return bool(_MAGIC.search(text))


@lru_cache(maxsize=4096)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """A pattern of a whole path; raises `SourceInputError` on an unclosed bracket."""
    return re.compile(_translate(pattern), re.DOTALL)


def _translate(pattern: str) -> str:
    made: list[str] = []
    place, end = 0, len(pattern)
    while place < end:
        char = pattern[place]
        place += 1
        if char == "*":
            if pattern.startswith("*", place):
                place += 1
                if pattern.startswith("/", place):
                    place += 1
                    made.append("(?:.*/)?")
                else:
                    made.append(".*")
            else:
                made.append("[^/]*")
        elif char == "?":
            made.append("[^/]")
        elif char == "[":
            place, text = _bracket(pattern, place)
            made.append(text)
        elif char == "\\" and place < end:
            made.append(re.escape(pattern[place]))
            place += 1
        else:
            made.append(re.escape(char))
    return "".join(made) + r"\Z"


def _bracket(pattern: str, place: int) -> tuple[int, str]:
    start = place + 1 if pattern[place : place + 1] in ("^", "!") else place
    close = pattern.find("]", start + 1)
    if close < 0:
        raise SourceInputError(f"the pattern {pattern!r} has a [ without a ]")
    inside = pattern[start:close].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^").replace("&", "\\&")
    return close + 1, f"(?!/)[{'^' if start > place else ''}{inside}]"


class IgnoreRules:
    """Ordered patterns, anchored at the root: the last that matches a path or a parent of it decides, `!` includes again."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for text in patterns:
            negated = text.startswith("!")
            clean = text[1:].strip() if negated else text.strip()
            parts = [part for part in clean.split("/") if part not in ("", ".")]
            if parts:
                self._rules.append((negated, compile_glob("/".join(parts))))
        self.can_include_again = any(negated for negated, _ in self._rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def ignores(self, path: str) -> bool:
        """Whether a path is left out."""
        parents = [path]
        while "/" in parents[-1]:
            parents.append(parents[-1].rpartition("/")[0])
        ignored = False
        for negated, rule in self._rules:
            if ignored == negated and any(rule.match(each) for each in parents):
                ignored = not negated
        return ignored
