"""One line after another, for logs and CI: nothing is clipped, redrawn or left out.

    #1  cached   from docker.io/library/python:3.12
    #2  start    run uv sync --frozen
    #2      0.4  Resolved 12 packages
    #2  done     run uv sync --frozen (3.2 s)

The second column is a word of the view, or the seconds since the step began beside a line that the step printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py import events
from buildkit_py.progress.text import clean, duration, reason, size
from buildkit_py.progress.view import Sink, View

if TYPE_CHECKING:
    from typing import TextIO

    from buildkit_py.events import Event
    from buildkit_py.progress.model import Step

PROGRESS_EVERY = 5.0
_WORD = 8


class PlainView(View):
    """Writes lines to a stream as events come."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._sink = Sink(stream)
        self._told: dict[str, float] = {}

    def _show(self, event: Event, number: int) -> None:
        lines = list(self._lines(event))
        if lines:
            self._sink.write("\n".join(lines) + "\n")

    def _lines(self, event: Event) -> list[str]:
        match event:
            case events.Note():
                return [f"{event.level}: {clean(event.text)}"]
            case events.Started() | events.Cached() | events.Log() | events.Progress() | events.Finished():
                return self._step_lines(event, self.model.steps[event.id])
            case events.Skipped():
                step = self.model.steps[event.id]
                cause = self.model.steps.get(event.because)
                reason = f" (because of #{cause.number})" if cause else ""
                return [self._line(step, "skipped", f"{event.title}{reason}")]
            case _:
                return []

    def _step_lines(
        self, event: events.Started | events.Cached | events.Log | events.Progress | events.Finished, step: Step
    ) -> list[str]:
        match event:
            case events.Started():
                return [self._line(step, "start", event.title)]
            case events.Cached():
                return [] if step.same else [self._line(step, "cached", event.title)]
            case events.Log():
                clock = f"{event.at - (step.started or 0.0):.1f}".rjust(_WORD - 1)
                return [self._line(step, clock, clean(line)) for line in event.text.split("\n")]
            case events.Progress():
                return self._progress(event, step)
            case events.Finished():
                return self._finished(event, step)

    def _progress(self, event: events.Progress, step: Step) -> list[str]:
        if event.at - self._told.get(step.id, step.started or 0.0) < PROGRESS_EVERY:
            return []
        self._told[step.id] = event.at
        whole = f" of {size(event.total)}" if event.total is not None else ""
        return [self._line(step, "bytes", f"{size(event.done)}{whole}")]

    def _finished(self, event: events.Finished, step: Step) -> list[str]:
        if step.started is None and event.outcome == "done":
            return []
        same = ", the same result as before" if step.same else ""
        took = f"{step.title} ({duration(step.seconds)}{same})" if step.started is not None else step.title
        error = f"{': ' if took else ''}{clean(reason(step.title, event.error))}" if event.error else ""
        return [self._line(step, event.outcome, f"{took}{error}")]

    def _line(self, step: Step, word: str, text: str) -> str:
        number = f"#{step.number}".ljust(len(str(self.model.total)) + 1)
        return f"{number}  {word.ljust(_WORD)} {text}".rstrip()
