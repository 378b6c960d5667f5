"""Patterns of an ignore file, said of one directory of the context: each `copy` has its own `exclude`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from buildkit_py.patterns import Rules

_ALL = "**"


def below(patterns: Iterable[str], directory: str) -> tuple[str, ...] | None:
    """The patterns as seen from a directory (relative, empty for the root); None where one can't be said so."""
    parts = [part for part in directory.split("/") if part]
    found: list[str] = []
    for pattern in patterns:
        again = "!" * pattern.startswith("!")
        rest = _rest(pattern.removeprefix("!").split("/"), parts)
        if rest is None:
            return None
        found += [again + each for each in rest]
    if f"!{_ALL}" in found:
        # All that was left out before is taken in again.
        found = found[len(found) - found[::-1].index(f"!{_ALL}") :]
    return tuple(dict.fromkeys(found))


def _rest(pattern: Sequence[str], parts: Sequence[str]) -> list[str] | None:
    """What is left of a pattern behind the names of a directory, in every way in which it may match them."""
    if not parts:
        return ["/".join(pattern)] if pattern else [_ALL]
    if not pattern:
        return [_ALL]
    first, *others = pattern
    if first == _ALL:
        if not others:
            return [_ALL]
        stays, goes = _rest(pattern, parts[1:]), _rest(others, parts)
        return None if stays is None or goes is None else [*stays, *goes]
    if _ALL in first:
        return None
    return _rest(others, parts[1:]) if Rules([first]).excludes(parts[0]) else []
