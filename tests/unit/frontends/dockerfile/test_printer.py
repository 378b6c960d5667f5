"""Syntax to text."""

import pytest

from frontends.dockerfile.parser import parse
from frontends.dockerfile.printer import print_file


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("one instruction a line", "FROM a\n\n\n  RUN b \\\n   c  \n", "\nFROM a\nRUN b    c\n"),
        (
            "directives",
            "#syntax=x y\n#escape=`\n#check=error=true;skip=a,B;experimental=C\nFROM a",
            "# syntax=x\n# escape=`\n# check=skip=a,b;error=true;experimental=c\n\nFROM a\n",
        ),
        ("all checks", "#check=skip=all;experimental=all\nFROM a", "# check=skip=all;experimental=all\n\nFROM a\n"),
        ("comments", "\n# escape=`\nFROM a\n#b\n#\n#c\nRUN d", "\n# escape=`\nFROM a\n# c\nRUN d\n"),
        ("here-documents", "FROM a\nRUN <<-A\n\tb\n\tA\n", "\nFROM a\nRUN <<-A\n\tb\nA\n"),
        ("triggers", "FROM a\nONBUILD COPY <<B c  \nd\nB\n", "\nFROM a\nONBUILD COPY <<B c  \nd\nB\n"),
    ],
)
def test_print(rule: str, text: str, expected: str) -> None:
    file = parse(text, "Dockerfile")
    assert print_file(file) == expected, rule
    assert parse(expected, "Other") == file, rule
