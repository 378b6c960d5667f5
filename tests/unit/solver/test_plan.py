"""The plan, from graphs of a few lines: no disk, no threads."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.solver.plan import Plan, State, Work

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a busy machine, drawing many numbers takes its time."""


def graph(text: str) -> dict[str, tuple[str, ...]]:
    """`c: a b` lines: c is made from a and b."""
    rows = (line.split(":") for line in text.strip().splitlines())
    return {name.strip(): tuple(inputs.split()) for name, inputs in rows}


def drain(plan: Plan) -> list[Work]:
    works = []
    while (work := plan.find_work()) is not None:
        works.append(work)
    return works


class World:
    """Answers a plan: `hits` are known, `here` are hits whose bytes are there."""

    def __init__(self, plan: Plan, hits: str = "", here: str = "") -> None:
        self.plan, self.hits, self.here = plan, set(hits.split()), set(here.split())
        self.produced: list[str] = []

    def run(self) -> list[str]:
        while works := drain(self.plan):
            for work in works:
                if work.kind == "produce":
                    self.produced.append(work.node)
                    self.plan.finished(work.node)
                elif work.node in self.hits | self.here:
                    self.plan.hit(work.node, available=work.node in self.here)
                else:
                    self.plan.missed(work.node)
        return self.produced


CHAIN = graph("a:\nb: a\nc: b\nd: c")


def test_nothing_is_produced_when_everything_is_known_even_without_its_bytes() -> None:
    assert World(Plan(CHAIN, CHAIN), hits="a b c d").run() == []


def test_a_miss_at_the_end_wants_the_bytes_of_all_below_it() -> None:
    assert World(Plan(CHAIN, CHAIN), hits="a b c").run() == ["a", "b", "c", "d"]


def test_bytes_that_are_there_are_not_made_again() -> None:
    assert World(Plan(CHAIN, CHAIN), hits="a", here="b c").run() == ["d"]


def test_a_lazy_input_is_not_wanted() -> None:
    assert World(Plan(CHAIN, {"d": ()}), hits="a b c").run() == ["d"]


def test_a_node_waits_until_its_inputs_are_identified() -> None:
    plan = Plan(graph("a:\nb:\nc: a b"), {})
    assert drain(plan) == [Work("identify", "a"), Work("identify", "b")]
    plan.hit("a", available=False)
    assert drain(plan) == []
    plan.hit("b", available=False)
    assert drain(plan) == [Work("identify", "c")]


def test_a_node_may_ask_for_bytes_before_it_can_be_identified() -> None:
    plan = Plan(graph("a:\nb: a"), {})
    drain(plan)
    plan.hit("a", available=False)
    drain(plan)
    plan.needs("b", ["a"])
    assert drain(plan) == [Work("produce", "a")]
    plan.finished("a")
    assert drain(plan) == [Work("identify", "b")]


def test_a_node_may_ask_for_bytes_while_it_is_produced() -> None:
    plan = Plan(graph("a:\nb: a"), {})
    drain(plan)
    plan.hit("a", available=False)
    drain(plan)
    plan.missed("b")
    assert drain(plan) == [Work("produce", "b")]
    plan.needs("b", ["a"])
    assert drain(plan) == [Work("produce", "a")]
    plan.finished("a")
    assert drain(plan) == [Work("produce", "b")]


def test_a_need_for_what_is_there_is_asked_again_at_once() -> None:
    plan = Plan(graph("a:\nb: a"), {})
    drain(plan)
    plan.hit("a", available=True)
    drain(plan)
    plan.needs("b", ["a"])
    assert drain(plan) == [Work("identify", "b")]


def test_what_a_node_lies_upon_is_waited_for_though_it_is_no_input() -> None:
    plan = Plan(CHAIN, {"c": ("a", "b")})
    assert World(plan, hits="a", here="b").run() == ["a", "c", "d"]


def test_who_waits_for_what_failed_is_skipped_though_it_is_no_input() -> None:
    plan = Plan(CHAIN, {"c": ("a", "b")})
    for name, here in (("a", False), ("b", True)):
        drain(plan)
        plan.hit(name, available=here)
    drain(plan)
    plan.missed("c")
    assert drain(plan) == [Work("produce", "a")]
    assert plan.failed("a") == ["c", "d"]


def test_independent_nodes_are_ready_together() -> None:
    plan = Plan(graph("a:\nb: a\nc: a\nd: b c"), {})
    drain(plan)
    plan.hit("a", available=True)
    assert {work.node for work in drain(plan)} == {"b", "c"}


def test_a_failure_skips_what_depends_on_it_and_nothing_else() -> None:
    plan = Plan(graph("a:\nb: a\nc: b\nx:\ny: x"), {})
    drain(plan)
    plan.hit("a", available=True)
    plan.hit("x", available=True)
    drain(plan)
    plan.missed("b")
    drain(plan)
    assert plan.failed("b") == ["c"]
    assert plan.state("c") is State.SKIPPED and plan.because("c") == "b"
    assert plan.state("y") is State.IDENTIFYING


def test_a_stopped_plan_gives_out_nothing() -> None:
    plan = Plan(CHAIN, CHAIN)
    plan.stop()
    assert plan.find_work() is None
    assert plan.unfinished() == ["a", "b", "c", "d"]


def test_running_counts_the_work_that_is_out() -> None:
    plan = Plan(graph("a:\nb:"), {})
    drain(plan)
    assert plan.running == 2
    plan.hit("a", available=True)
    plan.missed("b")
    assert plan.running == 0


