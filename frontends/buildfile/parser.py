"""Text to syntax. The only module that imports the parsing library, and only when a text must be parsed.

A statement that can't be parsed is replaced by one token of its length and the text parsed again, so one run reports
every wrong statement.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic
from frontends.buildfile import syntax
from frontends.buildfile.build import Builder
from frontends.buildfile.mask import BROKEN, Masked, mask
from frontends.buildfile.messages import Surprise, explain
from frontends.buildfile.text import MAX_CHARACTERS, SourceText, fault

if TYPE_CHECKING:
    from lark import Lark

MAX_FAULTS = 20


def parse(source: SourceText) -> tuple[syntax.File, list[Diagnostic]]:
    """Parse a file; what could not be parsed is `Broken` in it, and in the diagnostics."""
    if len(source.text) > MAX_CHARACTERS:
        raise fault(f"a build file may have {MAX_CHARACTERS} characters, {source.file} has more", None)
    masked = mask(source)
    diagnostics = [diagnostic for _, diagnostic in masked.faults[:MAX_FAULTS]]
    nothing = syntax.File(body=(syntax.Broken(declares=None, span=source.span(0, 0)),))
    if len(masked.faults) > MAX_FAULTS:
        return nothing, diagnostics
    for offset, _ in masked.faults:
        if offset >= 0:
            _break_statement(masked, offset, offset)
    tree = _parse_all(source, masked, diagnostics)
    if tree is None:
        return nothing, diagnostics
    builder = Builder(source, masked, 0, lambda start, end: parse_expression(source, start, end))
    made = builder.file(tree)
    return made, [*diagnostics, *builder.diagnostics]


def parse_expression(source: SourceText, start: int, end: int) -> syntax.Expression:
    """Parse the expression between two offsets; raises `SourceError`."""
    from lark import UnexpectedInput

    masked = mask(source, start, end)
    if masked.faults:
        raise SourceError([masked.faults[0][1]])
    if not masked.text.strip():
        raise fault("`${}` holds no expression", source.span(start - 2, end + 1), hint="write a name in it: `${name}`")
    try:
        tree = _grammar().parse(masked.text, start="expression")
    except UnexpectedInput as error:
        surprise = _surprise(masked.text, error)
        raise SourceError([explain(source, masked.text, surprise, base=start)]) from None
    builder = Builder(source, masked, start, lambda first, last: parse_expression(source, first, last))
    return builder.expression(tree.children[0])


@cache
def _grammar() -> Lark:
    from lark import Lark

    import grammar

    return Lark.open_from_package(
        grammar.__name__,
        "buildfile.lark",
        parser="lalr",
        start=["file", "expression"],
        propagate_positions=True,
    )


def _parse_all(source: SourceText, masked: Masked, diagnostics: list[Diagnostic]) -> Any:
    from lark import UnexpectedInput

    for _ in range(MAX_FAULTS):
        try:
            return _grammar().parse(masked.text, start="file")
        except UnexpectedInput as error:
            surprise = _surprise(masked.text, error)
            if masked.text.startswith(BROKEN, surprise.start):
                _blank_broken(masked, surprise.start)
                continue
            diagnostics.append(explain(source, masked.text, surprise))
            if not _break_statement(masked, surprise.start, surprise.end):
                return None
    return None


def _surprise(text: str, error: Any) -> Surprise:
    """What the parser met, and what it would have taken."""
    token = getattr(error, "token", None)
    expected = frozenset(getattr(error, "accepts", None) or getattr(error, "expected", None) or error.allowed or ())
    if token is None:
        return Surprise(start=error.pos_in_stream, end=error.pos_in_stream + 1, expected=expected)
    if token.type == "$END":
        return Surprise(start=len(text), end=len(text), expected=expected)
    return Surprise(start=token.start_pos, end=token.end_pos, expected=expected)


def _break_statement(masked: Masked, start: int, end: int) -> bool:
    """Replace the statement around an offset, with its block, by a token that stands for a broken one."""
    first, last = statement_around(masked.text, start)
    if first == last:
        return False
    masked.text = masked.text[:first] + BROKEN * (last - first) + masked.text[last:]
    return True


def _blank_broken(masked: Masked, start: int) -> None:
    """Take away a broken statement that itself stands where none may stand."""
    end = start
    while masked.text.startswith(BROKEN, end):
        end += 1
    masked.text = masked.text[:start] + " " * (end - start) + masked.text[end:]


def statement_around(text: str, offset: int) -> tuple[int, int]:
    """Start and end of the statement of masked text that an offset is in, or that ends at it."""
    first = offset
    while first > 0 and text[first - 1] not in "\n;{}":
        first -= 1
    while first < len(text) and text[first] in " \t":
        first += 1
    last, depth = first, 0
    while last < len(text):
        char = text[last]
        if depth == 0 and char in "\n;}" and last >= offset:
            break
        depth += (char == "{") - (char == "}")
        last += 1
    while last > first and text[last - 1] in " \t":
        last -= 1
    return first, last
