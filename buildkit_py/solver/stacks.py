"""What a tree lies upon: the nodes whose bytes make a whole tree, and those that tell its names alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.graph.op import SOURCES, Chmod, Chown, ExecStep, ImageSource

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition, Vertex


class Stacks:
    """The trees of one definition, by vertex digest.

    `outlined` are the images that nothing needs more of than names, types and owners: their layers are read, but not
    laid down. An image that some step has to see whole is unpacked once, and read from there.

    With `told`, somebody may tell what is where in any tree: names are nodes of their own then, of images and of steps.
    """

    def __init__(self, definition: Definition, *, told: bool = False) -> None:
        self._told = told
        self._vertices = definition.vertices
        images = {digest for digest, vertex in definition.vertices.items() if isinstance(vertex.op, ImageSource)}
        self.outlined = frozenset(images - self._opened()) if images else frozenset()

    def whole(self, digest: str) -> tuple[str, ...]:
        """The nodes that add the bytes of a vertex's tree: its own, and all that it lies upon."""
        found = [digest]
        while (base := self._vertices[found[-1]].inputs.get("base")) is not None:
            found.append(base)
        return tuple(found)

    def legible(self, digest: str) -> tuple[str, ...]:
        """The nodes that have to be done before the names of a vertex's tree can be looked at."""
        return tuple(map(self._legible, self.whole(digest)))

    def _legible(self, digest: str) -> str:
        op = self._vertices[digest].op
        if digest in self.outlined or (self._told and isinstance(op, ImageSource)):
            return outline_id(digest)
        return names_id(digest) if self._told and not isinstance(op, SOURCES) else digest

    def _opened(self) -> set[str]:
        """The vertices whose trees some step needs the bytes of."""
        opened: set[str] = set()
        for vertex in self._vertices.values():
            for role, digest in vertex.inputs.items():
                current: str | None = digest if role != "base" or _opens_base(vertex) else None
                while current is not None and current not in opened:
                    opened.add(current)
                    current = self._vertices[current].inputs.get("base")
        return opened


def outline_id(image: str) -> str:
    """The id of the node that learns the names of an image's tree."""
    return f"outline-{image}"


def names_id(step: str) -> str:
    """The id of the node that learns what a step changed."""
    return f"names-{step}"


def _opens_base(vertex: Vertex) -> bool:
    """Whether a step reads files of its base, and not only what is where: to run, to keep them, to know users."""
    op = vertex.op
    owner = getattr(op, "owner", None) or ""
    named = not all(part.isdigit() for part in owner.split(":") if part)
    return isinstance(op, ExecStep | Chmod | Chown) or named
