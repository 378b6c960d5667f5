"""Syntax to text: parsing it again gives the same tree."""

from __future__ import annotations

from collections.abc import Iterator

from frontends.dockerfile import syntax
from frontends.dockerfile.directives import ESCAPES
from frontends.dockerfile.lines import joins
from frontends.dockerfile.words import SPACES


def print_file(file: syntax.File) -> str:
    """The text of a file, one instruction a line."""
    lines = (_instruction(node, file.escape) for node in syntax.instructions(file))
    return "".join([*_directives(file), *lines])


def _directives(file: syntax.File) -> Iterator[str]:
    if file.syntax is not None:
        yield f"# syntax={file.syntax}\n"
    if file.escape != ESCAPES[0]:
        yield f"# escape={file.escape}\n"
    if file.check != syntax.CheckOptions():
        yield f"# check={_check(file.check)}\n"
    # Behind a blank line a comment can't be taken for a directive.
    yield "\n"


def _check(check: syntax.CheckOptions) -> str:
    skip = "all" if check.skip_all else ",".join(check.skip)
    experimental = "all" if check.experimental_all else ",".join(check.experimental)
    parts = {"skip": skip, "error": "true" if check.error else "", "experimental": experimental}
    # Only the last part can have a semicolon of its own.
    return ";".join(sorted((f"{name}={value}" for name, value in parts.items() if value), key=lambda part: ";" in part))


def _instruction(node: syntax.Instruction, escape: str) -> str:
    comments = "".join(f"# {comment}\n" for comment in node.comments)
    return f"{comments}{_line(node, escape)}\n{_documents(node)}"


def _line(node: syntax.Instruction, escape: str) -> str:
    line = node.text
    if isinstance(node, syntax.OnBuild):
        # A trigger keeps the white space that its line ends with.
        trigger = node.expression.split("\n", 1)[0]
        line += trigger[len(trigger.rstrip(SPACES)) :]
    # An escape character that does not join lines has other white space behind it than blanks and tabs.
    return line + "\v" if joins(line, escape) else line


def _documents(node: syntax.Instruction) -> str:
    if isinstance(node, syntax.OnBuild):
        return _documents(node.trigger)
    if isinstance(node, syntax.Run):
        return "".join(_document(document, document.raw) for document in node.heredocs)
    if isinstance(node, syntax.Copy):
        # Of several with one name the last has the text.
        last = {document.name: number for number, document in enumerate(node.heredocs)}
        bodies = (
            (document, document.raw if last[document.name] == number else "")
            for number, document in enumerate(node.heredocs)
        )
        return "".join(_document(document, raw) for document, raw in bodies)
    return ""


def _document(document: syntax.Heredoc, raw: str) -> str:
    return f"{raw}{document.name}\n"
