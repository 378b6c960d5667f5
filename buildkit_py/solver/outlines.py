"""Outlines as nodes: the names in an image that no step needs the bytes of."""

from __future__ import annotations

from threading import Event

from buildkit_py.dataclass import dataclass, field
from buildkit_py.graph.definition import Vertex
from buildkit_py.graph.title import title
from buildkit_py.protocol import StepTask
from buildkit_py.solver.nodes import Identity
from buildkit_py.solver.session import Session
from buildkit_py.solver.sources import source_task
from buildkit_py.solver.stacks import outline_id
from buildkit_py.source import Span


@dataclass(slots=True)
class OutlineNode:
    """What is where in the tree of an image; produced only where a step looks at it."""

    session: Session
    vertex: Vertex
    span: Span | None
    inputs: tuple[str, ...] = field(init=False)
    eager: tuple[str, ...] = ()
    slow: bool = False
    id: str = field(init=False)
    kind: str = field(init=False)
    title: str = field(init=False)

    def __post_init__(self) -> None:
        op = self.vertex.op
        self.id, self.kind, self.title = outline_id(self.vertex.digest), op.type, title(op)
        self.inputs = (self.vertex.digest,)

    def identify(self) -> Identity:
        """Always known; available where its names are in the store."""
        return Identity(known=True, available=self.session.trees.described(self.session.content[self.vertex.digest]))

    def look_ahead(self, stop: Event) -> None:
        """Nothing to look at."""

    def prepare(self) -> None:
        """Nothing to do."""

    def produce(self) -> Identity:
        """Read the layers."""
        self.session.run(self._task(), self)
        return Identity(known=True, available=True)

    def cancel(self) -> None:
        """Stop reading."""
        self.session.executor.cancel(self._task().key)

    def _task(self) -> StepTask:
        return source_task(self.vertex.op, self.session.options.epoch, names_only=True)
