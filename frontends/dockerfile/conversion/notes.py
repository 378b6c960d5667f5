"""What a conversion has to say: what has no equivalent, what was assumed, what is left out."""

from __future__ import annotations

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Diagnostic, Severity, Span


@dataclass(slots=True, kw_only=True)
class Notes:
    """Notes in the order in which they come, each once. An `error` is something without an equivalent, a `warning` a
    difference or an assumption, a `note` what is good to know."""

    found: dict[Diagnostic, None] = field(default_factory=dict)

    def untold(self, message: str, span: Span, hint: str | None = None) -> None:
        """Something has no equivalent."""
        self._add("error", message, span, hint)

    def warn(self, message: str, span: Span, hint: str | None = None) -> None:
        """Something is said otherwise, or taken for granted."""
        self._add("warning", message, span, hint)

    def remark(self, message: str, span: Span, hint: str | None = None) -> None:
        """Something that a person may want to know."""
        self._add("note", message, span, hint)

    def _add(self, severity: Severity, message: str, span: Span, hint: str | None) -> None:
        self.found[Diagnostic(message=message, span=span, severity=severity, hint=hint)] = None

    def all(self) -> tuple[Diagnostic, ...]:
        """The notes in the order of the text."""
        return tuple(sorted(self.found, key=lambda item: (item.span.line, item.span.column) if item.span else (0, 0)))
