"""JSON lists of words, and text for a shell."""

import pytest

from frontends.dockerfile.forms import is_list, parted, read_command, read_words
from tests.support.dockerfile_parse import complaint, part


@pytest.mark.parametrize(
    ("rule", "text", "words"),
    [
        ("one word", '["a"]', ("a",)),
        ("white space anywhere", '[ "a" ,\t"b c" ]', ("a", "b c")),
        ("an empty list", "[]", ()),
        ("an empty word", '[""]', ("",)),
        ("escapes of JSON", r'["a\"b\\c\n\u00e9"]', ('a"b\\c\né',)),
        ("a pair of surrogates", r'["\ud83d\ude00"]', ("😀",)),
        ("half a pair", r'["a\ud83d"]', ("a\ufffd",)),
        ("brackets in words", '["a]", "[b"]', ("a]", "[b")),
    ],
)
def test_exec(rule: str, text: str, words: tuple[str, ...]) -> None:
    command = read_command(part(text))
    assert (command.form, command.words) == ("exec", words), rule


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("single quotes", "['a']"),
        ("a comma at the end", '["a",]'),
        ("text behind it", '["a"] b'),
        ("a comment behind it", '["a"] # b'),
        ("not closed", '["a"'),
        ("no quotes", "[ a ]"),
        ("a test of the shell", '[ -f x ] && echo "y"'),
        ("a tab in a word", '["a\tb"]'),
        ("numbers that are none in JSON", "[NaN, Infinity]"),
        ("a number beyond all floats", "[1e999]"),
        ("a whole one", "[" + "1" * 5000 + "]"),
        ("an object", '{"a": "b"}'),
        ("a word", '"a"'),
        ("nothing of all that", "echo  a"),
    ],
)
def test_shell(rule: str, text: str) -> None:
    command = read_command(part(text))
    assert (command.form, command.words) == ("shell", (text,)), rule


def test_no_command() -> None:
    command = read_command(part(""))
    assert (command.form, command.words) == ("shell", ())


@pytest.mark.parametrize("name", ["RUN", "CMD", "ENTRYPOINT", "SHELL", "COPY", "ADD", "VOLUME", "HEALTHCHECK CMD"])
@pytest.mark.parametrize("other", ["1", "1.5", "null", "true", '["b"]', '{"b": "c"}', "-1e300"])
def test_a_list_of_other_things(name: str, other: str) -> None:
    assert complaint(f'{name} ["a", {other}]').startswith("a list of words holds ")


def test_under_onbuild() -> None:
    assert complaint('ONBUILD RUN ["a", 1]') == "a list of words holds a number"


def test_deep_lists_are_refused() -> None:
    assert complaint("RUN " + "[" * 100_000) == "a list of words holds another list"


def test_is_list() -> None:
    assert [is_list(text) for text in ('["a"]', "[]", "[1]", "['a']", "a", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("white space parts", "a  b\tc\v\fd", [("a", 1), ("b", 4), ("c", 6), ("d", 9)]),
        ("quotes don't hold together", 'a "b c"', [("a", 1), ('"b', 3), ('c"', 6)]),
        ("other white space does not part", "a\xa0b", [("a\xa0b", 1)]),
        ("a list", '[ "a b", "c" ]', [("a b", 3), ("c", 10)]),
        ("a list with escapes", r'["a\"", "b"]', [('a"', 2), ("b", 9)]),
        ("nothing", "", []),
    ],
)
def test_words(rule: str, text: str, expected: list[tuple[str, int]]) -> None:
    assert [(word.text, word.span.column) for word in read_words(part(text))] == expected, rule


def test_parted_knows_no_lists() -> None:
    assert [word.text for word in parted(part('["a", "b"]'))] == ['["a",', '"b"]']
