"""Syntax to text: parsing it again gives the same tree."""

from __future__ import annotations

from collections.abc import Iterator

from frontends.dockerfile import syntax
from frontends.dockerfile.directives import ESCAPES
from frontends.dockerfile.words import SPACES


def print_file(file: syntax.File) -> str:
    """The text of a file, one instruction a line."""
    return "".join([*_directives(file), *map(_instruction, syntax.instructions(file))])


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
    return ";".join(f"{name}={value}" for name, value in parts.items() if value)


def _instruction(node: syntax.Instruction) -> str:
    comments = "".join(f"# {comment}\n" for comment in node.comments)
    return f"{comments}{node.text}{_tail(node)}\n{''.join(map(_document, _documents(node)))}"


def _tail(node: syntax.Instruction) -> str:
    """White space that a logical line ends with, and that a trigger keeps."""
    if not isinstance(node, syntax.OnBuild):
        return ""
    line = node.expression.split("\n", 1)[0]
    return line[len(line.rstrip(SPACES)) :]


def _documents(node: syntax.Instruction) -> tuple[syntax.Heredoc, ...]:
    if isinstance(node, syntax.OnBuild):
        return _documents(node.trigger)
    return node.heredocs if isinstance(node, syntax.Run | syntax.Copy) else ()


def _document(document: syntax.Heredoc) -> str:
    return f"{document.raw}{document.name}\n"
