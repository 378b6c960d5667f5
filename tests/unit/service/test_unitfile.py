from __future__ import annotations

import pytest

from buildkit_py.errors import UsageError
from buildkit_py.service.unitfile import Directive, parse, render, text, word


def test_parse() -> None:
    found = parse("# c\n; c\n\n[Unit]\n Description = a = b \r\n[Service]\nType=exec\n", "x")
    assert found == (Directive("Unit", "Description", "a = b"), Directive("Service", "Type", "exec"))


@pytest.mark.parametrize(
    "template",
    [
        "Description=no section",
        "[Unit]\nDescription=goes on \\\nExecStart=/bin/sh",
        "[Unit]\nDescription=a\rExecStart=/bin/sh",
        "[Unit]\nDescription=a\0b",
        "[Unit]\nDescription=a\x85b",
        "[Unit]\nDescription=a\u2028b",
        "[Unit\nDescription=a",
        "[Unit]\nno directive",
        "[Unit]\n=x",
        f"[Unit]\nDescription={'x' * 5000}",
    ],
)
def test_what_is_not_one_plain_line_each(template: str) -> None:
    with pytest.raises(UsageError, match="of the label"):
        parse(template, "the label")


def test_render_groups_sections() -> None:
    lines = [Directive("Unit", "A", "1"), Directive("Service", "B", "2"), Directive("Unit", "A", "3")]
    assert render(lines) == "[Unit]\nA=1\nA=3\n\n[Service]\nB=2\n"


@pytest.mark.parametrize("value", ["a\nExecStart=/bin/sh", "a\rb", "a\0b", "a\\", "a\x1bb"])
def test_nothing_gets_out_that_is_more_than_a_line(value: str) -> None:
    with pytest.raises(UsageError):
        render([Directive("Unit", "Description", value)])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("100% of %n", "100%% of %%n"),
        (" a\nb\r\0c \\ \\\\", "a b  c"),
        ("\\", ""),
        ("ü — 日本", "ü — 日本"),
        ("\u202eab", "ab"),
    ],
)
def test_text(value: str, shown: str) -> None:
    assert text(value) == shown
    render([Directive("Unit", "Description", text(value))])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/usr/bin/runc", "/usr/bin/runc"),
        ("/a b", '"/a b"'),
        ('a"$X%n\\', '"a\\"$$X%%n\\\\"'),
        ("", '""'),
        (";", '";"'),
    ],
)
def test_words(value: str, shown: str) -> None:
    assert word(value) == shown
