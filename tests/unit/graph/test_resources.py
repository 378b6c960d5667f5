"""Limits of steps: which of two holds, and what is told of one that was met."""

from __future__ import annotations

import pytest

from buildkit_py.errors import GraphError
from buildkit_py.graph import GraphBuilder, Host, Run, Scratch
from buildkit_py.graph.codec import encode
from buildkit_py.graph.resources import Limits, controllers_of, declared, tighter, told
from buildkit_py.platform import Platform
from buildkit_py.solver.demands import limits
from buildkit_py.solver.key import key_of


def test_the_tighter_holds() -> None:
    op = Run(args=("x",), memory=100 << 20, pids=5)
    client: Limits = {"memory": 50 << 20, "swap": 7, "pids": 9, "cpuset": "0"}
    assert limits(op, client) == {"memory": 50 << 20, "swap": 7, "pids": 5, "cpuset": "0"}
    assert tighter(client, declared(op)) == limits(op, client)
    assert controllers_of(limits(op, client)) == {"memory", "pids", "cpuset"}
    assert limits(Scratch(), client) == limits(Run(args=("x",)), {}) == {}


@pytest.mark.parametrize(
    ("name", "own", "client", "text"),
    [
        ("timeout", 600_000, None, "timed out after 10 minutes (with timeout(10m))"),
        ("timeout", 600_000, 90_000, "timed out after 90 seconds (--step-timeout 1m30s)"),
        ("timeout", None, 3_600_000, "timed out after 1 hour (--step-timeout 1h)"),
        ("timeout", 300, 300, "timed out after 0.3 seconds (with timeout(300ms))"),
        ("memory", 512 << 20, 1 << 30, "went over its memory limit (with memory(512m))"),
        ("memory", None, 2_000_000, "went over its memory limit (--memory 2000000)"),
        ("memory", None, 1 << 21, "went over its memory limit (--memory 2m)"),
        ("pids", 1, None, "met its limit of 1 process (with pids(1))"),
        ("pids", 200, None, "met its limit of 200 processes (with pids(200))"),
        ("pids", 200, 20, "met its limit of 20 processes (--pids-limit 20)"),
    ],
)
def test_what_is_told(name: str, own: int | None, client: int | None, text: str) -> None:
    op = Host(args=("x",), **{name: own})  # type: ignore[arg-type]
    assert told(name, op, {} if client is None else {name: client}) == text


def test_limits_are_in_the_key_of_a_step_that_has_them_and_change_no_other() -> None:
    def key(op: Run) -> str:
        return key_of(op, inputs={}, selections={}, tools={}, epoch=0).digest

    plain = Run(args=("x",))
    assert {"timeout", "memory", "pids", "cpus"}.isdisjoint(encode(plain))
    keys = {key(op) for op in (plain, Run(args=("x",), timeout=9), Run(args=("x",), memory=1 << 30))}
    assert len(keys) == 3


@pytest.mark.parametrize("field", [{"timeout": 0}, {"memory": 4096}, {"pids": -1}, {"cpus": 9}, {"pids": True}])
def test_limits_that_no_step_could_keep(field: dict[str, int]) -> None:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    tip = graph.add(Run(args=("/x",), **field), base=base)  # type: ignore[arg-type]
    graph.target("app", base=base, layers=[("x", tip)], platform=Platform.host())
    with pytest.raises(GraphError, match=f"not a limit of {next(iter(field))}"):
        graph.build()
