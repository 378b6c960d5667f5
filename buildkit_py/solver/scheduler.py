"""The scheduler: drives the plan with threads, one for each piece of work under way.

All state of the plan is touched by the calling thread alone; workers answer through a queue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import Cancelled, PybuildError, StoreError, TestError
from buildkit_py.events import Skipped
from buildkit_py.solver.nodes import Identity, InputNeeded, Node
from buildkit_py.solver.plan import Plan, Work
from buildkit_py.store.faults import DISK_FAULTS

if TYPE_CHECKING:
    from buildkit_py.solver.session import Session

_LOOK_UP_SECONDS = 0.5
_PROCESSES = frozenset({"run", "host"})
"""Kinds of nodes that keep a process of their own busy, and this one waiting."""
Answer = Identity | None | BaseException
Spell = tuple[str, float, float]
"""One piece of work: `identify` or `produce`, its begin and its end in seconds of the build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A node that failed, and the nodes that were never started because of it."""

    node: Node
    error: PybuildError
    skipped: tuple[str, ...]


class Scheduler:
    """Brings every node of a plan to its end, or stops at the first failure but a test's (`keep_going` false).

    `failures` are the nodes that failed, `skipped` the ids of those that were never started because of them, `spells`
    the times at which each node was worked on, `asked` the nodes whose bytes one asked for in the middle of its work.
    """

    def __init__(self, session: Session, nodes: Sequence[Node]) -> None:
        self._session = session
        self._nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        self._plan = Plan(
            {node.id: node.inputs for node in nodes},
            {node.id: node.eager for node in nodes},
        )
        self._answers: SimpleQueue[tuple[Work, Answer, float]] = SimpleQueue()
        self._producing: set[str] = set()
        self._cancelled: set[str] = set()
        self._spared: set[str] = set()
        self._ahead: threading.Thread | None = None
        self._over = threading.Event()
        self.failures: list[Failure] = []
        self.skipped: list[str] = []
        self.spells: dict[str, list[Spell]] = {}
        self.asked: dict[str, set[str]] = {}

    def run(self) -> None:
        """Work until nothing is left. An interrupt stops every step and is raised again."""
        try:
            while self._start_work() or self._plan.running:
                if self._plan.running:
                    self._settle(*self._next())
        except BaseException:
            self._cancel_all()
            self._drain()
            raise
        finally:
            self._over.set()
            if self._ahead is not None:
                self._ahead.join()
        if self.failures:
            self._skip(self._plan.unfinished(), self.failures[0].node.id)

    def _next(self) -> tuple[Work, Answer, float]:
        """The next answer. A signal may come on another thread; it is heard when this one next looks up."""
        while True:
            with suppress(Empty):
                return self._answers.get(timeout=_LOOK_UP_SECONDS)

    def _start_work(self) -> bool:
        """Start what can be started; True if something was settled on this thread."""
        settled = False
        while self._plan.running < self._session.options.jobs:
            work = self._plan.find_work()
            if work is None:
                break
            node = self._nodes[work.node]
            if work.kind == "identify" and not node.slow:
                began = self._session.now()
                self._settle(work, _answer(node.identify), began)
                settled = True
            else:
                settled |= self._start(work, node)
        return settled

    def _start(self, work: Work, node: Node) -> bool:
        """Start work on a thread of its own; True if it failed before."""
        began = self._session.now()
        if work.kind == "produce" and (fault := _answer(node.prepare)) is not None:
            self._settle(work, fault, began)
            return True
        self._start_thread(work, node, began)
        return False

    def _start_thread(self, work: Work, node: Node, began: float) -> None:
        if work.kind == "produce":
            self._producing.add(node.id)
            if node.kind in _PROCESSES and self._ahead is None:
                self._ahead = threading.Thread(target=self._look_ahead, name="look ahead", daemon=True)
                self._ahead.start()
        do: Callable[[], Identity] = node.identify if work.kind == "identify" else node.produce
        threading.Thread(
            target=lambda: self._answers.put((work, _answer(do), began)), name=f"{work.kind} {node.title}", daemon=True
        ).start()

    def _look_ahead(self) -> None:
        """While a process runs, read the files that later steps will ask for."""
        for node in self._nodes.values():
            if node.slow and not self._over.is_set():
                node.look_ahead(self._over)

    def _settle(self, work: Work, answer: Answer, began: float) -> None:
        self.spells.setdefault(work.node, []).append((work.kind, began, self._session.now()))
        self._producing.discard(work.node)
        if isinstance(answer, InputNeeded):
            self.asked.setdefault(work.node, set()).update(answer.nodes)
            self._plan.needs(work.node, answer.nodes)
        elif isinstance(answer, PybuildError):
            self._fail(work.node, answer)
        elif isinstance(answer, BaseException):
            self._plan.failed(work.node)
            raise answer
        elif work.kind == "produce":
            assert answer is not None
            self._plan.finished(work.node, available=answer.available, changed=answer.changed)
            self._session.end(self._nodes[work.node], "done")
        elif answer is not None:
            self._identified(work.node, answer)

    def _identified(self, name: str, identity: Identity) -> None:
        if not identity.known:
            self._plan.missed(name)
            return
        if identity.spared and name not in self._spared:
            self._spared.add(name)
            self._session.spared(self._nodes[name], "key")
        self._plan.hit(name, available=identity.available, apart=identity.apart)

    def _fail(self, name: str, error: PybuildError) -> None:
        node = self._nodes[name]
        skipped = self._plan.failed(name)
        if isinstance(error, Cancelled) and name in self._cancelled:
            self._session.end(node, "cancelled")
        else:
            self._session.end(node, "failed", error.message)
            self.failures.append(Failure(node=node, error=error, skipped=tuple(skipped)))
        self._skip(skipped, name)
        # Tests never stop each other: all that fail are shown at once.
        if not self._session.options.keep_going and not isinstance(error, TestError):
            self._plan.stop()
            self._cancel_all()

    def _skip(self, names: Sequence[str], because: str) -> None:
        self.skipped.extend(names)
        for name in names:
            title = self._nodes[name].title
            self._session.emit(Skipped(at=self._session.now(), id=name, title=title, because=because))

    def _cancel_all(self) -> None:
        self._session.stopping.set()
        self._cancelled.update(self._producing)
        for name in self._producing:
            self._nodes[name].cancel()

    def _drain(self) -> None:
        """Wait for the work that was cancelled, so that nothing of a step outlives the build."""
        # Nobody waits for a look at files: its thread is a daemon, and leaves nothing behind.
        while self._producing:
            work, _, began = self._next()
            self.spells.setdefault(work.node, []).append((work.kind, began, self._session.now()))
            self._producing.discard(work.node)
            self._plan.failed(work.node)
            self._session.end(self._nodes[work.node], "cancelled")


def _answer(do: Callable[[], Identity | None]) -> Answer:
    try:
        return do()
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            return error
        return StoreError(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except BaseException as error:
        return error
