"""Where something was written, and how a person is told what is wrong there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from buildkit_py.dataclass import dataclass, replace

_PAGE = 4000
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A range of a source file; lines and columns count from 1, the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One message about a source text: what is wrong, where, and what to write instead."""

    message: str
    span: Span | None
    severity: Severity = "error"
    label: str | None = None
    hint: str | None = None
    notes: tuple[tuple[str, Span], ...] = ()
    rule: str | None = None


def joined(*hints: str | None) -> str | None:
    """Hints as one, in their order; None where there is none."""
    text = ""
    for hint in filter(None, hints):
        text += (" " if text.endswith(("?", ".")) else "; " if text else "") + hint
    return text or None


def renamed_span(span: Span, name: Callable[[str], str]) -> Span:
    """The same range of a file that is called otherwise."""
    return replace(span, file=name(span.file))


def renamed(item: Diagnostic, name: Callable[[str], str]) -> Diagnostic:
    """The same message with every file called as `name` says."""
    span = renamed_span(item.span, name) if item.span else None
    return replace(item, span=span, notes=tuple((text, renamed_span(each, name)) for text, each in item.notes))


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> str:
    """Render diagnostics as a compiler does: `file:line:col`, the line, a caret, the hint.

    `sources` maps `Span.file` to the file's text; a span whose text is unknown shows its position alone.
    """
    return "\n".join(_render_one(diagnostic, sources) for diagnostic in diagnostics)


def _render_one(diagnostic: Diagnostic, sources: Mapping[str, str]) -> str:
    rule = f"[{diagnostic.rule}]" if diagnostic.rule else ""
    place = f"{diagnostic.span}: " if diagnostic.span else ""
    lines = [f"{place}{diagnostic.severity}{rule}: {told(diagnostic.message)}"]
    if diagnostic.span:
        lines += _excerpt(diagnostic.span, diagnostic.label, sources)
    for text, span in diagnostic.notes:
        lines.append(f"{span}: note: {told(text)}")
        lines += _excerpt(span, None, sources)
    if diagnostic.hint:
        lines.append(f"  help: {told(diagnostic.hint)}")
    return "\n".join(visible(row) for line in lines for row in line.split("\n")) + "\n"


def visible(text: str) -> str:
    """A text without anything that a terminal would obey: control characters as escapes, tabs as they are."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode() for char in text
    )


def told(text: str) -> str:
    """A text that may be foreign as part of a message: nothing that a terminal would obey, and no more than a page."""
    shown = text if len(text) <= _PAGE else f"{text[:_PAGE]}…"
    return "\n".join(map(visible, shown.split("\n")))


def _excerpt(span: Span, label: str | None, sources: Mapping[str, str]) -> list[str]:
    text = sources.get(span.file)
    rows = text.split("\n") if text is not None else []
    if not 1 <= span.line <= len(rows):
        return []
    row = rows[span.line - 1].rstrip("\r")
    end = span.end_column if span.end_line == span.line else len(row) + 1
    before, marked, after = row[: span.column - 1], row[span.column - 1 : end - 1], row[end - 1 :]
    # Tabs are kept in the indent so that the caret stands under its column however wide they are shown.
    indent = "".join("\t" if char == "\t" else " " for char in visible(before))
    carets = "^" * max(1, len(visible(marked)))
    number = str(span.line)
    blank = " " * len(number)
    return [
        f" {blank} |",
        f" {number} | {visible(before + marked + after)}",
        f" {blank} | {indent}{carets}{' ' + visible(label) if label else ''}",
    ]
