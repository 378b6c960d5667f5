"""What a client must allow before a step may have it, by whatever way the graph came."""

from __future__ import annotations

from typing import Any

import pytest

from buildkit_py.engine.check import CONFINED, check_grants
from buildkit_py.errors import UsageError
from buildkit_py.executor.sandbox import DEFAULT_CAPABILITIES
from buildkit_py.graph import Definition, GraphBuilder, Host, Run, Scratch
from buildkit_py.graph.codec import decode_definition
from buildkit_py.platform import Platform

ALLOWED = frozenset({"security.insecure"})


def graph_of(kind: type[Run] | type[Host], **more: Any) -> Definition:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    tip = graph.add(kind(args=("/x",), **more), base=base)
    graph.target("app", base=base, layers=[("x", tip)], platform=Platform.host())
    return graph.build()


@pytest.mark.parametrize(
    "definition",
    [
        graph_of(Run, security="insecure"),
        graph_of(Run, capabilities=("MKNOD", "SYS_ADMIN")),
        graph_of(Run, capabilities=("DAC_READ_SEARCH",)),
        graph_of(Host, capabilities=("SYS_MODULE",)),
        graph_of(Run, capabilities=("NET_RAW",), network="host"),
        graph_of(Host, capabilities=("NET_RAW",), network="host"),
    ],
)
def test_what_needs_leave(definition: Definition) -> None:
    for found in (definition, decode_definition(definition.to_plain())):
        with pytest.raises(UsageError) as caught:
            check_grants(found, frozenset({"network.host"}))
        assert "--allow security.insecure" in (caught.value.hint or "")
        check_grants(found, ALLOWED)


def test_what_needs_none() -> None:
    alone, connected = sorted(CONFINED), sorted(CONFINED - {"NET_RAW"})
    check_grants(graph_of(Run, capabilities=tuple(alone), set_id=True), frozenset())
    check_grants(graph_of(Run, capabilities=tuple(connected), network="host", set_id=True), frozenset())
    assert frozenset(DEFAULT_CAPABILITIES) < CONFINED
