"""Physical lines to logical ones: continuations, comments, blank lines, positions."""

import pytest

from frontends.dockerfile.parser import parse
from tests.support.dockerfile_parse import body, faults, one


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("one line", "RUN a", "RUN a"),
        ("white space at the ends", " \t RUN a \t ", "RUN a"),
        ("a continuation", "RUN a \\\n  b", "RUN a   b"),
        ("white space behind the escape character", "RUN a \\ \t \n b", "RUN a  b"),
        ("two escape characters are none", "RUN a \\\\\nRUN b", "RUN a \\\\"),
        ("a comment inside is dropped", "RUN a \\\n# c\n  # d \\\n b", "RUN a  b"),
        ("a blank line inside is dropped", "RUN a \\\n\n \t\n b", "RUN a  b"),
        ("CRLF", "RUN a \\\r\n b\r\n", "RUN a  b"),
        ("the end of the file ends it", "RUN a \\", "RUN a"),
        ("comments up to the end of the file", "RUN a \\\n# c\n", "RUN a"),
        ("the keyword may be parted", "RU\\\nN a", "RUN a"),
        ("a line may be an escape character alone", "\\\nRUN a", "RUN a"),
        ("such a line inside", "RUN a\\\n\\\n b", "RUN a b"),
        ("a # inside a line is no comment", "RUN a # b", "RUN a # b"),
        ("a comment that ends in an escape character", "# c \\\nRUN a", "RUN a"),
        ("other white space behind it makes it none", "RUN a \\\v\nRUN b", "RUN a \\"),
    ],
)
def test_text(rule: str, text: str, expected: str) -> None:
    assert body(text)[0].text == expected, rule


def test_the_other_escape_character() -> None:
    file = parse("# escape=`\nFROM a\nRUN x `\n y \\\nRUN z\n", "Dockerfile")
    assert [each.text for each in file.stages[0].instructions] == ["RUN x  y \\", "RUN z"]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("right above", "# a\n#b  \nRUN x", ("a", "b")),
        ("blank lines part nothing", "# a\n\n\n# b\n\nRUN x", ("a", "b")),
        ("an empty comment does", "# a\n#\n# b\nRUN x", ("b",)),
        ("an empty comment right above", "# a\n# \t\nRUN x", ()),
        ("an indented one keeps its mark", "  # a\nRUN x", ("# a",)),
        ("those inside an instruction are no one's", "RUN x \\\n# a\n y\nRUN z", ()),
    ],
)
def test_comments(rule: str, text: str, expected: tuple[str, ...]) -> None:
    assert body(text)[-1].comments == expected, rule


def test_comments_belong_to_the_next_instruction_alone() -> None:
    first, second = body("# a\nRUN x\nRUN y")
    assert (first.comments, second.comments) == (("a",), ())


@pytest.mark.parametrize(
    ("rule", "text", "lines"),
    [
        ("none", "RUN a \\\n b\n", []),
        ("a comment is none", "RUN a \\\n # c\n b\n", []),
        ("where the instruction ends", "RUN a \\\n\n b \\\n c\n", [5]),
        ("one warning an instruction", "RUN a \\\n\n\n b \\\n\n c\nRUN d \\\n\n e\n", [7, 10]),
        ("before here-documents", "RUN a \\\n\n <<E\nx\nE\n", [4]),
        ("at the end of the file", "RUN a \\\n\n", [3]),
    ],
)
def test_warnings(rule: str, text: str, lines: list[int]) -> None:
    found = parse(f"FROM a\n{text}", "Dockerfile").warnings
    assert [each.span.line for each in found if each.span] == lines, rule
    assert {each.rule for each in found} <= {"NoEmptyContinuation"}
    assert all(each.severity == "warning" and each.hint for each in found)


@pytest.mark.parametrize(
    ("rule", "text", "span", "head"),
    [
        ("one line", "  RUN a  ", (2, 3, 2, 8), (2, 3, 2, 6)),
        ("several", "RUN a \\\n  b  ", (2, 1, 3, 4), (2, 1, 2, 4)),
        ("with here-documents", "RUN <<E\nx\nE", (2, 1, 4, 2), (2, 1, 2, 4)),
        ("a keyword in two parts", "RU\\\nN a", (2, 1, 3, 4), (2, 1, 3, 2)),
    ],
)
def test_spans(rule: str, text: str, span: tuple[int, ...], head: tuple[int, ...]) -> None:
    node = one(text)
    assert (node.span.line, node.span.column, node.span.end_line, node.span.end_column) == span, rule
    assert (node.head.line, node.head.column, node.head.end_line, node.head.end_column) == head, rule


def test_a_word_of_a_continuation_knows_its_place() -> None:
    node = one("EXPOSE 1 \\\n# c\n\n   22 \\\n 3\n")
    assert [(port.span.line, port.span.column) for port in node.ports] == [(2, 8), (5, 4), (6, 2)]  # type: ignore[attr-defined]


def test_a_byte_order_mark_counts_for_no_column() -> None:
    assert parse("\ufeffFROM a\n", "Dockerfile").stages[0].start.base.span.column == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no instruction in this file"),
        ("\n\n", "there is no instruction in this file"),
        ("# only a comment\n", "there is no instruction in this file"),
        ("ARG a=1\n", "no stage begins in this file"),
        ("RUN a\nRUN b\nFROM c\nRUN d\n", "RUN stands above the first FROM"),
        ("FROM a\n\\\n", "there is no instruction on this line"),
    ],
)
def test_files_without_a_stage(text: str, message: str) -> None:
    (found,) = faults(text)
    assert (found.message, bool(found.hint)) == (message, True)


def test_faults_are_told_in_the_order_of_the_text() -> None:
    found = faults("FROM a\nENV a\nFOO\n# c\nCOPY --x=1 --from a\n")
    places = [(each.span.line, each.span.column) for each in found if each.span]
    assert places == sorted(places)
    assert [line for line, _ in places] == [2, 3, 5, 5, 5]


def test_a_fault_further_down_is_named_by_its_instruction() -> None:
    (found,) = faults("FROM a\nCOPY --chown=1 \\\n  --bad=1 x y\n")
    assert found.span is not None and found.span.line == 2
    ((_, place),) = found.notes
    assert (place.line, place.column) == (3, 3)


def test_there_is_an_end_to_faults() -> None:
    assert len(faults("x\n" * 1000)) == 50


def test_too_long() -> None:
    (found,) = faults("FROM a\n# " + "x" * 1024 * 1024)
    assert "may have 1048576 characters" in found.message
