"""`# syntax=`, `# escape=` and `# check=` at the top of a file."""

import pytest

from frontends.dockerfile.parser import parse
from frontends.dockerfile.syntax import CheckOptions
from tests.support.dockerfile_parse import faults

REST = "FROM a\n"


@pytest.mark.parametrize(
    ("rule", "text", "escape"),
    [
        ("the default", "", "\\"),
        ("a backtick", "# escape=`\n", "`"),
        ("a backslash", "# escape=\\\n", "\\"),
        ("any case, any white space", "#   EsCaPe \t=  `  \n", "`"),
        ("behind white space", "  \t# escape=`\n", "`"),
        ("CRLF", "# escape=`\r\n", "`"),
        ("a byte order mark", "\ufeff# escape=`\n", "`"),
        ("below another directive", "# syntax=x\n# check=skip=all\n# escape=`\n", "`"),
        ("a comment ends them", "# comment\n# escape=`\n", "\\"),
        ("an empty comment ends them", "#\n# escape=`\n", "\\"),
        ("an unknown one ends them", "# key=value\n# escape=`\n", "\\"),
        ("a blank line ends them", "\n# escape=`\n", "\\"),
        ("one without a value is a comment", "# escape=\n# escape=`\n", "\\"),
        ("an interpreter line ends them", "#!/bin/sh\n# escape=`\n", "\\"),
        ("an instruction ends them", "ARG x\n# escape=`\n", "\\"),
    ],
)
def test_escape(rule: str, text: str, escape: str) -> None:
    assert parse(text + REST, "Dockerfile").escape == escape, rule


@pytest.mark.parametrize(
    ("rule", "text", "syntax"),
    [
        ("none", "", None),
        ("up to the first space", "# syntax=docker/dockerfile:1 // options\n", "docker/dockerfile:1"),
        ("any case", "#SYNTAX=x\n", "x"),
        ("below an interpreter line", "#!/bin/sh\n# syntax=x\n", "x"),
        ("not below a blank line after one", "#!/bin/sh\n\n# syntax=x\n", None),
        ("not behind white space", " # syntax=x\n", None),
        ("below a directive", "# escape=`\n# syntax=x\n", "x"),
    ],
)
def test_syntax(rule: str, text: str, syntax: str | None) -> None:
    assert parse(text + REST, "Dockerfile").syntax == syntax, rule


def test_check() -> None:
    text = "# check=skip=StageNameCasing,FromAsCasing;error=true;experimental=all\n" + REST
    assert parse(text, "Dockerfile").check == CheckOptions(
        skip=("stagenamecasing", "fromascasing"), error=True, experimental_all=True
    )


def test_check_is_read_up_to_the_first_space() -> None:
    assert parse(f"# check=skip=all // why\n{REST}", "Dockerfile").check == CheckOptions(skip_all=True)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("# escape=`\n# syntax=a\n# Escape=`\n", 3, "the directive escape stands here a second time"),
        ("# check=skip=all\n# check=skip=all\n", 2, "the directive check stands here a second time"),
        ("# escape=x\n", 1, "the escape character can't be 'x'"),
        ("# escape=``\n", 1, "the escape character can't be '``'"),
        ("# check=skipp=all\n", 1, "not an option of checks: 'skipp=all'"),
        ("# check=error=maybe\n", 1, "error is true or false, not 'maybe'"),
    ],
)
def test_faults(text: str, line: int, message: str) -> None:
    (found,) = faults(text + REST)
    assert found.span is not None
    assert (found.span.line, found.message) == (line, message)
    assert found.hint


def test_a_directive_is_no_comment_of_what_is_below() -> None:
    file = parse(f"# syntax=x\n# escape=`\n# note\n{REST}", "Dockerfile")
    assert file.stages[0].start.comments == ("note",)


def test_below_an_interpreter_line_it_is_one_too() -> None:
    file = parse(f"#!/bin/sh\n# check=skip=all\n{REST}", "Dockerfile")
    assert file.stages[0].start.comments == ("!/bin/sh", "check=skip=all")
