"""Answers about a build file as BuildKit's clients print them, as tables and as JSON: programs read both."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from buildkit_py.progress.text import clean
from buildkit_py.source import visible

if TYPE_CHECKING:
    from buildkit_py.engine.asking import Answer, Question
    from buildkit_py.source import Diagnostic, Span

_RULER = "-" * 20
_AROUND = 2


def as_json(found: Answer, question: Question) -> str:
    """The answer as one JSON value."""
    plain = {"check": _check_plain, "outline": _outline_plain, "targets": _targets_plain}[question](found)
    return json.dumps(plain, indent=2)


def as_text(found: Answer, question: Question) -> str:
    """An outline, or the targets, as tables."""
    return _outline_text(found) if question == "outline" else _targets_text(found)


def checked(found: Answer) -> str:
    """The warnings of a check, each with its lines."""
    warnings = sorted(
        (item for item in found.value if item.severity != "error"), key=lambda item: item.span.line if item.span else 0
    )
    if not found.value:
        return "Check complete, no warnings found.\n"
    if not warnings:
        return ""
    count = "1 warning has" if len(warnings) == 1 else f"{len(warnings)} warnings have"
    return f"Check complete, {count} been found!\n" + "".join(_warning_text(item, found) for item in warnings)


def _warning_text(item: Diagnostic, found: Answer) -> str:
    rule = found.rules.get(item.rule or "")
    address = f" - {rule.url}" if rule is not None else ""
    head = f"\nWARNING: {item.rule or 'Warning'}{address}\n{clean(item.message)}\n"
    return head + (_excerpt(found, item.span) if item.span else "")


def _excerpt(found: Answer, span: Span) -> str:
    """The lines of a span, marked, among those around them."""
    lines = found.file.text.split("\n")
    around = _AROUND if span.line == span.end_line else 1
    first, last = max(1, span.line - around), min(len(lines), span.end_line + around)
    rows = [
        f" {number:3} | {'>>>' if span.line <= number <= span.end_line else '   '} {visible(lines[number - 1])}\n"
        for number in range(first, last + 1)
    ]
    return f"{span.file}:{span.line}\n{_RULER}\n{''.join(rows)}{_RULER}\n"


def _check_plain(found: Answer) -> dict[str, Any]:
    errors = [item for item in found.value if item.severity == "error"]
    warnings = [item for item in found.value if item.severity != "error"]
    plain: dict[str, Any] = {
        "warnings": [_warning_plain(item, found) for item in warnings],
        "sources": [{"filename": found.file.shown, "language": _language(found), "data": _data(found)}],
    }
    if errors:
        plain["buildError"] = {"message": errors[0].message, **_place(errors[0].span)}
    return plain


def _warning_plain(item: Diagnostic, found: Answer) -> dict[str, Any]:
    rule = found.rules.get(item.rule or "")
    described = {"description": rule.description, "url": rule.url} if rule is not None else {}
    return {"ruleName": item.rule or "", **described, "detail": item.message, **_place(item.span)}


def _place(span: Span | None) -> dict[str, Any]:
    """A location: one range a line; lines count from 1, characters from 0."""
    if span is None:
        return {"location": {"sourceIndex": -1, "ranges": []}}
    last = span.end_line
    ranges = [
        {
            "start": {"line": line, "character": span.column - 1 if line == span.line else 0},
            "end": {"line": line, "character": span.end_column - 1 if line == last else 0},
        }
        for line in range(span.line, last + 1)
    ]
    return {"location": {"ranges": ranges}}


def _language(found: Answer) -> str:
    return found.file.frontend.capitalize()


def _data(found: Answer) -> str:
    return base64.b64encode(found.file.text.encode()).decode()


def _outline_plain(found: Answer) -> dict[str, Any]:
    outline = found.value
    plain = {
        "name": getattr(outline, "name", ""),
        "description": getattr(outline, "description", ""),
        "args": [
            _sparse(name=name, description=text, value=value) | _located(item)
            for name, value, text, item in _arguments(outline)
        ],
        "secrets": [_sparse(name=item.name, required=_required(item)) | _located(item) for item in outline.secrets],
        "ssh": [
            _sparse(name=item.name, required=item.required) | _located(item) for item in getattr(outline, "ssh", ())
        ],
        "cache": [{"ID": item.id} | _located(item) for item in getattr(outline, "caches", ())],
        "sources": [_data(found)],
    }
    return {name: value for name, value in plain.items() if value}


def _targets_plain(found: Answer) -> dict[str, Any]:
    rows = [
        _sparse(
            name=item.name,
            default=getattr(item, "default", False) is True,
            description=_about(item),
            base=getattr(item, "base", ""),
            platform=getattr(item, "platform", ""),
        )
        | _located(item)
        for item in found.value
    ]
    return {"targets": rows, "sources": [_data(found)]}


def _sparse(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value or name == "name"}


def _located(item: Any) -> dict[str, Any]:
    span = getattr(item, "location", None)
    return _place(span) if span is not None else {}


def _about(item: Any) -> str:
    return str(getattr(item, "description", "") or getattr(item, "help", ""))


def _required(item: Any) -> bool:
    return bool(getattr(item, "required", True))


def _arguments(outline: Any) -> list[tuple[str, str, str, Any]]:
    """Name, value and description of all that a build file takes: arguments of the one kind, params of the other."""
    args = getattr(outline, "args", None)
    if args is not None:
        return [(item.name, item.value, item.description, item) for item in args]
    return [(item.name, item.default or "", item.help, item) for item in outline.params]


def _outline_text(found: Answer) -> str:
    outline = found.value
    name, about = getattr(outline, "name", ""), getattr(outline, "description", "")
    head = [("TARGET:", name or "(default)"), *([("DESCRIPTION:", about)] if about else [])] if name or about else []
    blocks = [
        _table(head, gap=1),
        _table(_headed(("BUILD ARG", "VALUE", "DESCRIPTION"), (row[:3] for row in _arguments(outline)))),
        _table(_headed(("SECRET", "REQUIRED"), ((item.name, _yes(_required(item))) for item in outline.secrets))),
        _table(
            _headed(("SSH", "REQUIRED"), ((item.name, _yes(item.required)) for item in getattr(outline, "ssh", ())))
        ),
    ]
    return "".join(f"{block}\n" for block in blocks if block)


def _targets_text(found: Answer) -> str:
    rows = [(_called(item), _about(item)) for item in found.value]
    return _table([("TARGET", "DESCRIPTION"), *rows], gap=1)


def _called(item: Any) -> str:
    if getattr(item, "default", False) is not True:
        return str(item.name)
    return f"{item.name} (default)" if item.name else "(default)"


def _yes(value: bool) -> str:
    return "true" if value else ""


def _headed(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    found = list(rows)
    return [head, *found] if found else []


def _table(rows: Sequence[Sequence[str]], gap: int = 3) -> str:
    """Columns that are as wide as what stands in them; the last is as it is."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) + gap for column in zip(*cells, strict=True)]
    return "".join(
        "".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]) + "\n"
        for row in cells
    )
