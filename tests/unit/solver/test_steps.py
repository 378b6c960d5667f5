"""Nodes of a real graph over a store and an executor in memory: what is run, what is remembered, what is retried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from buildkit_py import canonical
from buildkit_py.errors import InfrastructureError, PybuildError, StepError, StoreBusyError
from buildkit_py.events import Event, Finished, Started
from buildkit_py.graph.builder import GraphBuilder
from buildkit_py.graph.definition import Definition
from buildkit_py.graph.op import Mkdir, Run, Scratch, SecretMount
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.protocol import InputMissing, LogEvent, StepResult, StepTask
from buildkit_py.solver.build import nodes_of
from buildkit_py.solver.layers import LayerNode
from buildkit_py.solver.scheduler import Scheduler
from buildkit_py.solver.session import Session, SolveOptions


@dataclass
class Table:
    rows: dict[Any, Any] = field(default_factory=dict)

    def get(self, *key: str) -> Any:
        return self.rows.get(key)

    def put(self, *row: Any) -> None:
        *key, value = row
        self.rows[tuple(key)] = value


@dataclass
class Results:
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, key: str) -> dict[str, Any] | None:
        return self.rows.get(key)

    def put(self, key: str, result: Mapping[str, Any], parts: Mapping[str, Any], build: str) -> None:
        self.rows[key] = {**result, "parts": parts, "build": build}


@dataclass
class MemoryStore:
    """Results and facts; `busy` is how often a lock is found taken, `meanwhile` what happens then."""

    results: Results = field(default_factory=Results)
    memo: Table = field(default_factory=Table)
    busy: int = 0
    meanwhile: Callable[[], None] = lambda: None

    @contextmanager
    def lock(self, name: str, timeout: float | None = None) -> Iterator[None]:
        if self.busy:
            self.busy -= 1
            self.meanwhile()
            raise StoreBusyError(f"{name} is taken")
        yield


@dataclass
class MemoryTrees:
    """Knows which trees have their bytes here."""

    here: set[str] = field(default_factory=lambda: {EMPTY_TREE})

    def complete(self, content_id: str) -> bool:
        return content_id in self.here

    def described(self, content_id: str) -> bool:
        return content_id in self.here

    def holds(self, content_id: str, base: str) -> bool:
        return content_id == base or content_id in self.here

    def known(self, content_id: str, lower: str) -> bool:
        return True


@dataclass
class MemoryExecutor:
    """Makes up trees: that of a step follows from its op and its base, but `same` ops make nothing."""

    trees: MemoryTrees
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    drift: dict[str, str] = field(default_factory=dict)

    def prepare(self, op: Mapping[str, Any]) -> None:
        pass

    def cancel(self, key: str) -> None:
        pass

    def execute(self, task: StepTask, log: Callable[[LogEvent], None]) -> StepResult:
        name = name_of(task.op)
        if self.faults.get(name):
            raise self.faults[name].pop(0)
        self.done.append(name)
        base = next(given.content_id for given in task.inputs if given.role == "base")
        drift = [self.drift[name]] if name in self.drift else []
        made = str(canonical.digest([base, name.removesuffix("'"), *drift]))
        self.trees.here.add(made)
        code = self.exits.get(name, 0)
        return StepResult(key=task.key, content_id=made if code == 0 else None, exit=code)


def name_of(op: Mapping[str, Any]) -> str:
    return str(op["args"][0] if "args" in op else op["path"])


@dataclass
class World:
    """Builds chains of ops in one memory."""

    store: MemoryStore = field(default_factory=MemoryStore)
    trees: MemoryTrees = field(default_factory=MemoryTrees)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = MemoryExecutor(self.trees)

    def build(self, definition: Definition, **options: Any) -> Scheduler:
        self.executor.done.clear()
        self.events.clear()
        self.session = Session(
            definition=definition,
            store=self.store,  # type: ignore[arg-type]
            trees=self.trees,  # type: ignore[arg-type]
            contexts=None,  # type: ignore[arg-type]
            executor=self.executor,
            tools=None,  # type: ignore[arg-type]
            emit=self.events.append,
            options=SolveOptions(build="b", jobs=4, **options),
        )
        nodes = [node for node in nodes_of(self.session) if not isinstance(node, LayerNode)]
        scheduler = Scheduler(self.session, nodes)
        scheduler.run()
        return scheduler

    @property
    def done(self) -> list[str]:
        return self.executor.done


def chain(*names: str) -> Definition:
    """`run` steps on each other; a name with a leading `/` is a directory to make."""
    builder = GraphBuilder()
    base = tip = builder.add(Scratch())
    for name in names:
        tip = builder.add(Mkdir(path=name) if name.startswith("/") else Run(args=(name,)), base=tip)
    builder.target("app", base=base, layers=[("all", tip)])
    return builder.build()


def test_steps_run_in_order_and_once() -> None:
    world = World()
    world.build(chain("a", "b", "c"))
    assert world.done == ["a", "b", "c"]
    world.build(chain("a", "b", "c"))
    assert world.done == []
    assert (len(world.session.cached), len(world.session.ran)) == (3, 0)


def test_a_step_that_makes_the_same_ends_the_rerun() -> None:
    world = World()
    world.build(chain("a", "b", "c"))
    world.build(chain("a'", "b", "c"))
    assert world.done == ["a'"]


def test_a_step_that_makes_something_else_reruns_what_follows() -> None:
    world = World()
    world.build(chain("a", "b", "c"))
    world.build(chain("a", "x", "c"))
    assert world.done == ["x", "c"]


def test_a_known_result_without_its_bytes_is_made_again_only_for_a_step_that_runs() -> None:
    world = World()
    world.build(chain("a", "b"))
    world.trees.here = {EMPTY_TREE}
    world.build(chain("a", "b"))
    assert world.done == []
    world.build(chain("a", "b", "c"))
    assert world.done == ["a", "b", "c"]
    assert (len(world.session.cached), len(world.session.ran)) == (0, 3)


def test_no_cache_runs_all_and_refresh_what_has_the_network() -> None:
    world = World()
    builder = GraphBuilder()
    base = builder.add(Scratch())
    near = builder.add(Run(args=("near",)), base=base)
    far = builder.add(Run(args=("far",), network="host"), base=near)
    last = builder.add(Run(args=("last",)), base=far)
    builder.target("app", base=base, layers=[("all", last)])
    definition = builder.build()
    world.build(definition)
    world.build(definition, refresh=True)
    assert world.done == ["far"]
    world.build(definition, no_cache=True)
    assert world.done == ["near", "far", "last"]


def test_what_is_to_run_again_runs_once_and_what_follows_only_if_it_came_out_different() -> None:
    world = World()
    definition = chain("a", "b", "c")
    world.build(definition)
    digests = list(definition.vertices)
    world.build(replace(definition, fresh=(digests[2],)))
    assert world.done == ["b"]
    world.executor.drift["b"] = "other"
    world.build(replace(definition, fresh=(digests[2],)))
    assert world.done == ["b", "c"]
    world.build(definition)
    assert world.done == []


def test_a_failure_of_the_machinery_is_tried_again_but_not_for_ever() -> None:
    world = World()
    world.executor.faults["a"] = [InfrastructureError("gone")] * 2
    assert world.build(chain("a")).failures == []
    assert world.done == ["a"]
    world.executor.faults["b"] = [InfrastructureError("gone")] * 3
    (failure,) = world.build(chain("b")).failures
    assert failure.error.message == "gone"
    assert [type(event) for event in world.events].count(Started) == 1


def test_a_step_that_fails_is_not_tried_again_nor_remembered() -> None:
    world = World()
    world.executor.exits["b"] = 3
    scheduler = world.build(chain("a", "b", "c"))
    (failure,) = scheduler.failures
    assert isinstance(failure.error, StepError) and failure.error.step_exit == 3
    assert world.done == ["a", "b"]
    assert len(scheduler.skipped) == 1
    world.executor.exits.clear()
    world.build(chain("a", "b", "c"))
    assert world.done == ["b", "c"]


def test_an_input_that_an_executor_lacks_is_made_first_and_told_once() -> None:
    world = World()
    world.build(chain("a"))
    world.trees.here = {EMPTY_TREE}
    world.executor.faults["/b"] = [InputMissing("base")]
    world.build(chain("a", "/b"))
    assert world.done == ["a", "/b"]
    begun = [event.title for event in world.events if isinstance(event, Started)]
    assert sorted(begun) == ["mkdir /b", "run a"]
    ended = [event.outcome for event in world.events if isinstance(event, Finished)]
    assert ended == ["done", "done"]


def test_a_result_is_kept_under_the_key_of_what_it_was_made_of() -> None:
    world = World()
    world.build(chain("a", "b"))
    world.trees.here = {EMPTY_TREE}
    world.executor.drift["a"] = "other"
    world.build(chain("a", "c"))
    assert world.done == ["a", "c"]
    world.trees.here = {EMPTY_TREE}
    del world.executor.drift["a"]
    # Now `a` is as it was first, and nothing is known of `c` upon that.
    world.build(chain("a", "b", "d"))
    world.build(chain("a", "c"))
    assert world.done == ["c"]
    for key, row in world.store.results.rows.items():
        assert str(canonical.digest(row["parts"])) == key


def test_what_is_known_of_an_input_that_came_out_different_is_found() -> None:
    world = World()
    world.build(chain("a'", "c"))
    world.executor.drift["a"] = "other"
    world.build(chain("a", "b"))
    del world.executor.drift["a"]
    world.trees.here.discard(str(canonical.digest([EMPTY_TREE, "a", "other"])))
    world.build(chain("a", "c"))
    assert world.done == ["a"]


def test_an_optional_secret_that_is_given_now_makes_a_step_run_again() -> None:
    world = World()
    builder = GraphBuilder()
    base = builder.add(Scratch())
    op = Run(args=("a",), mounts=(SecretMount(id="token", env="T", required=False),))
    builder.target("app", base=base, layers=[("all", builder.add(op, base=base))])
    definition = builder.build()
    world.build(definition)
    world.build(definition)
    assert world.done == []
    world.build(definition, given=frozenset({"secret.token"}))
    assert world.done == ["a"]


def test_what_another_process_did_meanwhile_is_taken() -> None:
    world = World()
    other = World(store=world.store, trees=world.trees)
    world.store.busy = 1
    world.store.meanwhile = lambda: other.build(chain("a")) and None
    world.build(chain("a"))
    assert (world.done, other.done) == ([], ["a"])
    assert len(world.session.cached) == 1
    assert not [event for event in world.events if isinstance(event, Started | Finished)]


def test_waiting_for_another_process_ends_when_the_build_is_stopped() -> None:
    world = World()
    world.store.busy = 1_000_000
    world.store.meanwhile = lambda: world.session.stopping.set()
    with pytest.raises(PybuildError, match="stopped"):
        raise world.build(chain("a")).failures[0].error
    assert world.done == []


def test_a_result_of_a_later_version_is_read() -> None:
    result = StepResult(key="k", content_id="c", tail=("x",))
    assert StepResult.from_plain({**result.to_plain(), "news": 1}) == result
    assert StepResult.from_plain(replace(result, tail=()).to_plain()).tail == ()