@unhurried
@given(st.integers(1, 24), st.randoms(use_true_random=False), st.floats(0, 1), st.floats(0, 1))
def test_every_node_is_done_once_after_its_inputs(size: int, rng: random.Random, hits: float, here: float) -> None:
    inputs = {str(n): tuple(str(m) for m in range(n) if rng.random() < 0.3) for n in range(size)}
    plan = Plan(inputs, inputs)
    order: list[str] = []
    out: list[Work] = []
    while True:
        out += drain(plan)
        if not out:
            break
        work = out.pop(rng.randrange(len(out)))
        if work.kind == "produce":
            order.append(work.node)
            plan.finished(work.node)
        elif rng.random() < hits:
            plan.hit(work.node, available=rng.random() < here)
        else:
            plan.missed(work.node)
    assert plan.unfinished() == []
    assert len(order) == len(set(order))
    assert all(plan.state(name) is State.KNOWN for name in inputs)


@unhurried
@given(st.integers(1, 16), st.randoms(use_true_random=False), st.floats(0, 1), st.floats(0, 1))
def test_bytes_that_are_there_fit_what_they_lie_upon(size: int, rng: random.Random, hits: float, apart: float) -> None:
    """Results that come out other when they are made again, and bytes that can't be had after all, at any moment."""
    inputs = {str(n): tuple(str(m) for m in range(n) if rng.random() < 0.3) for n in range(size)}
    plan = Plan(inputs, {name: tuple(each for each in below if rng.random() < 0.5) for name, below in inputs.items()})
    version, made_of = dict.fromkeys(inputs, 0), dict[str, dict[str, int]]()
    begun: dict[str, dict[str, int]] = {}
    left_out, known, changes = set[str](), set[str](), set[str]()
    out: list[Work] = []
    while True:
        for work in drain(plan):
            out.append(work)
            begun[work.node] = {each: version[each] for each in inputs[work.node]}
        if not out:
            break
        work = out.pop(rng.randrange(len(out)))
        name = work.node
        if work.kind == "identify" and rng.random() < hits:
            known.add(name)
            elsewhere = rng.random() < apart
            if elsewhere:
                left_out.add(name)
            plan.hit(name, available=False, apart=elsewhere)
        elif work.kind == "identify":
            plan.missed(name)
        elif name in left_out and rng.random() < 0.5:
            left_out.discard(name)
            plan.needs(name, inputs[name])
        else:
            changed = name in known and name not in changes and rng.random() < 0.5
            if changed:
                changes.add(name)
                version[name] += 1
            made_of[name] = begun[name] if name not in left_out else {}
            plan.finished(name, changed=changed)
    assert plan.unfinished() == []
    for name, below in made_of.items():
        if plan._nodes[name].available:
            assert all(version[each] == number for each, number in below.items())


def test_a_long_chain_does_not_overflow() -> None:
    size = 2000
    inputs = {str(n): ((str(n - 1),) if n else ()) for n in range(size)}
    plan = Plan(inputs, inputs)
    world = World(plan, hits=" ".join(str(n) for n in range(size - 1)))
    assert len(world.run()) == size


def test_bytes_that_may_come_from_elsewhere_want_nothing_below() -> None:
    plan = Plan(CHAIN, {**CHAIN, "d": ("c",)})
    for name in "abc":
        drain(plan)
        plan.hit(name, available=False, apart=True)
    drain(plan)
    plan.missed("d")
    assert drain(plan) == [Work("produce", "c")]
    # They could not be had after all: what makes them is asked for.
    plan.needs("c", ["b"])
    assert drain(plan) == [Work("produce", "b")]
    plan.finished("b")
    assert drain(plan) == [Work("produce", "c")]
    plan.finished("c")
    assert drain(plan) == [Work("produce", "d")]


def test_what_lies_upon_a_result_that_changed_is_made_again_where_its_bytes_are_wanted() -> None:
    plan = Plan(CHAIN, {"c": ("b",), "d": ("c", "b")})
    for name, here in (("a", True), ("b", False), ("c", True)):
        drain(plan)
        plan.hit(name, available=here)
    drain(plan)
    plan.missed("d")
    assert drain(plan) == [Work("produce", "b")]
    plan.finished("b", changed=True)
    assert drain(plan) == [Work("produce", "c")]
    plan.finished("c", changed=True)
    assert drain(plan) == [Work("produce", "d")]


def test_one_that_is_at_work_on_a_result_that_changed_is_made_again_too() -> None:
    plan = Plan(graph("a:\nb: a\nc: a\nd: b c"), {"b": ("a",), "d": ("b", "c")})
    drain(plan)
    plan.hit("a", available=False)
    drain(plan)
    plan.missed("c")
    assert drain(plan) == [Work("produce", "c")]
    plan.missed("b")
    assert drain(plan) == [Work("produce", "a")]
    plan.finished("a", changed=True)
    assert drain(plan) == [Work("produce", "b")]
    plan.finished("c")
    plan.finished("b")
    assert drain(plan) == [Work("identify", "d")]
    plan.missed("d")
    assert drain(plan) == [Work("produce", "c")]
    plan.finished("c")
    assert drain(plan) == [Work("produce", "d")]


def test_nothing_is_made_again_whose_bytes_nobody_wants() -> None:
    plan = Plan(CHAIN, {"d": ("a",)})
    for name in "abc":
        drain(plan)
        plan.hit(name, available=name != "a")
    drain(plan)
    plan.missed("d")
    assert drain(plan) == [Work("produce", "a")]
    plan.finished("a", changed=True)
    assert drain(plan) == [Work("produce", "d")]
