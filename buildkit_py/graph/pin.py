"""Pinning: every source that names something movable gets the digest of what it names now."""

from __future__ import annotations

from buildkit_py.dataclass import replace
from buildkit_py.graph.definition import Definition, ImageTarget, LayerPlan, Test, Vertex
from buildkit_py.graph.op import HttpSource, ImageSource, Op
from buildkit_py.graph.resolver import Resolver
from buildkit_py.platform import Platform


def is_pinned(op: Op) -> bool:
    """Whether the op is no source, or one that can't move."""
    return not isinstance(op, ImageSource | HttpSource) or op.digest is not None


def pin(definition: Definition, resolver: Resolver) -> Definition:
    """The same build with every image and URL pinned. A definition that is pinned already is returned as it is."""
    if all(is_pinned(vertex.op) for vertex in definition.vertices.values()):
        return definition
    renamed: dict[str, str] = {}
    vertices: dict[str, Vertex] = {}
    for old, vertex in definition.vertices.items():
        made = Vertex.of(_pinned(vertex.op, resolver), {role: renamed[each] for role, each in vertex.inputs.items()})
        renamed[old] = made.digest
        vertices[made.digest] = made
    return Definition(
        vertices=vertices,
        targets=tuple(_rename(target, renamed) for target in definition.targets),
        secrets=definition.secrets,
        spans={renamed[old]: span for old, span in definition.spans.items()},
        fresh=tuple(renamed[old] for old in definition.fresh),
        warnings=definition.warnings,
        hints={renamed[old]: text for old, text in definition.hints.items() if old in renamed},
    )


def _pinned(op: Op, resolver: Resolver) -> Op:
    if isinstance(op, ImageSource) and op.digest is None:
        return replace(op, digest=resolver.image(op.ref, Platform.parse(op.platform)).digest)
    if isinstance(op, HttpSource) and op.digest is None:
        return replace(op, digest=resolver.http(op.url))
    return op


def _rename(target: ImageTarget, renamed: dict[str, str]) -> ImageTarget:
    def items(test: Test) -> Test:
        return replace(
            test,
            items=tuple(
                replace(item, vertex=renamed[item.vertex]) if item.vertex is not None else item for item in test.items
            ),
        )

    return replace(
        target,
        base=renamed[target.base],
        layers=tuple(LayerPlan(name=layer.name, tip=renamed[layer.tip]) for layer in target.layers),
        tests=tuple(items(test) for test in target.tests),
    )
