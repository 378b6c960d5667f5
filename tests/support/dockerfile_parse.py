"""Dockerfiles parsed in a test."""

from __future__ import annotations

from collections.abc import Sequence

from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic
from frontends.dockerfile import syntax
from frontends.dockerfile.parser import parse
from frontends.dockerfile.text import Line, Part, Source


def line(text: str) -> Line:
    """A logical line that is one physical line."""
    return Line(source=Source.of(text, "Dockerfile"), text=text, starts=(0,), offsets=(0,))


def part(text: str) -> Part:
    """All of a logical line."""
    return line(text).whole


def body(text: str) -> tuple[syntax.Instruction, ...]:
    """The instructions below a FROM that is put above them."""
    return parse(f"FROM a\n{text}", "Dockerfile").stages[0].instructions


def one(text: str) -> syntax.Instruction:
    """The one instruction that a text is."""
    (found,) = body(text)
    return found


def faults(text: str) -> Sequence[Diagnostic]:
    """What is wrong with a Dockerfile."""
    try:
        parse(text, "Dockerfile")
    except SourceError as error:
        return error.diagnostics
    raise AssertionError("the Dockerfile was accepted")


def complaint(text: str) -> str:
    """What is wrong with the one instruction that a text is, below a FROM."""
    (found,) = faults(f"FROM a\n{text}")
    assert found.span is not None and found.span.line == 2
    assert found.hint
    return found.message
