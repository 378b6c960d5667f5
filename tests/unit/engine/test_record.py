"""The record of a build: what is noted of events and nodes."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from buildkit_py import events
from buildkit_py.engine.record import Recorder, Solved
from buildkit_py.source import Span


@dataclass
class FakeNode:
    id: str
    inputs: tuple[str, ...] = ()
    kind: str = "run"
    slow: bool = False
    span: Span | None = None
    key: Any = None
    cause: str = "key"

    @property
    def title(self) -> str:
        return f"do {self.id}"


@dataclass
class FakeBuilds:
    kept: list[dict[str, Any]] = field(default_factory=list)

    def add(self, record: dict[str, Any]) -> None:
        self.kept.append(record)


def saved(recorder: Recorder, solved: Solved) -> dict[str, Any]:
    builds = FakeBuilds()
    index = SimpleNamespace(transaction=lambda durable: nullcontext())
    store: Any = SimpleNamespace(builds=builds, index=index)
    recorder.save(store, solved, build="b", graph="g", outcome="done", context="/c", file="/c/F")
    (record,) = builds.kept
    return record


def started(name: str, at: float = 1.0, kind: str = "run", title: str = "") -> events.Started:
    return events.Started(at=at, id=name, title=title or f"do {name}", kind=kind)


def test_numbers_are_those_of_what_consumes_the_events_after_it() -> None:
    shown: list[str] = []
    second = threading.Event()

    def emit(event: Any) -> None:
        if event.id == "a":
            second.wait(0.2)
        shown.append(event.id)
        if event.id == "b":
            second.set()

    recorder = Recorder(emit)
    threads = [threading.Thread(target=recorder, args=(started(name),)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [recorder.nodes[name]["number"] for name in shown] == [1, 2]


def test_a_node_has_what_it_is_made_from_and_what_its_time_went_into() -> None:
    recorder = Recorder(lambda event: None)
    recorder(events.BuildStarted(at=0.5, build="b", total=2))
    recorder(started("b", 3.0))
    recorder(events.Finished(at=5.0, id="b", outcome="failed", error="no"))
    key = SimpleNamespace(digest="sha256:k", parts={"epoch": 0})
    nodes: Any = [FakeNode("a"), FakeNode("b", ("a",), span=Span("F", 7, 1, 8, 1), key=key, cause="no-cache")]
    spells = {"a": [("identify", 0.5, 2.0)], "b": [("identify", 2.5, 2.6), ("produce", 2.9, 5.0)]}
    record = saved(recorder, Solved(nodes=nodes, spells=spells, times={"b": {"run": 1.0}}))
    assert record["marks"] == {"began": 0.5, "solved": 5.0}
    assert (record["context"], record["file"]) == ("/c", "/c/F")
    assert list(record["nodes"]) == ["a", "b"]
    node = record["nodes"]["b"]
    assert (node["number"], node["inputs"], node["at"], node["known"]) == (1, {"0": 0}, "F:7", 5.0)
    assert (node["key"], node["cause"], node["parts"]) == ("sha256:k", "no-cache", {"epoch": 0})
    assert node["phases"] == [
        ("wait", 2.0, 2.5), ("look", 2.5, 2.6), ("wait", 2.6, 2.9), ("run", 2.9, 3.9), ("write", 3.9, 5.0),
    ]  # fmt: skip


def test_a_step_that_did_not_run_has_no_cause_and_no_parts() -> None:
    recorder = Recorder(lambda event: None)
    recorder(events.Cached(at=1.0, id="a", title="do a", kind="run"))
    nodes: Any = [FakeNode("a", key=SimpleNamespace(digest="sha256:k", parts={}))]
    node = saved(recorder, Solved(nodes=nodes, spells={"a": [("identify", 1.0, 1.0001)]}, times={}))["nodes"]["a"]
    assert node.keys() == {"title", "kind", "number", "cached", "inputs", "key", "known"}


def test_a_transfer_lasts_as_long_as_it_is_heard_of() -> None:
    recorder = Recorder(lambda event: None)
    recorder(started("a", 1.0, "image"))
    recorder(events.Progress(at=3.0, id="a", done=9))
    recorder(started("output-1", 6.0, "output", "push to example.org/app"))
    recorder(events.Progress(at=7.0, id="output-1", done=9))
    recorder(events.Finished(at=8.0, id="output-1", outcome="done"))
    recorder(started("output-2", 8.0, "output", "archive x.tar"))
    recorder(events.Finished(at=9.0, id="output-2", outcome="done"))
    nodes: Any = [FakeNode("a", kind="image")]
    found = saved(recorder, Solved(nodes=nodes, spells={"a": [("produce", 1.0, 5.0)]}, times={}))["nodes"]
    assert found["a"]["phases"] == [("transfer", 1.0, 3.0), ("unpack", 3.0, 5.0)]
    assert found["output-1"]["phases"] == [("transfer", 6.0, 8.0)]
    assert found["output-2"]["phases"] == [("write", 8.0, 9.0)]
