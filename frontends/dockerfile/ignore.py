r"""Ignore files, and patterns of what a copy leaves out, said in the graph's language of patterns.

Builders before this one read `**` otherwise than the graph: not as any characters but as any number of whole
directories, wherever it stands, so that `a**b` is `ab` or `a**/b`. Only at the end of a pattern, and at the start of
one without other wildcards, is it any characters. `[!a]` is one of two characters, since `^` alone negates, and
`[^a]` may be a slash.

There a pattern works from the first path on that it says something new about: after `**/*.log`, `!app` takes nothing in
again, since `app` itself was not left out. Where a pattern names a path, that is found out here, and it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

from buildkit_py.patterns import Rules
from frontends.dockerfile.words import SPACES

_ALTERNATIVES = 64
_DEEP = ("**",)
_MAGIC = frozenset("*?[]\\")


class IgnoreError(Exception):
    """A pattern is wrong; `line` and `column` are where, counted from 1."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = 1
        self.column = 1


def read_ignore(text: str) -> tuple[str, ...]:
    """The patterns of an ignore file, for `LocalSource.ignore`. Raises `IgnoreError`."""
    wanted: list[str] = []
    rules: list[tuple[bool, Rules]] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        pattern = line.strip(SPACES)
        if not pattern or line.startswith("#"):
            continue
        again = pattern.startswith("!")
        path = _clean(pattern[again:].strip(SPACES)).removeprefix("/")
        try:
            said = _said(again, path)
        except IgnoreError as error:
            error.line, error.column = number, line.index(pattern) + 1
            raise
        if said and not _says_nothing(again, path, rules):
            rules.append((again, Rules(each.removeprefix("!") for each in said)))
            wanted += said
    return tuple(wanted)


def exclude_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """What the values of `--exclude` are in the graph's language. Raises `IgnoreError`."""
    wanted: list[str] = []
    for pattern in patterns:
        if path := _clean(pattern.strip(SPACES)):
            again = path.startswith("!")
            wanted += _said(again, path[again:])
    return tuple(wanted)


def _said(again: bool, path: str) -> list[str]:
    if again and not path:
        raise IgnoreError(
            "this ! has no pattern behind it", hint=r"write !pattern, or \! for a name that begins with it"
        )
    return ["!" * again + each for each in _translated(path)]


def _says_nothing(again: bool, path: str, rules: list[tuple[bool, Rules]]) -> bool:
    """Whether the path is, after some rules, what one more says it is. `True` beside a rule: it takes in again."""
    if not _MAGIC.isdisjoint(path) or not (again or any(earlier for earlier, _ in rules)):
        return False
    taken_in = next((earlier for earlier, rule in reversed(rules) if rule.excludes(path)), True)
    return taken_in == again


def _clean(path: str) -> str:
    """A path without `.`, `..` inside and doubled slashes; nothing stays nothing."""
    kept: list[str] = []
    rooted = path.startswith("/")
    for part in path.split("/"):
        if part == ".." and (rooted or (kept and kept[-1] != "..")):
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/" * rooted + "/".join(kept) or "." * bool(path)


def _translated(path: str) -> list[str]:
    """The patterns that match together what a clean one matches elsewhere; none for what is outside of the root."""
    tokens = _tokens(path)
    if path in ("", ".", "..") or path.startswith(("/", "../")):
        return []
    if path.startswith("**") and _MAGIC.isdisjoint(path[2:]):
        return ["**" + "/" * path.startswith("**/") + _guarded("".join(token for token, *_ in tokens[1:]))]
    found = [""]
    for index, token in enumerate(tokens):
        if token == _DEEP and index < len(tokens) - 1:
            found = [each + deep for each in found for deep in _directories(each)]
        else:
            found = [each + choice for each in found for choice in token]
        if len(found) > _ALTERNATIVES:
            raise IgnoreError("this pattern has too many ** and [^…] inside names", hint="write several patterns")
    return [_guarded(each) for each in found if "//" not in f"/{each}/"]


def _directories(before: str) -> tuple[str, ...]:
    """What any number of directories is behind the beginning of a pattern."""
    return ("**/",) if not before or before.endswith("/") else ("", "**/")


def _guarded(pattern: str) -> str:
    """No name is `.` or `..`, and a part of a pattern that is one matches nothing; so it must not be cleaned away."""
    return "/".join(part.replace(".", "\\.") if part in (".", "..") else part for part in pattern.split("/"))


def _tokens(pattern: str) -> list[tuple[str, ...]]:
    """`**` (with the slash behind it), `*`, `?`, sets, and single characters, escaped where the graph needs it.

    A token is what it may be: a set that has a slash is the set or the slash.
    """
    tokens: list[tuple[str, ...]] = []
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if pattern.startswith("**", place):
            tokens.append(_DEEP)
            place += 2 + pattern.startswith("/", place + 2)
        elif char == "[":
            token, place = _set(pattern, place)
            tokens.append(token)
        elif char in "*?":
            tokens.append((char,))
            place += 1
        else:
            char, place = _character(pattern, place)
            tokens.append((_escaped(char, "*?[\\!"),))
    return tokens


def _character(pattern: str, place: int) -> tuple[str, int]:
    if pattern[place] == "\\":
        place += 1
    if place >= len(pattern):
        raise IgnoreError("the \\ at the end escapes nothing", hint="write \\\\ for the character itself")
    return pattern[place], place + 1


def _escaped(char: str, special: str) -> str:
    return f"\\{char}" if char in special or char.isspace() else char


def _set(pattern: str, place: int) -> tuple[tuple[str, ...], int]:
    place += 1
    negated = pattern.startswith("^", place)
    place += negated
    items: list[str] = []
    slash = False
    while not (items and pattern.startswith("]", place)):
        low, place = _bound(pattern, place)
        high = low
        if pattern.startswith("-", place):
            high, place = _bound(pattern, place + 1)
        if high < low:
            raise IgnoreError(f"the range {low}-{high} goes backwards", hint=f"write [{high}-{low}]")
        items.append("-".join(_escaped(each, "[]\\^!-") for each in dict.fromkeys((low, high))))
        slash = slash or low <= "/" <= high
    found = f"[{'^' * negated}{''.join(items)}]"
    return ((found, "/") if slash != negated else (found,)), place + 1


def _bound(pattern: str, place: int) -> tuple[str, int]:
    if place >= len(pattern):
        raise IgnoreError("this pattern has a [ without a ]", hint=r"write \[ for the character itself")
    if pattern[place] in "]-":
        raise IgnoreError(
            f"a {pattern[place]} can't stand here in […]", hint=f"write \\{pattern[place]} for the character itself"
        )
    return _character(pattern, place)
