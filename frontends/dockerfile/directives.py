"""`# syntax=…`, `# escape=…`, `# check=…`: the lines at the very top of a file that are more than comments.

Any other line ends them, an unknown directive and a plain comment too. Names are the same in any case.
"""

from __future__ import annotations

import re

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Diagnostic, Span
from frontends.dockerfile.check_options import CheckOptionError, read_check_options
from frontends.dockerfile.syntax import CheckOptions
from frontends.dockerfile.text import Source
from frontends.dockerfile.words import SPACES

ESCAPES = ("\\", "`")

_NAMES = frozenset({"syntax", "escape", "check"})
_FORM = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*")
_TAIL = "\t\n\f\r "


@dataclass(slots=True, kw_only=True)
class Directives:
    """What the top of a file says. `lines` are the numbers, from 0, of the lines that say it."""

    escape: str = ESCAPES[0]
    syntax: str | None = None
    check: CheckOptions = field(default_factory=CheckOptions)
    lines: set[int] = field(default_factory=set)
    faults: list[Diagnostic] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Directive:
    name: str
    value: str
    span: Span
    value_span: Span


def read_directives(source: Source) -> Directives:
    """Read the top of a file. Faults are collected, and the directive that is wrong counts for nothing."""
    found = Directives()
    seen: dict[str, Span] = {}
    for number in range(len(source)):
        directive = _directive(source, number, indented=True)
        if directive is None:
            break
        if directive.name in seen:
            found.faults.append(_twice(directive, seen[directive.name]))
            continue
        seen[directive.name] = directive.span
        found.lines.add(number)
        if directive.name == "escape":
            _escape(found, directive)
    _others(source, found)
    return found


def _others(source: Source, found: Directives) -> None:
    """`syntax` and `check` are looked for apart from `escape`: below a `#!` line, and never behind white space."""
    known: set[str] = set()
    for number in range(_has_interpreter(source), len(source)):
        directive = _directive(source, number, indented=False)
        if directive is None or directive.name in known:
            return
        known.add(directive.name)
        if directive.name == "syntax":
            found.syntax = directive.value.split(" ", 1)[0]
        elif directive.name == "check":
            _check(found, directive)


def _has_interpreter(source: Source) -> bool:
    return source.text.startswith("#!")


def _directive(source: Source, number: int, *, indented: bool) -> _Directive | None:
    raw = source.raw(number).rstrip("\r\n")
    text = raw.lstrip(SPACES) if indented else raw
    if not text.startswith("#"):
        return None
    start = source.line_starts[number] + len(raw) - len(text)
    body = text[1:].lstrip(SPACES)
    form = _FORM.match(body)
    value = body[form.end() :].rstrip(_TAIL) if form else ""
    if form is None or not value or form[1].lower() not in _NAMES:
        return None
    at = start + len(text) - len(body) + form.end()
    return _Directive(
        name=form[1].lower(),
        value=value,
        span=source.span(start, at + len(value)),
        value_span=source.span(at, at + len(value)),
    )


def _twice(directive: _Directive, first: Span) -> Diagnostic:
    return Diagnostic(
        message=f"the directive {directive.name} stands here a second time",
        span=directive.span,
        hint="keep one of them",
        notes=(("the first stands here", first),),
    )


def _escape(found: Directives, directive: _Directive) -> None:
    if directive.value in ESCAPES:
        found.escape = directive.value
        return
    message = f"the escape character can't be {directive.value!r}"
    found.faults.append(
        Diagnostic(message=message, span=directive.value_span, hint="write # escape=` or # escape=\\ (the default)")
    )


def _check(found: Directives, directive: _Directive) -> None:
    try:
        found.check = read_check_options(directive.value.split(" ", 1)[0])
    except CheckOptionError as error:
        found.faults.append(Diagnostic(message=error.message, span=directive.value_span, hint=error.hint))
