"""Why a step ran, from records and keys in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from buildkit_py.engine.why import Files, Why, differing_files
from buildkit_py.errors import NotFoundError


class MemoryStore:
    """Records in order, results by key, and listings."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = list(records)
        self.parts: dict[str, Mapping[str, Any]] = {}
        self.lists: dict[str, dict[str, str]] = {}
        self.builds = self.results = self.listings = self

    def before(self, name: str, *, limit: int, **said: str) -> Iterator[dict[str, Any]]:
        place = [record["id"] for record in self.records].index(name)
        return iter(self.records[:place][::-1][:limit])

    def get(self, key: str) -> Any:
        parts = self.parts.get(key)
        return self.lists.get(key) if parts is None else {"parts": parts}


def step(title: str, key: str, *, ran: bool = True, base: int | None = None, **more: Any) -> dict[str, Any]:
    inputs = more.pop("inputs", {})
    found = {"title": title, "kind": title.split()[0], "key": key, "inputs": inputs, "number": more.pop("number", 1)}
    if base is not None:
        found["inputs"] = {"base": base, **inputs}
    if ran:
        found |= {"started": 1.0, "outcome": "done", "cause": "key"}
    return {**found, **more}


def record(name: str, *steps: dict[str, Any]) -> dict[str, Any]:
    nodes = {f"sha256:{each['title']}": {**each, "at": f"F:{line}"} for line, each in enumerate(steps, start=1)}
    return {"id": name, "context": "/c", "file": "/c/F", "nodes": nodes}


def explain(store: MemoryStore, title: str) -> Any:
    why = Why(store, store.records[-1])  # type: ignore[arg-type]
    return why, why.reason(f"sha256:{title}")


def changed(reason: Any) -> dict[str, tuple[Any, Any]]:
    return {change.part: (change.old, change.new) for change in reason.changes}


def test_the_parts_that_differ_are_named_with_both_values() -> None:
    store = MemoryStore(record("b1", step("run a", "k1")), record("b2", step("run a", "k2")))
    store.parts = {
        "k1": {"op.args": ["a"], "env.X": "1", "env.OLD": "x", "tool.go": "t1", "epoch": 0},
        "k2": {"op.args": ["a"], "env.X": "2", "tool.go": "t2", "secret.s": "given", "epoch": 0},
    }
    _, reason = explain(store, "run a")
    assert (reason.verdict, reason.build) == ("changed", "b1")
    assert changed(reason) == {
        "env.X": ("1", "2"),
        "env.OLD": ("x", None),
        "tool.go": ("t1", "t2"),
        "secret.s": (None, "given"),
    }


def test_a_change_is_followed_to_the_step_that_it_comes_from() -> None:
    def chain(name: str, *keys: str) -> dict[str, Any]:
        return record(
            name,
            step("run a", keys[0], number=1),
            step("run b", keys[1], number=2, base=0),
            step("run c", keys[2], number=3, base=1),
        )

    store = MemoryStore(chain("b1", "a1", "b1", "c1"), chain("b2", "a2", "b2", "c2"))
    for digit in "12":
        store.parts |= {
            f"a{digit}": {"op.args": digit},
            f"b{digit}": {"input.base": f"A{digit}"},
            f"c{digit}": {"input.base": f"B{digit}"},
        }
    why, reason = explain(store, "run c")
    assert [change.step for change in reason.changes] == ["sha256:run b"]
    assert [root.node["title"] for root in why.roots(reason)] == ["run a"]
    assert [why.record["nodes"][each]["title"] for each in why.ran()] == ["run a", "run b", "run c"]


def test_a_step_that_made_something_else_is_the_root_though_nothing_changed() -> None:
    store = MemoryStore(
        record("b1", step("run a", "a"), step("run b", "b1", base=0)),
        record("b2", step("run a", "a", cause="no-cache"), step("run b", "b2", base=0)),
    )
    store.parts = {"a": {}, "b1": {"input.base": "1"}, "b2": {"input.base": "2"}}
    why, reason = explain(store, "run b")
    (root,) = why.roots(reason)
    assert (root.node["title"], root.verdict, root.changes) == ("run a", "no-cache", ())


