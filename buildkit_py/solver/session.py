"""What the nodes of one build share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import Cancelled, InfrastructureError, StoreBusyError
from buildkit_py.events import Cached, Finished, Log, Note, Progress, Started
from buildkit_py.solver.stacks import Stacks
from buildkit_py.store.locks import Patience, named

if TYPE_CHECKING:
    from buildkit_py.events import Emit
    from buildkit_py.graph.definition import Definition
    from buildkit_py.graph.op import Tool
    from buildkit_py.layer.commit import LayerBlob
    from buildkit_py.layer.contexts import Contexts
    from buildkit_py.layer.stored import StoredTrees
    from buildkit_py.protocol import Executor, LogEvent, StepResult, StepTask
    from buildkit_py.solver.nodes import Node
    from buildkit_py.store import Store

RETRIES = 2
LOOK_UP_SECONDS = 0.5


class ToolIdentities(Protocol):
    """Knows the programs of the machine that host steps run on."""

    def identity(self, tool: Tool) -> str:
        """A text that changes when the program does; raises `MissingToolError`."""


class ResultCache(Protocol):
    """What other machines came to, asked where this one's store knows nothing. Keys are `sha256:…`. Thread-safe; it
    never raises because of what is wrong with a cache."""

    def step(self, key: str, base: str | None) -> StepResult | None:
        """The result of a step over the tree `base`; without it, of one whose tree nobody wants."""

    def selection(self, key: str) -> str | None:
        """The digest of what is selected of a tree."""

    def check(self, key: str) -> bool:
        """Whether a check of a test is known to hold."""

    def layer(self, key: str) -> LayerBlob | None:
        """The blob that some diffs make."""

    def restore(
        self,
        key: str,
        result: StepResult,
        epoch: int,
        *,
        tell: Callable[[int, int | None], None],
        cancel: Callable[[], bool],
    ) -> bool:
        """Bring the bytes that a step added into the store, if they can be had. `tell` gets how many of how many."""

    def tell(self, key: str, result: StepResult, cancel: Callable[[], bool]) -> bool:
        """Learn what a step changed, without its bytes, if that can be had."""

    def names(self, key: str, chain: Sequence[str], cancel: Callable[[], bool]) -> bool:
        """Learn what is where in an image's trees (content ids, lowest first), if that can be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveOptions:
    """How to solve. `refresh` runs again the steps that have the network, `no_cache` every step.

    `given` are the secrets and ssh agents that this build has: `secret.ID`, `ssh.ID`. `limits` are those of every step,
    beside its own (`graph.resources`); they are in no key, as they say only whether there is a result.
    """

    build: str
    epoch: int = 0
    no_cache: bool = False
    refresh: bool = False
    keep_going: bool = False
    jobs: int = 16
    compression: str = "gzip"
    given: frozenset[str] = frozenset()
    limits: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Session:
    """One solve: the graph, the store, the executor; `content` maps the vertices known so far to their content ids.
    With a `cache`, results of other machines count too.

    `times` are the seconds that parts of producing a node took, by node and part, in the order of the parts.
    """

    definition: Definition
    store: Store
    trees: StoredTrees
    contexts: Contexts
    executor: Executor
    tools: ToolIdentities
    emit: Emit
    options: SolveOptions
    started: float = field(default_factory=time.monotonic)
    cache: ResultCache | None = None
    content: dict[str, str] = field(default_factory=dict)
    stacks: Stacks = field(init=False)
    ran: set[str] = field(default_factory=set)
    cached: set[str] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _ended: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stacks = Stacks(self.definition, told=self.cache is not None)

    def now(self) -> float:
        """Seconds since the build began."""
        return time.monotonic() - self.started

    def spared(self, node: Node, how: Literal["key", "diff"]) -> None:
        """Note that a node needed no work."""
        self.cached.add(node.id)
        self.emit(Cached(at=self.now(), id=node.id, title=node.title, kind=node.kind, how=how))

    def begin(self, node: Node) -> None:
        """Note that work on a node begins; said once, however often it is taken up again."""
        if node.id not in self._begun:
            self._begun.add(node.id)
            self.emit(Started(at=self.now(), id=node.id, title=node.title, kind=node.kind, span=node.span))

    def end(self, node: Node, outcome: Literal["done", "failed", "cancelled"], error: str | None = None) -> None:
        """Note how a node ended; of one that was spared its work nothing is said, and a failure always has a begin."""
        if outcome == "failed":
            self.begin(node)
        # A step that was done may still fail when its files are laid down.
        if node.id in self._begun and (outcome == "failed" or node.id not in self._ended):
            self._ended.add(node.id)
            self.emit(Finished(at=self.now(), id=node.id, outcome=outcome, error=error))

    def did(self, node: Node) -> None:
        """Count a node as work that was done; a result that was known without its bytes does not count as cached."""
        self.ran.add(node.id)
        self.cached.discard(node.id)

    def took(self, node: Node, times: Mapping[str, float]) -> None:
        """Keep what parts of producing a node took, in seconds; only one thread at a time produces it."""
        mine = self.times.setdefault(node.id, {})
        for name, seconds in times.items():
            mine[name] = mine.get(name, 0.0) + seconds

    @contextmanager
    def alone(self, node: Node, name: str) -> Iterator[None]:
        """Hold a lock between processes; waiting for it ends with `Cancelled` when the build is stopped, and with
        `StoreBusyError` where its holder is."""
        with ExitStack() as stack:
            told, began, patience = False, self.now(), Patience()
            while True:
                self.check()
                try:
                    stack.enter_context(self.store.lock(name, timeout=LOOK_UP_SECONDS))
                    break
                except StoreBusyError as busy:
                    if not told:
                        text = f"another build is at work on the same ({named(busy.pid)}): {node.title}"
                        self.emit(Note(at=self.now(), text=text))
                    told = True
                    if patience.ended(busy.pid):
                        raise
            if told:
                self.took(node, {"wait": self.now() - began})
            yield

    def check(self) -> None:
        """Raise `Cancelled` where the build is being stopped."""
        if self.stopping.is_set():
            raise Cancelled("the build was stopped")

    def run(self, task: StepTask, node: Node) -> StepResult:
        """Have the executor run a task; a failure of the machinery is tried again."""
        self.begin(node)
        result = self.supply(task, node)
        if result.hit:
            self.spared(node, "diff")
        else:
            self.did(node)
        return result

    def supply(self, task: StepTask, node: Node) -> StepResult:
        """The same for what a node owes that was counted already."""
        for attempt in range(RETRIES + 1):
            self.check()
            try:
                result = self.executor.execute(task, lambda event: self._log(node, event))
                break
            except InfrastructureError:
                if attempt == RETRIES:
                    raise
        self.took(node, result.times)
        return result

    def moved(self, node: Node, done: int, total: int | None) -> None:
        """Tell how many bytes of a transfer are done."""
        self.emit(Progress(at=self.now(), id=node.id, done=done, total=total))

    def _log(self, node: Node, event: LogEvent) -> None:
        if event.stream == "progress":
            done, _, total = event.data.partition("/")
            self.moved(node, int(done), int(total) if total else None)
            return
        stream: Literal["stdout", "stderr"] = "stderr" if event.stream == "stderr" else "stdout"
        self.emit(Log(at=self.now(), id=node.id, stream=stream, text=event.data))
