"""Outlines as nodes: the names in an image that no step needs the bytes of."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, field
from buildkit_py.graph.definition import Vertex
from buildkit_py.graph.title import title
from buildkit_py.protocol import StepTask
from buildkit_py.solver.key import shared_key
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.session import Session
from buildkit_py.solver.sources import source_task
from buildkit_py.solver.stacks import outline_id
from buildkit_py.source import Span

if TYPE_CHECKING:
    from buildkit_py.graph.op import Op
    from buildkit_py.store import Store


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
        """Read the layers, unless another machine has told what is in them."""
        if not self.session.trees.described(self.session.content[self.vertex.digest]) and not self._told():
            if self.vertex.digest not in self.session.stacks.outlined:
                # Some step will need its bytes anyway: they are unpacked once, and read from there.
                raise InputNeeded(self.vertex.digest)
            self.session.run(self._task(), self)
        return Identity(known=True, available=True)

    def _told(self) -> bool:
        cache = self.session.cache
        if cache is None:
            return False
        chain = trees_of(self.session.store, self.vertex.op)
        stopping = self.session.stopping.is_set
        return bool(chain) and cache.names(shared_key("names", chain[-1]), chain, stopping)

    def cancel(self) -> None:
        """Stop reading."""
        self.session.executor.cancel(self._task().key)

    def _task(self) -> StepTask:
        return source_task(self.vertex.op, self.session.options.epoch, names_only=True)


def trees_of(store: Store, op: Op) -> list[str]:
    """The content ids of the trees of a pinned image, lowest first."""
    from buildkit_py.layer.stored import image_content_ids
    from buildkit_py.oci import Manifest, read_document

    document = read_document(store.blobs.read(getattr(op, "digest", None) or ""))
    return image_content_ids(str(layer.digest) for layer in document.layers) if isinstance(document, Manifest) else []