def test_the_files_that_changed_are_named() -> None:
    local = {"title": "local context", "kind": "local", "inputs": {}}

    def build(name: str, key: str) -> dict[str, Any]:
        return record(name, local, step("copy ./", key, inputs={"from": 0}))

    store = MemoryStore(build("b1", "k1"), build("b2", "k2"))
    store.parts = {"k1": {"select.from": "s1"}, "k2": {"select.from": "s2"}}
    store.lists = {"s1": {"a": "1", "b": "1", "gone": "1"}, "s2": {"a": "2", "b": "1", "new": "1"}}
    why, reason = explain(store, "copy ./")
    (change,) = reason.changes
    assert change.files == Files(changed=("a",), added=("new",), removed=("gone",))
    assert change.step == "sha256:local context"
    assert why.roots(reason) == []
    del store.lists["s1"]
    _, reason = explain(store, "copy ./")
    assert reason.changes[0].files is None


def test_a_mount_tells_of_the_input_that_it_shows() -> None:
    def build(name: str, key: str) -> dict[str, Any]:
        return record(name, step("run a", f"a-{name}"), step("run b", key, inputs={"m1": 0}))

    store = MemoryStore(build("b1", "k1"), build("b2", "k2"))
    mount = {"mount./in": {"kind": "bind", "target": "/in", "input": "m1"}}
    store.parts = {"k1": {**mount, "select./in": "1"}, "k2": {**mount, "select./in": "2"}}
    _, reason = explain(store, "run b")
    assert [change.step for change in reason.changes] == ["sha256:run a"]


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({}, {}, "forgotten"),
        ({"skipped": "x"}, {}, "failed"),
        ({"outcome": "failed"}, {}, "failed"),
        ({}, {"cause": "bytes"}, "bytes"),
        ({}, {"cause": "no-cache"}, "no-cache"),
        ({}, {"cause": "refresh"}, "refresh"),
        ({}, {"cause": "always"}, "always"),
    ],
)
def test_without_a_change_the_cause_is_said(old: dict[str, Any], new: dict[str, Any], verdict: str) -> None:
    store = MemoryStore(record("b1", step("run a", "k", **old)), record("b2", step("run a", "k", **new)))
    _, reason = explain(store, "run a")
    assert (reason.verdict, reason.changes) == (verdict, ())


def test_what_never_was_there_before() -> None:
    store = MemoryStore(record("b1", step("run a", "k")))
    assert explain(store, "run a")[1].verdict == "first"
    store.records.append(record("b2", step("run a", "k", ran=False), step("mkdir b", "n", base=0)))
    assert explain(store, "mkdir b")[1].verdict == "new"
    assert explain(store, "run a")[1].verdict == "cached"


def test_a_build_without_the_step_is_passed_over() -> None:
    store = MemoryStore(
        record("b1", step("run a", "k1")), record("b2", step("mkdir other", "o")), record("b3", step("run a", "k2"))
    )
    store.parts = {"k1": {"epoch": 1}, "k2": {"epoch": 2}}
    assert explain(store, "run a")[1].build == "b1"


def test_a_step_that_failed_brings_its_own_parts() -> None:
    failed = step("run a", "k2", outcome="failed", parts={"epoch": 2})
    store = MemoryStore(record("b1", step("run a", "k1")), record("b2", failed))
    store.parts = {"k1": {"epoch": 1}}
    assert changed(explain(store, "run a")[1]) == {"epoch": (1, 2)}
    del store.parts["k1"]
    assert explain(store, "run a")[1].verdict == "unknown"


def test_another_digest_of_a_base_is_a_change() -> None:
    def build(name: str, pin: str) -> dict[str, Any]:
        base = {"title": "image x", "kind": "image", "pin": pin, "inputs": {}}
        return record(name, base, step("run a", pin, base=0))

    store = MemoryStore(build("b1", "p1"), build("b2", "p2"))
    store.parts = {"p1": {"input.base": "1"}, "p2": {"input.base": "2"}}
    why, reason = explain(store, "run a")
    (root,) = why.roots(reason)
    assert (root.node["title"], changed(root)) == ("image x", {"pin": ("p1", "p2")})


def test_steps_are_found_as_people_name_them() -> None:
    store = MemoryStore(record("b1", step("run a", "k", number=7), step("copy b", "l", number=12)))
    why, _ = explain(store, "run a")
    assert why.find("7") == why.find("#7") == why.find("F:1") == why.find("RUN") == ["sha256:run a"]
    assert why.find("F:30") == ["sha256:copy b"], "a step may go on for some lines"
    for text in ("#1", "G:1", "F:0", "nothing"):
        with pytest.raises(NotFoundError, match="no step"):
            why.find(text)


def test_lists_of_files() -> None:
    assert differing_files({"a": "1"}, {"a": "1"}) == Files(changed=(), added=(), removed=())
