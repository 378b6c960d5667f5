"""Ignore files: what a line says, and what is wrong."""

from __future__ import annotations

import pytest

from buildkit_py.patterns import Rules
from frontends.dockerfile.ignore import IgnoreError, exclude_patterns, read_ignore


@pytest.mark.parametrize(
    ("rule", "text", "patterns"),
    [
        ("nothing", "", ()),
        ("one a line", "a\nb/c\r\n*.d", ("a", "b/c", "*.d")),
        ("byte order mark", "\ufeff# a\nb", ("b",)),
        ("byte order mark elsewhere is a character", "a\n\ufeffb", ("a", "\ufeffb")),
        ("comment", "#a\n# b\nc", ("c",)),
        ("no comment but in the first column", " #a\nb#c", ("#a", "b#c")),
        ("white space around", " \t a \u00a0\n \n\n", ("a",)),
        ("white space inside", "a b", ("a\\ b",)),
        ("slashes around", "/a/\n//b//c/", ("a", "b/c")),
        ("dots", "./a\n./\n.\n/\n/.\na/./b/../c", ("a", "a/c")),
        ("outside", "..\n../a\na/../../b\n!../c", ()),
        ("above the root is the root", "/../a", ("a",)),
        ("taken in again", "*\n!a\n! b\n!/c/", ("*", "!a", "!b", "!c")),
        ("second mark is a character", "*\n!!a", ("*", "!\\!a")),
        ("escaped mark", "\\!a", ("\\!a",)),
        ("escapes", "\\a\\*\\?\\[\\\\", ("a\\*\\?\\[\\\\",)),
        ("escaped space", "\\ a", ("\\ a",)),
        ("everything", "**", ("**",)),
        ("anywhere", "**/a\n**/*.b", ("**/a", "**/*.b")),
        ("all that is below", "a/**", ("a/**",)),
        ("between", "a/**/b", ("a/**/b",)),
        ("end of any name", "**.a", ("**.a",)),
        ("end of a name with a wildcard", "**?.a", ("**/?.a",)),
        ("beginning of any name", "a**", ("a**",)),
        ("inside a name", "a**b", ("ab", "a**/b")),
        ("inside a name, before a slash", "a**/b", ("ab", "a**/b")),
        ("behind a slash", "a/**b", ("a/**/b",)),
        ("negated inside a name", "*\n!a**b", ("*", "!ab", "!a**/b")),
        ("three stars", "***\na***b", ("**/*", "a*b", "a**/*b")),
        ("a dot that stars leave alone", "x/**.", ("x/**/\\.",)),
        ("set", "[a-c]\n[^a]\n[!a]", ("[a-c]", "[^a]", "[\\!a]")),
        ("set that may be a slash", "a[^b]c\na[+-9]c\n[^a]/b", ("a[^b]c", "a/c", "a[+-9]c", "a/c", "[^a]/b")),
        ("set of special characters", "[\\]\\-\\^]", ("[\\]\\-\\^]",)),
        ("bracket alone", "a]", ("a]",)),
    ],
)
def test_rule(rule: str, text: str, patterns: tuple[str, ...]) -> None:
    assert read_ignore(text) == patterns, rule


@pytest.mark.parametrize(
    ("rule", "text", "patterns"),
    [
        ("takes in what was not left out", "!a\nb", ("b",)),
        ("nor what it holds", "**/*.log\n!app", ("**/*.log",)),
        ("takes in what a directory above hides", "a\n!a/b", ("a", "!a/b")),
        ("leaves out twice", "a\n!a/b\na", ("a", "!a/b")),
        ("leaves out once more", "*\n!a\na/b\n!a/b/c", ("*", "!a", "a/b", "!a/b/c")),
        ("wildcards may say something", "!*.a\n!**/b", ("!*.a", "!**/b")),
    ],
)
def test_what_says_nothing(rule: str, text: str, patterns: tuple[str, ...]) -> None:
    assert read_ignore(text) == patterns, rule


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        ("a\n !", 2, 2, "no pattern behind it", "!pattern"),
        ("!/", 1, 1, "no pattern behind it", "!pattern"),
        ("a\n\n  [b\n", 3, 3, "a [ without a ]", "\\["),
        ("!a[", 1, 1, "a [ without a ]", "\\["),
        ("[a-", 1, 1, "a [ without a ]", "\\["),
        ("[]a]", 1, 1, "a ] can't stand here", "\\]"),
        ("[-a]", 1, 1, "a - can't stand here", "\\-"),
        ("[a-]", 1, 1, "a ] can't stand here", "\\]"),
        ("[z-a]", 1, 1, "z-a goes backwards", "[a-z]"),
        ("a\\", 1, 1, "escapes nothing", "\\\\"),
        ("a\\ ", 1, 1, "escapes nothing", "\\\\"),
        ("[a\\", 1, 1, "escapes nothing", "\\\\"),
        ("a**b" * 10, 1, 1, "too many **", "several patterns"),
    ],
)
def test_error(text: str, line: int, column: int, message: str, hint: str) -> None:
    with pytest.raises(IgnoreError) as caught:
        read_ignore(text)
    assert message in caught.value.message and hint in caught.value.hint
    assert (caught.value.line, caught.value.column) == (line, column)


def test_exclude() -> None:
    assert exclude_patterns(["*.md", "", " a/ ", "./b", "a**b", "!a/c"]) == ("*.md", "a", "b", "ab", "a**/b", "!a/c")
    assert exclude_patterns(["/a", "!/b", "..", "."]) == ()
    assert exclude_patterns(["!b"]) == ("!b",), "it may follow one that is read elsewhere"
    for wrong in ("!", "[a"):
        with pytest.raises(IgnoreError):
            exclude_patterns([wrong])


def test_what_is_outside_of_the_root_matches_nothing() -> None:
    assert not Rules(["../a", "a/../../a"])
    assert Rules(["/../a"]).excludes("a")
