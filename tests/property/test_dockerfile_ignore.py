"""Ignore files against a model of the matcher that other builders use."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.patterns import Rules
from frontends.dockerfile.ignore import IgnoreError, exclude_patterns, read_ignore

ATOMS = ["a", "b", ".", "/", "/", "*", "**", "**/", "/**", "?", "[ab]", "[^a]", "[!b]", "\\*", "\\a", "]"]
patterns = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=6).map("".join)
paths = st.lists(st.text("ab.*!", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)
names = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)


def cleaned(pattern: str) -> str:
    kept: list[str] = []
    for part in pattern.split("/"):
        if part == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif part not in ("", ".") and (part != ".." or not pattern.startswith("/")):
            kept.append(part)
    return "/".join(kept)


def matches(pattern: str, path: str) -> bool:
    """One clean pattern, one path."""
    head, star, tail = pattern.partition("**")
    if star and not re.search(r"[*?\[\]\\]", head + tail):
        if not tail:
            return path.startswith(head)
        if not head:
            return path.endswith(tail) or (path == tail[1:] and tail[0] == "/")
    return re.fullmatch(expression(pattern), path, re.DOTALL) is not None


def expression(pattern: str) -> str:
    found = ""
    for token in re.findall(r"\*\*/?|\*|\?|\[.*?\]|\\.|.", pattern):
        pattern = pattern[len(token) :]
        if token.startswith("**"):
            found += "(.*/)?" if pattern else ".*"
        elif token[0] == "[" and len(token) > 2:
            found += token.replace("[!", "[\\!")
        else:
            found += {"*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token[-1])
    return found


def above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def walked(rules: list[tuple[bool, str]], path: str) -> bool:
    """Whether a path is left out, found as a walk from the root finds it: what would change nothing is not tried."""
    inherited = [False] * len(rules)
    out = False
    for place in above(path):
        out = False
        now = list(inherited)
        for index, (again, pattern) in enumerate(rules):
            if not inherited[index]:
                now[index] = again == out and matches(pattern, place)
            if now[index]:
                out = not again
        inherited = now
    return out


@given(patterns, paths)
def test_one_pattern_matches_what_it_matches_elsewhere(pattern: str, path: str) -> None:
    try:
        found = read_ignore(pattern)
    except IgnoreError:
        return
    if pattern.strip("/") == "" or pattern.startswith("#"):
        assert not found
        return
    expected = any(matches(cleaned(pattern), place) for place in above(path)) and cleaned(pattern) not in ("", "..")
    assert Rules(found).excludes(path) == expected
    if not pattern.startswith("/"):
        assert Rules(exclude_patterns([pattern])).excludes(path) == expected


@given(st.lists(st.tuples(st.booleans(), names), max_size=6), names)
def test_a_list_of_paths_leaves_out_what_a_walk_leaves_out(rules: list[tuple[bool, str]], path: str) -> None:
    found = read_ignore("\n".join("!" * again + pattern for again, pattern in rules))
    assert Rules(found).excludes(path) == walked(rules, path)


@given(st.lists(patterns, max_size=4), paths)
def test_a_list_without_exceptions_leaves_out_what_a_walk_leaves_out(rules: list[str], path: str) -> None:
    try:
        found = read_ignore("\n".join(rules))
    except IgnoreError:
        return
    assert Rules(found).excludes(path) == walked([(False, cleaned(rule)) for rule in rules if cleaned(rule)], path)


@given(st.text("ab/*?[]\\!^-#. \r\n\ufeff", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_ignore(text)
    except IgnoreError as error:
        assert error.message and error.hint and text.split("\n")[error.line - 1][error.column - 1 :]
    else:
        Rules(found).excludes("a/b")
