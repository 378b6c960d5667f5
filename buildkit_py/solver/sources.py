"""Source vertices as nodes: known as soon as they are pinned, produced only when a step needs their bytes."""

from __future__ import annotations

from threading import Event

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import NotFoundError
from buildkit_py.graph.codec import encode
from buildkit_py.graph.definition import Vertex
from buildkit_py.graph.op import GitSource, HttpSource, ImageSource, LocalSource, Op, Scratch
from buildkit_py.graph.title import title
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.layer.stored import git_content_id, http_content_id
from buildkit_py.protocol import StepTask
from buildkit_py.solver.nodes import Identity
from buildkit_py.solver.session import Session
from buildkit_py.source import Span


def source_task(source: Op, epoch: int, *, names_only: bool = False) -> StepTask:
    """The task that brings a source's tree into the store, or only what is where in it."""
    op = encode(source)
    return StepTask(
        key=str(canonical.digest({"outline" if names_only else "source": op})),
        op=op,
        inputs=(),
        platform=getattr(source, "platform", ""),
        epoch=epoch,
        names_only=names_only,
    )


@dataclass(slots=True)
class SourceNode:
    """A source. Its content id follows from what it is pinned to; a local source has only what is selected of it."""

    session: Session
    vertex: Vertex
    span: Span | None
    inputs: tuple[str, ...] = ()
    eager: tuple[str, ...] = ()
    slow: bool = False
    id: str = field(init=False)
    kind: str = field(init=False)
    title: str = field(init=False)

    def __post_init__(self) -> None:
        self.id, self.kind, self.title = self.vertex.digest, self.vertex.op.type, title(self.vertex.op)

    def identify(self) -> Identity:
        """Always known; available where its bytes are in the store."""
        content_id = self._content_id()
        self.session.content[self.id] = content_id
        local = isinstance(self.vertex.op, LocalSource)
        return Identity(known=True, available=local or self.session.trees.complete(content_id))

    def look_ahead(self, stop: Event) -> None:
        """Nothing to look at."""

    def prepare(self) -> None:
        """Nothing to do."""

    def produce(self) -> Identity:
        """Fetch and unpack."""
        self.session.run(self._task(), self)
        return Identity(known=True, available=True)

    def cancel(self) -> None:
        """Stop fetching."""
        self.session.executor.cancel(self._task().key)

    def _task(self) -> StepTask:
        return source_task(self.vertex.op, self.session.options.epoch)

    def _content_id(self) -> str:
        op = self.vertex.op
        if isinstance(op, Scratch | LocalSource):
            return EMPTY_TREE
        if isinstance(op, HttpSource):
            return http_content_id(op)
        if isinstance(op, GitSource):
            return git_content_id(op)
        assert isinstance(op, ImageSource)
        facts = self.session.store.memo.get("base", op.digest or "")
        if facts is None:
            raise NotFoundError(
                f"the store has forgotten what it knew of the image {op.ref}",
                hint="run the build again: the image is then asked for anew",
            )
        content_id: str = facts["content_id"]
        return content_id
