"""From a definition to the nodes of its plan."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.graph.definition import Definition, ImageTarget
from buildkit_py.graph.op import SOURCES, ImageSource
from buildkit_py.solver.checks import CheckNode
from buildkit_py.solver.layers import LayerNode
from buildkit_py.solver.nodes import Node
from buildkit_py.solver.outlines import OutlineNode
from buildkit_py.solver.session import Session
from buildkit_py.solver.sources import SourceNode
from buildkit_py.solver.stacks import outline_id
from buildkit_py.solver.steps import StepNode


def nodes_of(session: Session) -> list[Node]:
    """Every node of a build, inputs before what uses them; equal layers and checks are one."""
    definition = session.definition
    discarded = _only_run_by_tests(definition)
    nodes: dict[str, Node] = {}
    for digest, vertex in definition.vertices.items():
        span = definition.spans.get(digest)
        if isinstance(vertex.op, SOURCES):
            nodes[digest] = SourceNode(session, vertex, span)
            told = session.cache is not None and isinstance(vertex.op, ImageSource)
            if told or digest in session.stacks.outlined:
                nodes[outline_id(digest)] = OutlineNode(session, vertex, span)
        else:
            step = nodes[digest] = StepNode(session, vertex, span, test=discarded.get(digest))
            if session.cache is not None and digest not in discarded:
                nodes.update(_names_of(session, step))
    for target in definition.targets:
        more: list[Node] = [*layers_of(session, target), *_checks_of(session, target)]
        for node in more:
            nodes.setdefault(node.id, node)
    return list(nodes.values())


def _names_of(session: Session, step: StepNode) -> dict[str, Node]:
    from buildkit_py.solver.names import NamesNode

    node = NamesNode(session, step)
    return {node.id: node}


def layers_of(session: Session, target: ImageTarget) -> Iterator[LayerNode]:
    """The layers of a target as nodes, lowest first."""
    lower = target.base
    for layer in target.layers:
        steps = tuple(vertex.digest for vertex in session.definition.chain(layer.tip, lower))
        span = session.definition.spans.get(steps[0]) if steps else target.span
        yield LayerNode(session, layer.name, lower, steps, span)
        lower = layer.tip


def ids_of(session: Session, target: ImageTarget) -> set[str]:
    """The nodes that must end well for a target to be whole; what they are made from is not among them."""
    ids = {node.id for node in layers_of(session, target)} | {node.id for node in _checks_of(session, target)}
    return ids | {item.vertex for test in target.tests for item in test.items if item.vertex is not None}


def _checks_of(session: Session, target: ImageTarget) -> Iterator[CheckNode]:
    for test in target.tests:
        for item in test.items:
            if item.kind != "run":
                yield CheckNode(session, target.name, target.tip, test.name, item)


def _only_run_by_tests(definition: Definition) -> dict[str, str]:
    """The vertices whose tree nobody uses, with the name of the test that runs each."""
    used = {digest for vertex in definition.vertices.values() for digest in vertex.inputs.values()}
    used |= {layer.tip for target in definition.targets for layer in target.layers}
    return {
        item.vertex: test.name
        for target in definition.targets
        for test in target.tests
        for item in test.items
        if item.vertex is not None and item.vertex not in used
    }
