"""The end of a build that failed: for each step its line, what went wrong, and what it printed last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from buildkit_py.graph.title import clip
from buildkit_py.progress.text import clean, count
from buildkit_py.source import Diagnostic, Span, told
from buildkit_py.source import render as render_diagnostics

if TYPE_CHECKING:
    from buildkit_py.errors import PybuildError
    from buildkit_py.progress.model import Model, Step

_SHOWN = 10
_TITLE = 100


def render(model: Model, error: PybuildError | None, sources: Mapping[str, str]) -> str:
    """Every failed step, and then what was skipped because of it; empty where no step failed.

    `error` is what the build raised: it knows a hint and perhaps a closer span for the step whose error it is.
    """
    return "\n".join(_one(model, step, error, sources) for step in model.in_state("failed"))


def explains(model: Model, error: PybuildError) -> bool:
    """Whether `render` tells all that `error` says."""
    return any(step.error == error.message for step in model.in_state("failed"))


def render_message(
    message: str, *, span: Span | None, hint: str | None, tail: Sequence[str], sources: Mapping[str, str]
) -> str:
    """One error as a compiler shows it, with the last lines that a step printed below."""
    shown = Diagnostic(message=told(message.replace("\n", " ")), span=span, hint=hint)
    if span is not None:
        head = render_diagnostics([shown], sources)
    else:
        head = f"pybuild: error: {shown.message}\n" + (f"  help: {told(hint)}\n" if hint else "")
    return head + _tail(tail)


def _one(model: Model, step: Step, error: PybuildError | None, sources: Mapping[str, str]) -> str:
    mine = error is not None and error.message == step.error
    span = (error.span if error is not None and mine else None) or step.span
    hint = error.hint if error is not None and mine else None
    text = render_message(_message(step), span=span, hint=hint, tail=tuple(step.tail), sources=sources)
    return text + _skipped(model.skipped_because(step))


def _message(step: Step) -> str:
    error = step.error or "failed"
    return error if not step.title or step.title in error else f"{step.title}: {error}"


def _tail(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = [clean(line) for line in lines][-_SHOWN:]
    return "  the last lines it printed:\n" + "".join(f"    | {line}".rstrip() + "\n" for line in shown)


def _skipped(steps: Sequence[Step]) -> str:
    if not steps:
        return ""
    titles = [f"    {clip(step.title, _TITLE)}\n" for step in steps[:_SHOWN]]
    more = f"    and {len(steps) - _SHOWN} more\n" if len(steps) > _SHOWN else ""
    return f"  skipped because of it ({count(len(steps), 'step')}):\n" + "".join(titles) + more
