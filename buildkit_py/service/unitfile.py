"""The text of systemd units: reading a template, and writing lines that say what they are meant to say and no more.

(systemd.syntax(7), systemd.unit(5).) To systemd a line ends at a line feed, a carriage return or a NUL, goes on after a
backslash, and `%` begins a specifier. What is foreign never gets there: see `text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from buildkit_py.errors import UsageError

_SECTION = re.compile(r"\[([A-Za-z][A-Za-z0-9-]*)\]\Z")
_DIRECTIVE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*=[ \t]*(.*)\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TAIL = re.compile(r"[\s\\]+\Z")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_/=.,:@+-]+\Z")
_MOST_LINE = 4096


class Directive(NamedTuple):
    """One line of a unit: its section, its key, and the value as systemd reads it."""

    section: str
    key: str
    value: str


def parse(template: str, where: str) -> tuple[Directive, ...]:
    """The directives of a template. Raises `UsageError` for what is not one plain line each."""
    found, section = [], ""
    for number, raw in enumerate(template.replace("\r\n", "\n").split("\n"), 1):
        line = raw.strip(" \t")
        if _CONTROL.search(line.replace("\t", " ")) or len(line) > _MOST_LINE:
            raise UsageError(f"line {number} of {where} holds control characters, or is too long")
        if not line or line[0] in "#;":
            continue
        if heading := _SECTION.match(line):
            section = heading[1]
        elif (directive := _DIRECTIVE.match(line)) and section and not line.endswith("\\"):
            found.append(Directive(section, directive[1], directive[2]))
        else:
            raise UsageError(
                f"line {number} of {where} is not a line of a unit",
                hint="write [Section] and below it KEY=VALUE, each on one line",
            )
    return tuple(found)


def render(directives: Iterable[Directive]) -> str:
    """A unit's text: each section once, in the order in which they come first.

    This is where every unit passes through, so no value gets out that would be more than one line.
    """
    sections: dict[str, list[str]] = {}
    for section, key, value in directives:
        if _CONTROL.search(value) or value.endswith("\\"):
            raise UsageError(f"a value of {key} holds characters that no line of a unit can have")
        sections.setdefault(section, []).append(f"{key}={value}\n")
    return "\n".join(f"[{section}]\n{''.join(lines)}" for section, lines in sections.items())


def text(value: str) -> str:
    """Foreign text as a value that means just these characters: specifiers are void, controls are blanks."""
    return _TAIL.sub("", _CONTROL.sub(" ", value)).lstrip().replace("%", "%%")


def word(value: str) -> str:
    """One argument of a command line, or one path of a list (systemd.service(5), "Command lines")."""
    if _PLAIN_WORD.match(value):
        return value
    for special, escaped in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        value = value.replace(special, escaped)
    return f'"{value}"'


def listed_path(value: str) -> str:
    """One path of a list of paths, where only quotes and specifiers count."""
    return value if _PLAIN_WORD.match(value) else f'"{value.replace("%", "%%")}"'
