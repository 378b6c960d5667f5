"""The scheduler with nodes that do nothing: order, failures, cancellation, interrupts."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from buildkit_py.errors import Cancelled, StepError, StoreError, TestError
from buildkit_py.events import Event, Finished, Skipped
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.scheduler import Scheduler
from buildkit_py.solver.session import SolveOptions
from buildkit_py.source import Span


@dataclass
class FakeSession:
    options: SolveOptions
    events: list[Event] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def now(self) -> float:
        return 0.0

    def end(self, node: Any, outcome: Any, error: str | None = None) -> None:
        self.emit(Finished(at=0, id=node.id, outcome=outcome, error=error))

    def spared(self, node: Any, how: str) -> None:
        self.cached.append(node.id)


@dataclass
class FakeNode:
    id: str
    inputs: tuple[str, ...] = ()
    work: Callable[[FakeNode], None] = lambda node: None
    known: bool = False
    kind: str = "run"
    span: Span | None = None
    slow: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    produced: int = 0
    whole: bool = True
    looked_at: bool = False

    @property
    def title(self) -> str:
        return self.id

    @property
    def eager(self) -> tuple[str, ...]:
        return self.inputs

    def identify(self) -> Identity:
        return Identity(known=self.known, available=False, spared=self.known)

    def look_ahead(self, stop: threading.Event) -> None:
        self.looked_at = True

    def prepare(self) -> None:
        pass

    def produce(self) -> Identity:
        self.work(self)
        self.produced += 1
        return Identity(known=True, available=self.whole)

    def cancel(self) -> None:
        self.stopped.set()


def fail(node: FakeNode) -> None:
    raise StepError(f"{node.id} failed", step_exit=1)


def lay(node: FakeNode) -> None:
    """The bytes of what is made come with the second call."""
    node.whole = node.produced > 0


def until_stopped(node: FakeNode) -> None:
    assert node.stopped.wait(30)
    raise Cancelled("stopped")


def solve(*nodes: FakeNode, **options: Any) -> tuple[Scheduler, FakeSession]:
    session = FakeSession(SolveOptions(build="b", **options))
    scheduler = Scheduler(session, nodes)  # type: ignore[arg-type]
    scheduler.run()
    return scheduler, session


def test_everything_is_produced_once() -> None:
    nodes = [FakeNode("a"), FakeNode("b", ("a",)), FakeNode("c", ("a",)), FakeNode("d", ("b", "c"))]
    scheduler, _ = solve(*nodes)
    assert [node.produced for node in nodes] == [1, 1, 1, 1]
    assert scheduler.failures == []


def test_bytes_are_asked_for_by_a_second_call_where_somebody_needs_them() -> None:
    nodes = [FakeNode("a", work=lay), FakeNode("b", work=lay), FakeNode("c", ("a",))]
    solve(*nodes)
    assert [node.produced for node in nodes] == [2, 1, 1]


def test_known_nodes_are_not_produced_and_reported_once() -> None:
    nodes = [FakeNode("a", known=True), FakeNode("b", ("a",), known=True)]
    _, session = solve(*nodes)
    assert [node.produced for node in nodes] == [0, 0]
    assert session.cached == ["a", "b"]


def test_independent_nodes_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=30)
    nodes = [FakeNode(name, work=lambda node: meeting.wait() and None) for name in "abc"]
    solve(*nodes)
    assert [node.produced for node in nodes] == [1, 1, 1]


def test_no_more_than_the_given_number_run_at_the_same_time() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def work(node: FakeNode) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1

    solve(*(FakeNode(str(n), work=work) for n in range(8)), jobs=2)
    assert most[0] == 2


def test_a_failure_skips_its_dependents_and_cancels_the_rest() -> None:
    begun = threading.Event()

    def slow(node: FakeNode) -> None:
        begun.set()
        until_stopped(node)

    def bad(node: FakeNode) -> None:
        assert begun.wait(30)
        fail(node)

    slow_node, bad_node = FakeNode("slow", work=slow), FakeNode("bad", work=bad)
    after = FakeNode("after", ("bad",))
    scheduler, session = solve(slow_node, bad_node, after)
    assert [(failure.node.id, failure.skipped) for failure in scheduler.failures] == [("bad", ("after",))]
    outcomes = {event.id: event.outcome for event in session.events if isinstance(event, Finished)}
    assert outcomes == {"bad": "failed", "slow": "cancelled"}
    assert [event.id for event in session.events if isinstance(event, Skipped)] == ["after"]


def test_keep_going_finishes_what_does_not_depend_on_the_failure() -> None:
    other, last = FakeNode("other"), FakeNode("last", ("other",))
    scheduler, _ = solve(FakeNode("bad", work=fail), FakeNode("after", ("bad",)), other, last, keep_going=True)
    assert last.produced == 1
    assert len(scheduler.failures) == 1


def test_a_test_that_fails_stops_nothing() -> None:
    begun = threading.Event()

    def fail_test(node: FakeNode) -> None:
        begun.set()
        raise TestError(f"{node.id} failed")

    def later(node: FakeNode) -> None:
        assert begun.wait(30)

    last = FakeNode("last", ("other",))
    other = FakeNode("other", work=later)
    scheduler, _ = solve(FakeNode("one", work=fail_test), FakeNode("two", work=fail_test), other, last)
    assert last.produced == 1
    assert {failure.node.id for failure in scheduler.failures} == {"one", "two"}


def test_only_faults_of_the_disk_are_the_store_s() -> None:
    def full(node: FakeNode) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def bug(node: FakeNode) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    scheduler, _ = solve(FakeNode("full", work=full))
    assert isinstance(scheduler.failures[0].error, StoreError)
    with pytest.raises(FileNotFoundError):
        solve(FakeNode("bug", work=bug))


def test_an_interrupt_does_not_wait_for_a_look_at_files() -> None:
    release = threading.Event()

    class Slow(FakeNode):
        def identify(self) -> Identity:
            release.wait(60)
            return Identity(known=False)

    def interrupted(node: FakeNode) -> None:
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            solve(Slow("slow", slow=True), FakeNode("other", work=interrupted))
    finally:
        release.set()


def test_an_unexpected_error_stops_everything_and_is_raised() -> None:
    def bug(node: FakeNode) -> None:
        raise ZeroDivisionError

    waiting = FakeNode("waiting", work=until_stopped)
    with pytest.raises(ZeroDivisionError):
        solve(waiting, FakeNode("bug", work=bug))
    assert waiting.stopped.is_set()


def test_a_node_that_asks_for_an_input_is_asked_again() -> None:
    base = FakeNode("base", known=True)

    def lazy(node: FakeNode) -> None:
        if not base.produced:
            raise InputNeeded("base")

    class Lazy(FakeNode):
        @property
        def eager(self) -> tuple[str, ...]:
            return ()

    top = Lazy("top", ("base",), work=lazy)
    solve(base, top)
    assert (base.produced, top.produced) == (1, 1)


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), KeyboardInterrupt()])
def test_a_fault_while_a_node_is_prepared_ends_the_build(fault: BaseException) -> None:
    class Faulty(FakeNode):
        def prepare(self) -> None:
            raise fault

    waiting = FakeNode("waiting", work=until_stopped)
    with pytest.raises(type(fault)):
        solve(waiting, Faulty("faulty"))
    assert waiting.stopped.is_set()


def test_every_piece_of_work_has_its_begin_and_its_end() -> None:
    base = FakeNode("base", known=True)

    def lazy(node: FakeNode) -> None:
        if not base.produced:
            raise InputNeeded("base")

    top = FakeNode("top", ("base",), work=lazy)
    scheduler, _ = solve(base, top)
    work = {name: [kind for kind, _, _ in spells] for name, spells in scheduler.spells.items()}
    assert work == {"base": ["identify", "produce"], "top": ["identify", "produce"]}


def test_what_was_stopped_has_been_worked_on_too() -> None:
    nodes = [FakeNode("waiting", work=until_stopped), FakeNode("bad", work=fail)]
    scheduler, _ = solve(*nodes)
    assert {name: spells[-1][0] for name, spells in scheduler.spells.items()} == {
        "waiting": "produce",
        "bad": "produce",
    }


def test_while_a_process_runs_the_files_of_later_steps_are_looked_at() -> None:
    def wait_for_look(node: FakeNode) -> None:
        deadline = time.monotonic() + 10
        while not later.looked_at and time.monotonic() < deadline:
            time.sleep(0.001)

    process = FakeNode("process", work=wait_for_look)
    later, quick = FakeNode("later", ("process",), kind="copy", slow=True), FakeNode("quick", ("process",), kind="copy")
    solve(process, later, quick)
    assert later.looked_at
    assert not quick.looked_at
    known = FakeNode("known", known=True, kind="copy", slow=True)
    solve(known)
    assert not known.looked_at


def test_looking_ahead_ends_with_the_plan() -> None:
    ended: list[bool] = []

    class Patient(FakeNode):
        def look_ahead(self, stop: threading.Event) -> None:
            self.looked_at = True
            ended.append(stop.wait(10))

    def fail(node: FakeNode) -> None:
        deadline = time.monotonic() + 10
        while not later.looked_at and time.monotonic() < deadline:
            time.sleep(0.001)
        raise StepError("no")

    process = FakeNode("process", work=fail)
    later = Patient("later", ("process",), kind="copy", slow=True)
    solve(process, later)
    assert ended == [True]
