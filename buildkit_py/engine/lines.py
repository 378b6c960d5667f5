"""Which line of a build file made each line of an image's history, for `pybuild history`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from buildkit_py.graph.op import ImageSource
from buildkit_py.graph.title import title

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition, ImageTarget
    from buildkit_py.image.assemble import BaseImage
    from buildkit_py.solver.layers import LayerNode
    from buildkit_py.source import Span
    from buildkit_py.store import Store


def lines_of(
    store: Store, definition: Definition, target: ImageTarget, base: BaseImage | None, nodes: Sequence[LayerNode]
) -> list[dict[str, Any]]:
    """What `store.lines` keeps of an image: first the lines of its base, as far as the store knows those, then its own
    lines of history; without any, one a layer."""
    own = [_at(line.span) for line in target.history] or [_layer(definition, node) for node in nodes if node.blob]
    return [*(_base(store, definition, target, base) if base is not None else ()), *own]


def _base(store: Store, definition: Definition, target: ImageTarget, base: BaseImage) -> Iterator[dict[str, Any]]:
    op = definition.vertices[target.base].op
    assert isinstance(op, ImageSource)
    known = (store.lines.get(base.config) or {}).get("lines", [])
    rows = known if len(known) == base.lines else [{}] * base.lines
    name = op.ref.partition("@")[0]
    return ({**row, "base": row.get("base", name)} for row in rows)


def _layer(definition: Definition, node: LayerNode) -> dict[str, Any]:
    """Of a layer that the build file names: its steps, each with its line."""
    steps = [{"title": _title(definition, digest), **_at(definition.spans.get(digest))} for digest in node.steps]
    return {**_at(node.span), "steps": steps}


def _title(definition: Definition, digest: str) -> str:
    vertex = definition.vertices[digest]
    origin = definition.vertices[vertex.inputs["from"]].op if "from" in vertex.inputs else None
    return title(vertex.op, origin=origin)


def _at(span: Span | None) -> dict[str, Any]:
    return {"at": f"{span.file}:{span.line}"} if span is not None else {}
