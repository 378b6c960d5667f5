"""What a step changed, as a node of its own: its names without its bytes, where a cache can tell them.

There are such nodes only in builds that ask a cache. A step that has to look at what is where, as a copy does, waits
for these instead of the bytes of all that lies below it.
"""

from __future__ import annotations

from threading import Event

from buildkit_py.dataclass import dataclass, field
from buildkit_py.protocol import StepResult
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.session import Session
from buildkit_py.solver.stacks import names_id
from buildkit_py.solver.steps import StepNode
from buildkit_py.source import Span

KIND = "names"


@dataclass(slots=True)
class NamesNode:
    """The diff of one step; produced only where another step looks at it."""

    session: Session
    step: StepNode
    kind: str = KIND
    slow: bool = False
    eager: tuple[str, ...] = ()
    id: str = field(init=False)
    title: str = field(init=False)
    span: Span | None = field(init=False)
    inputs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.id, self.title, self.span = names_id(self.step.id), self.step.title, self.step.span
        self.inputs = (self.step.id, self.step.vertex.inputs["base"])

    def identify(self) -> Identity:
        """Always known; available where the store can tell it."""
        return Identity(known=True, available=self._told())

    def look_ahead(self, stop: Event) -> None:
        """Nothing to look at."""

    def prepare(self) -> None:
        """Nothing to do."""

    def produce(self) -> Identity:
        """Have it told by a cache, else ask for the bytes of the step, which tell it too."""
        if not self._told() and not self._learned():
            raise InputNeeded(self.step.id)
        return Identity(known=True, available=True)

    def cancel(self) -> None:
        """What is fetched ends with the build."""

    def _told(self) -> bool:
        content = self.session.content
        return self.session.trees.tells(content[self.step.id], content[self.inputs[1]])

    def _learned(self) -> bool:
        cache, key = self.session.cache, self.step.key
        plain = self.session.store.results.get(key.digest) if key is not None else None
        if cache is None or key is None or plain is None:
            return False
        return cache.tell(key.digest, StepResult.from_plain(plain), self.session.stopping.is_set)
