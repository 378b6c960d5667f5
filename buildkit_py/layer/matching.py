"""Matching paths while a tree is walked: what a directory matched counts for everything in it.

Patterns are those of Go's container tools: relative to the start of the walk, `**` for any number of names, `!` before
one that takes something in again. A pattern is asked about a path only where its answer could change something: one
that takes in is not asked about what is in already. What was not asked matches nothing further down either.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from buildkit_py.errors import SourceInputError
from buildkit_py.patterns import compiled_strictly

Answers = tuple[bool, ...]
"""Which patterns a directory matched, in their order; empty at the start of a walk."""


class Matcher:
    """An ordered list of patterns. Raises `SourceInputError` for one that is malformed."""

    def __init__(self, patterns: Iterable[str]) -> None:
        cleaned = [posixpath.normpath(text) for text in (each.strip() for each in patterns) if text]
        if "!" in cleaned:
            raise SourceInputError("the pattern '!' takes nothing in", hint="write a path or a pattern after the `!`")
        self._patterns = [(text.startswith("!"), compiled_strictly(text.removeprefix("!"))) for text in cleaned]
        self._parts = [text.split("/") for text in cleaned]
        self.negates = any(again for again, _ in self._patterns)
        """Whether something in a directory that matches may not match."""

    def match(self, path: str, above: Answers) -> tuple[bool, Answers]:
        """Whether a path matches, and the answers for what is in it; `above` are those of its directory."""
        matched = False
        answers: list[bool] = []
        for number, (again, pattern) in enumerate(self._patterns):
            hit = bool(above) and above[number]
            if not hit and again == matched:
                hit = pattern.match(path) is not None
            answers.append(hit)
            if hit:
                matched = not again
        return matched, tuple(answers)

    def leads(self, path: str) -> bool:
        """Whether something in a directory that does not match may do so."""
        names = path.split("/")
        return any(_leads(parts, names) for parts in self._parts)


def _leads(parts: list[str], names: list[str]) -> bool:
    for part, name in zip(parts, names, strict=False):
        if "**" in part:
            return True
        if compiled_strictly(part).match(name) is None:
            return False
    return len(parts) > len(names)


_WILDCARD = re.compile(r"(?:[^\\*?\[]|\\.)*[*?\[]", re.DOTALL)


def has_wildcard(path: str) -> bool:
    """Whether a path stands for others; a character after a backslash does not count."""
    return _WILDCARD.match(path) is not None
