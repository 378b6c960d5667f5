"""Patterns against an oracle that tries every way to match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import SourceInputError
from buildkit_py.patterns import Rules, compiled, is_glob

ATOMS = ["a", "b", ".", "/", "?", "*", "**", "**/", "[ab]", "[^a]", "[!b]", "[a-b]", r"\*", r"\a"]
patterns = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5)
paths = st.text("ab./*", min_size=1, max_size=7)


def matches(atoms: list[str], path: str) -> bool:
    """Whether atoms match a path, by trying every length for each."""
    if not atoms:
        return not path
    head, *rest = atoms
    if head == "**/":
        return matches(rest, path) or any(matches(rest, path[n + 1 :]) for n, char in enumerate(path) if char == "/")
    if head in ("*", "**"):
        for end in range(len(path) + 1):
            if "/" in path[:end] and head == "*":
                return False
            if matches(rest, path[end:]):
                return True
        return False
    if not path:
        return False
    char = path[0]
    sets = {"[ab]": "ab", "[a-b]": "ab", "[^a]": "b.*", "[!b]": "a.*", "?": "ab.*", r"\*": "*", r"\a": "a"}
    return char in sets.get(head, head) and matches(rest, path[1:])


def plain(atoms: list[str]) -> bool:
    """Stars that run together, and a `**` beside a name, are left to the tests below."""
    text = "".join(atoms)
    if "***" in text:
        return False
    for index, atom in enumerate(atoms):
        before, after = "".join(atoms[:index]), "".join(atoms[index + 1 :])
        if atom == "**/" and before and not before.endswith("/"):
            return False
        if atom == "**" and (after.startswith("/") or not after or before.endswith("*")):
            return False
        if atom == "*" and (after.startswith("*") or before.endswith("*")):
            return False
    return True


@given(patterns.filter(plain), paths)
def test_a_pattern_matches_as_the_oracle_says(atoms: list[str], path: str) -> None:
    assert bool(compiled("".join(atoms)).match(path)) == matches(atoms, path)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**", "a", ""), ("**", "a/b", ""), ("a/**", "a/b/c", "a"), ("**/x", "x", "ax"), ("a/**/b", "a/b", "a/xb"),
        ("a**b", "a/x/b", "a/x"), ("*", ".dot", "a/b"), ("[]a]", "]", "b"), ("[a-]", "-", "b"), ("[!/]", "a", "/"),
        ("x.c", "x.c", "xxc"), ("n\nl", "n\nl", "n"), ("*", "n\nl", "n/l"), (r"\[a", "[a", "a"), ("[\\]]", "]", "\\"),
        ("ü?", "üü", "ü"),
    ],
)  # fmt: skip
def test_single_patterns(pattern: str, yes: str, no: str) -> None:
    assert compiled(pattern).match(yes)
    assert not compiled(pattern).match(no)


def test_an_open_bracket_is_an_error() -> None:
    with pytest.raises(SourceInputError, match=r"a \[ without a \]"):
        compiled("a[b")
    assert is_glob("a[b") and is_glob("a*") and not is_glob("a.b")


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["a", "b", "*", "a/b", "**/b", "a/*", "./a", "/b/", "*/b/.."])),
        max_size=4,
    ),
    paths,
)
def test_rules_say_what_the_last_match_says(rules: list[tuple[bool, str]], path: str) -> None:
    parts = [part for part in path.split("/") if part]
    clean = "/".join(parts)
    if not clean:
        return
    prefixes = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    cleaned = {"./a": "a", "/b/": "b", "*/b/..": "*"}
    expected = False
    for again, pattern in rules:
        if any(compiled(cleaned.get(pattern, pattern)).match(each) for each in prefixes):
            expected = not again
    found = Rules(["!" * again + pattern for again, pattern in rules])
    assert found.excludes(clean) == expected
    if found.prunes(clean):
        assert found.excludes(f"{clean}/anything") and not any(again for again, _ in rules)


def test_empty_rules() -> None:
    assert not Rules(["", " ", "/", "!", ".."])
    assert not Rules([]).excludes("a")
    assert Rules(["#*#"]).excludes("#notes#")
