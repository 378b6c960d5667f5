"""Expansion against two referees: a model that knows what a word was made from, and bash where it means the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.dockerfile.expand import ExpandError, expand, expand_words
from frontends.dockerfile.shellpattern import replaced, without_prefix, without_suffix

ENV = {"a": "x.y.x", "b": "", "c": "one two", "d": "*x?", "e": "x/y/x"}
names = st.sampled_from([*ENV, "unset"])


@dataclass(frozen=True)
class Part:
    """A piece of a word as it is written, what it stands for, and the same as words (space that parts them: `|`)."""

    written: str
    means: str
    parted: str


def literal(char: str) -> Part:
    return Part(char, char, "|" if char == " " else char)


def variable(name: str, braces: bool) -> Part:
    value = ENV.get(name, "")
    return Part(
        f"${{{name}}}" if braces else f"${name}:",
        value + ":" * (not braces),
        (value + ":" * (not braces)).replace(" ", "|"),
    )


def single(text: str) -> Part:
    return Part(f"'{text}'", text, text)


def double(parts: list[Part]) -> Part:
    means = "".join(part.means for part in parts)
    return Part('"' + "".join(part.written for part in parts) + '"', means, means)


def escaped(char: str) -> Part:
    return Part(f"\\{char}", char, char)


def choice(name: str, operator: str, parts: list[Part]) -> Part:
    word = "".join(part.means for part in parts)
    value = ENV.get(name)
    there = bool(value) if ":" in operator else value is not None
    means = (word if there else "") if "+" in operator else ((value or "") if there else word)
    return Part(f"${{{name}{operator}" + "".join(part.written for part in parts) + "}", means, means.replace(" ", "|"))


literals = st.sampled_from("xy.=- ").map(literal)
variables = st.builds(variable, names, st.booleans())
singles = st.text('x$\\" {}', max_size=4).map(single)
escapes = st.sampled_from("$\\\"'x}").map(escaped)
in_double = st.one_of(literals, variables, st.sampled_from('$\\"').map(escaped))
doubles = st.lists(in_double, max_size=4).map(double)


def choices(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    return st.builds(choice, names, st.sampled_from([":-", "-", ":+", "+"]), st.lists(inner, max_size=3))


parts = st.recursive(st.one_of(literals, variables, singles, doubles, escapes), choices, max_leaves=8)


@given(st.lists(parts, max_size=6))
def test_a_word_means_what_it_was_made_from(made: list[Part]) -> None:
    word = "".join(part.written for part in made)
    means = "".join(part.means for part in made)
    assert expand(word, ENV).text == means
    found, whole = expand_words(word, ENV)
    assert whole.text == means
    assert list(found) == [each for each in "".join(part.parted for part in made).split("|") if each]


def ends(pattern: str, value: str, place: int) -> set[int]:
    """Where matches that begin at `place` end, by trying every way."""
    if not pattern:
        return {place}
    head, rest = pattern[0], pattern[1:]
    if head == "\\":
        head, rest = pattern[1], pattern[2:]
    elif head == "*":
        more = ends(pattern, value, place + 1) if place < len(value) and value[place] != "\n" else set()
        return ends(rest, value, place) | more
    elif head == "?":
        return ends(rest, value, place + 1) if place < len(value) and value[place] != "\n" else set()
    return ends(rest, value, place + 1) if value.startswith(head, place) else set()


def mirrored(pattern: str) -> str:
    return "".join(re.findall(r"\\.|[^\\]", pattern, re.DOTALL)[::-1])


patterns = st.lists(st.sampled_from(["a", "b", "*", "?", "\\*", "\n", "."]), max_size=5).map("".join)
values = st.text("ab*.\n", max_size=10)


@given(patterns, values)
def test_ends_are_those_that_trying_every_way_finds(pattern: str, value: str) -> None:
    found = ends(pattern, value, 0)
    assert without_prefix(value, pattern, longest=False) == value[min(found, default=0) :]
    assert without_prefix(value, pattern, longest=True) == value[max(found, default=0) :]
    found = ends(mirrored(pattern), value[::-1], 0)
    assert without_suffix(value, pattern, longest=False) == value[: len(value) - min(found, default=0)]
    assert without_suffix(value, pattern, longest=True) == value[: len(value) - max(found, default=0)]


@given(patterns, values, st.sampled_from(["", "-", "ab"]))
def test_replacements_are_those_that_trying_every_way_finds(pattern: str, value: str, replacement: str) -> None:
    one, all_of_it, place, last = "", "", 0, 0
    seen = False
    for start in range(len(value) + 1):
        found = ends(pattern, value, start) if start >= place else set()
        if found and not seen:
            one, seen = value[:start] + replacement + value[max(found) :], True
        if found:
            end = max(found)
            if end > last or start == 0:
                all_of_it += value[last:start] + replacement
                last = end
            else:
                all_of_it += value[last:start]
                last = max(last, start)
            place = max(end, start + 1)
    assert replaced(value, pattern, replacement, everywhere=False, limit=1000) == (one if seen else value)
    assert replaced(value, pattern, replacement, everywhere=True, limit=1000) == all_of_it + value[last:]


trimming = st.builds(
    lambda name, operator, pattern: f"${{{name}{operator}{pattern}}}",
    names,
    st.sampled_from(["#", "##", "%", "%%"]),
    st.lists(st.sampled_from(["x", ".", "*", "?", "\\*", "$b", "\\?"]), min_size=1, max_size=3).map("".join),
)
replacing = st.builds(
    lambda name, operator, pattern, replacement: f"${{{name}{operator}{pattern}/{replacement}}}",
    names,
    st.sampled_from(["/", "//"]),
    st.lists(st.sampled_from(["x", ".", "x*", "x?", "\\*", "\\/", "y"]), min_size=1, max_size=3).map("".join),
    st.sampled_from(["", "r", "$a", "r$b"]),
)
in_bash = st.lists(st.one_of(parts.map(lambda part: part.written), trimming, replacing), max_size=4).map("".join)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@settings(max_examples=20, deadline=None)
@given(st.lists(in_bash, min_size=30, max_size=60))
def test_bash_says_the_same(made: list[str]) -> None:
    # Bash knows more after a dollar, and white space parts an assignment from a command.
    words = [word for word in made if not re.search(r"\$[^a-z{]|\$$|\$unset:?=|(?<!\\)\s", word)]
    setting = [f"{name}='{value}'" for name, value in ENV.items()]
    script = "\n".join(["set -f", *setting, *(f"v={word}; printf '%s\\0' \"$v\"" for word in words)])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={}, check=True)
    assert done.stdout.split("\0")[:-1] == [expand(word, ENV).text for word in words]


@given(st.text("${}:-+?#%/'\"\\ab*1@. \n\ufeff", max_size=30), st.sampled_from("\\`"), st.booleans())
def test_any_text_is_expanded_or_refused(word: str, escape: str, keep: bool) -> None:
    try:
        found = expand(word, ENV, escape=escape, quotes="keep" if keep else "strip")
    except ExpandError as error:
        assert error.message and error.hint and 0 <= error.offset <= len(word)
    else:
        assert found.used <= ENV.keys() and not found.unset & ENV.keys()
        if not keep:
            assert expand_words(word, ENV, escape=escape)[1] == found
