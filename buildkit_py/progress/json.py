"""One JSON object a line, an event each: `{"event": "Started", "at": 0.1, …}`, for programs.

Fields are those of `buildkit_py.events` (of a diagnostic: `rule`, `text`, `span`, `hint`); a span is
`[file, line, column, end line, end column]`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import fields
from buildkit_py.progress.view import Sink, View
from buildkit_py.source import Diagnostic, Span

if TYPE_CHECKING:
    from typing import TextIO

    from buildkit_py.events import Event


class JsonView(View):
    """Writes every event as one line."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._sink = Sink(stream)

    def _show(self, event: Event, number: int) -> None:
        self._sink.write(json.dumps(to_plain(event)) + "\n")


def to_plain(event: Event) -> dict[str, Any]:
    """An event as a JSON value; fields that are None are left out."""
    plain: dict[str, Any] = {"event": type(event).__name__}
    for item in fields(event):
        value = getattr(event, item.name)
        if isinstance(value, Span):
            value = _span(value)
        if isinstance(value, Diagnostic):
            plain |= _warning(value)
        elif value is not None:
            plain[item.name] = round(value, 6) if isinstance(value, float) else value
    return plain


def _span(span: Span) -> list[str | int]:
    return [span.file, span.line, span.column, span.end_line, span.end_column]


def _warning(item: Diagnostic) -> dict[str, Any]:
    """What a warning says, beside its event."""
    span = _span(item.span) if item.span else None
    found = {"rule": item.rule, "text": item.message, "span": span, "hint": item.hint}
    return {name: value for name, value in found.items() if value is not None}
