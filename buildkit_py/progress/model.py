"""What is known of a build so far: the events folded into one value. Not thread-safe; views hold a lock around it."""

from __future__ import annotations

from collections import deque
from typing import Literal

from buildkit_py import events
from buildkit_py.dataclass import dataclass, field
from buildkit_py.progress.text import clean
from buildkit_py.source import Diagnostic, Span

TAIL = 20
State = Literal["running", "cached", "done", "failed", "cancelled", "skipped"]


@dataclass(slots=True, kw_only=True)
class Step:
    """One vertex. `number` counts from 1 in the order in which steps were first heard of; times in seconds.

    `same` marks a step that worked and made what was known already. `tail` holds its last printed lines.
    """

    number: int
    id: str
    title: str = ""
    kind: str = ""
    span: Span | None = None
    state: State = "running"
    same: bool = False
    started: float | None = None
    finished: float | None = None
    done: int = 0
    total: int | None = None
    error: str | None = None
    because: str | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    @property
    def moving(self) -> bool:
        """Whether some of its bytes are still to come."""
        return self.total is not None and self.done < self.total

    @property
    def seconds(self) -> float:
        """How long it worked; 0 before its end and where it never worked."""
        if self.started is None or self.finished is None:
            return 0.0
        return self.finished - self.started


@dataclass(slots=True)
class Model:
    """A build as seen by its events."""

    build: str = ""
    total: int = 0
    at: float = 0.0
    steps: dict[str, Step] = field(default_factory=dict)
    notes: list[events.Note] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    layers: list[events.LayerDone] = field(default_factory=list)
    images: list[events.ImageDone] = field(default_factory=list)
    outputs: list[events.OutputDone] = field(default_factory=list)
    end: events.BuildDone | None = None

    def take(self, event: events.Event) -> Step | None:
        """Fold in one event; the step that it is about, if it is about one."""
        self.at = max(self.at, event.at)
        match event:
            case events.BuildStarted():
                self.build, self.total = event.build, event.total
            case events.Note():
                self.notes.append(event)
            case events.Warned():
                self.warnings.append(event.diagnostic)
            case events.LayerDone():
                self.layers.append(event)
            case events.ImageDone():
                self.images.append(event)
            case events.OutputDone():
                self.outputs.append(event)
            case events.BuildDone():
                self.end = event
            case _:
                return self._take_step(event)
        return None

    def _take_step(
        self,
        event: events.Started | events.Cached | events.Log | events.Progress | events.Finished | events.Skipped,
    ) -> Step:
        step = self.steps.get(event.id)
        if step is None:
            step = self.steps[event.id] = Step(number=len(self.steps) + 1, id=event.id)
        match event:
            case events.Started():
                step.title, step.kind, step.span = event.title, event.kind, event.span
                step.started, step.state = event.at, "running"
            case events.Cached():
                step.title, step.kind = event.title, event.kind
                step.same = step.started is not None
                if not step.same:
                    step.state = "cached"
            case events.Log():
                step.tail.extend(line for line in map(clean, event.text.split("\n")) if line.strip())
            case events.Progress():
                step.done, step.total = event.done, event.total
                if step.started is None:
                    # A transfer that is no vertex, such as a push, has no other beginning.
                    step.title, step.started = step.title or event.id, event.at
            case events.Finished():
                self._finish(step, event)
            case events.Skipped():
                step.title, step.state, step.because = event.title, "skipped", event.because
        return step

    def _finish(self, step: Step, event: events.Finished) -> None:
        step.finished, step.error = event.at, event.error
        if step.state != "cached" or event.outcome != "done":
            step.state = event.outcome

    def in_state(self, *states: State) -> list[Step]:
        """The steps in one of these states, by number."""
        return [step for step in self.steps.values() if step.state in states]

    def running(self) -> list[Step]:
        """The steps under way, oldest first; also those that were known, and whose bytes are just coming in."""
        under_way = self.in_state("running", "cached")
        return [step for step in under_way if step.started is not None and (step.state == "running" or step.moving)]

    def skipped_because(self, step: Step) -> list[Step]:
        """The steps that were never started because `step` failed."""
        return [other for other in self.in_state("skipped") if other.because == step.id]

    def slowest(self, most: int = 3) -> list[Step]:
        """The steps that took the longest, at least a tenth of a second each."""
        worked = [step for step in self.steps.values() if step.seconds >= 0.1]
        return sorted(worked, key=lambda step: -step.seconds)[:most]
