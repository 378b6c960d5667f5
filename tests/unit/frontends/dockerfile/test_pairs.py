"""ENV, LABEL and ARG: words with quotes and escapes, `name=value`."""

import pytest

from frontends.dockerfile import syntax
from frontends.dockerfile.pairs import quoted_words
from tests.support.dockerfile_parse import complaint, one, part


@pytest.mark.parametrize(
    ("rule", "text", "words"),
    [
        ("white space parts", " a \t b ", ["a", "b"]),
        ("an escape holds together", "a\\ b", ["a\\ b"]),
        ("double quotes do", 'a="b c" d', ['a="b c"', "d"]),
        ("single quotes do", "a='b c' d", ["a='b c'", "d"]),
        ("quotes in a quote", "'a \"b' \"c 'd\"", ["'a \"b'", '"c \'d"']),
        ("an escaped quote", '"a \\" b" c', ['"a \\" b"', "c"]),
        ("single quotes know no escapes", "'a\\' b", ["'a\\'", "b"]),
        ("an empty quoted word", "\"\" ''", ['""', "''"]),
        ("a quote that is not closed", 'a "b c', ["a", '"b c']),
        ("a single one", "a 'b c\\", ["a", "'b c\\"]),
        ("an escape at the very end is dropped", "a b\\", ["a", "b"]),
        ("also in an open quote", 'a "b c\\', ["a", '"b c']),
        ("an escaped escape is not", "a b\\\\", ["a", "b\\\\"]),
        ("an escape alone is no word", "a \\", ["a"]),
        ("other letters", "föo \xa0bàr", ["föo", "bàr"]),
    ],
)
def test_quoted_words(rule: str, text: str, words: list[str]) -> None:
    assert [word for word, _ in quoted_words(part(text), "\\")] == words, rule


def test_the_other_escape_character() -> None:
    assert [word for word, _ in quoted_words(part("a` b c\\ d"), "`")] == ["a` b", "c\\", "d"]


def pairs(text: str) -> list[tuple[str, str | None, bool]]:
    node = one(text)
    assert isinstance(node, syntax.Env | syntax.Label | syntax.Arg)
    return [(pair.name, pair.value, pair.legacy) for pair in node.pairs]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("one", "ENV a=b", [("a", "b", False)]),
        ("several", "LABEL a=b c=d", [("a", "b", False), ("c", "d", False)]),
        ("nothing is taken away", 'ENV a="b c" d=e\\ f', [("a", '"b c"', False), ("d", "e\\ f", False)]),
        ("a value may be empty", "ENV a= b=", [("a", "", False), ("b", "", False)]),
        ("a value may hold =", "ENV a=b=c", [("a", "b=c", False)]),
        ("a quoted name", 'LABEL "a b"=c', [('"a b"', "c", False)]),
        ("a variable for a name", "LABEL $a=c", [("$a", "c", False)]),
        ("the old form", "ENV a b", [("a", "b", True)]),
        ("takes all the rest", "ENV a  b c=d  ", [("a", "b c=d", True)]),
        ("also quotes", 'LABEL a "b" c', [("a", '"b" c', True)]),
        ("parts inside a quote", 'ENV "a b" c', [('"a', 'b" c', True)]),
        ("an = in the first word makes it new", "ENV a=b", [("a", "b", False)]),
        ("over several lines", "ENV a=1 \\\n  b=2", [("a", "1", False), ("b", "2", False)]),
        ("ARG with a default", "ARG a=b", [("a", "b", False)]),
        ("ARG without", "ARG a", [("a", None, False)]),
        ("ARG with an empty one", "ARG a=", [("a", "", False)]),
        ("several ARG", "ARG a b=1 c", [("a", None, False), ("b", "1", False), ("c", None, False)]),
        ("ARG with quotes", "ARG a=\"b c\" 'd e'", [("a", '"b c"', False), ("'d e'", None, False)]),
    ],
)
def test_pairs(rule: str, text: str, expected: list[tuple[str, str | None, bool]]) -> None:
    assert pairs(text) == expected, rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ENV", "ENV needs an argument"),
        ("LABEL", "LABEL needs an argument"),
        ("ARG", "ARG needs an argument"),
        ("ENV a", "ENV a has no value"),
        ("ENV a=b c", "ENV needs name=value, and c has no ="),
        ("ENV a=b # c", "ENV needs name=value, and # has no ="),
        ("ENV =b", "ENV has a name that is empty"),
        ("LABEL a=b =c", "LABEL has a name that is empty"),
        ("ARG =b", "ARG has a name that is empty"),
    ],
)
def test_faults(text: str, message: str) -> None:
    assert complaint(text) == message
