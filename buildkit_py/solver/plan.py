"""What is to be done next, as a pure state machine: no disk, no clock, no threads.

    waiting ──inputs identified──▶ identify ──hit──▶ known
                                      │                │ its bytes are wanted and not there
                                      └──miss──▶ missing ──bytes of its inputs are there──▶ produce ──▶ known
                                                   ▲                                                      │
                                                   └───────── its bytes are wanted and not there ─────────┘

*Identity first, bytes on demand*: a node whose result is known is never produced unless another node that must run
needs its bytes. A node that turns out to need bytes of an input says so (`needs`) and is asked again once they are
there. The bytes of a node are those that it adds itself: who needs a whole tree names all that it lies upon.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Literal

from buildkit_py.dataclass import dataclass, field


class State(Enum):
    """Where a node stands."""

    WAITING = "waiting"
    IDENTIFYING = "identifying"
    MISSING = "missing"
    PRODUCING = "producing"
    KNOWN = "known"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to do: `identify` a node (is its result known?) or `produce` it."""

    kind: Literal["identify", "produce"]
    node: str


@dataclass(slots=True)
class _Node:
    inputs: tuple[str, ...]
    eager: tuple[str, ...]
    needed: tuple[str, ...]
    dependents: list[str] = field(default_factory=list)
    waiters: list[str] = field(default_factory=list)
    state: State = State.WAITING
    available: bool = False
    wanted: bool = False
    outdated: bool = False
    identified: bool = False
    unidentified: int = 0
    lacking: set[str] = field(default_factory=set)
    because: str | None = None


class Plan:
    """The plan of one build.

    `inputs` maps each node to the nodes it is made from, inputs before dependents. `eager` maps a node to those below
    it (inputs, or what these lie upon) whose bytes it always needs when it is produced; it may ask for others by
    `needs`.
    """

    def __init__(self, inputs: Mapping[str, Iterable[str]], eager: Mapping[str, Iterable[str]]) -> None:
        self._nodes: dict[str, _Node] = {}
        self._ready: deque[str] = deque()
        self._running = 0
        self._stopped = False
        for name, needed in inputs.items():
            bytes_of = tuple(dict.fromkeys(eager.get(name, ())))
            node = _Node(inputs=tuple(dict.fromkeys(needed)), eager=bytes_of, needed=bytes_of)
            node.unidentified = len(node.inputs)
            self._nodes[name] = node
            for each in node.inputs:
                self._nodes[each].dependents.append(name)
            if not node.inputs:
                self._ready.append(name)

    def find_work(self) -> Work | None:
        """The next thing to do, or None where nothing can be started now."""
        while self._ready and not self._stopped:
            name = self._ready.popleft()
            node = self._nodes[name]
            if node.lacking:
                continue
            if node.state is State.WAITING and not node.unidentified:
                node.state = State.IDENTIFYING
                self._running += 1
                return Work("identify", name)
            if node.state is State.MISSING:
                node.state = State.PRODUCING
                self._running += 1
                return Work("produce", name)
        return None

    @property
    def running(self) -> int:
        """How many pieces of work were given out and not answered."""
        return self._running

    def state(self, name: str) -> State:
        """Where a node stands."""
        return self._nodes[name].state

    def because(self, name: str) -> str | None:
        """The node whose failure made this one skipped."""
        return self._nodes[name].because

    def hit(self, name: str, *, available: bool, apart: bool = False) -> None:
        """The node's result is known; `available` says whether its bytes are there too.

        `apart`: they may come from elsewhere, so nothing is made for them; where they don't, the node `needs` it.
        """
        self._running -= 1
        node = self._nodes[name]
        node.available = available = available and not node.outdated
        if apart and not node.outdated:
            node.eager = ()
        node.outdated = False
        self._become_known(name)
        if node.wanted and not available:
            self._become_missing(name)

    def missed(self, name: str) -> None:
        """The node's result is not known: it must be produced."""
        self._running -= 1
        self._become_missing(name)

    def needs(self, name: str, inputs: Iterable[str]) -> None:
        """The work on a node can't go on before the bytes of these inputs are there."""
        self._running -= 1
        node = self._nodes[name]
        node.state = State.WAITING if node.state is State.IDENTIFYING else State.MISSING
        self._want(name, inputs)

    def finished(self, name: str, *, available: bool = True, changed: bool = False) -> None:
        """The node was produced: its result is known, and its bytes are there or can be had when they are wanted.

        `changed`: it is another result than was known before, so what was made of that has not these bytes below it.
        """
        self._running -= 1
        node = self._nodes[name]
        node.available = available = available and not node.outdated
        node.outdated = False
        self._become_known(name)
        if changed:
            self._outdate(name)
        if not available:
            if node.wanted:
                self._become_missing(name)
            return
        waiters, node.waiters = node.waiters, []
        for each in waiters:
            waiter = self._nodes[each]
            waiter.lacking.discard(name)
            if not waiter.lacking:
                self._ready.append(each)

    def failed(self, name: str) -> list[str]:
        """The work on a node failed. Returns the nodes that can't be done any more because of it."""
        self._running -= 1
        self._nodes[name].state = State.FAILED
        skipped: list[str] = []
        waiting = [name]
        while waiting:
            broken = self._nodes[waiting.pop()]
            for each in (*broken.dependents, *broken.waiters):
                node = self._nodes[each]
                if node.state in (State.WAITING, State.MISSING):
                    node.state = State.SKIPPED
                    node.because = name
                    skipped.append(each)
                    waiting.append(each)
        return skipped

    def stop(self) -> None:
        """Give out no more work."""
        self._stopped = True

    def unfinished(self) -> list[str]:
        """The nodes that were neither known nor failed nor skipped."""
        over = (State.KNOWN, State.FAILED, State.SKIPPED)
        return [name for name, node in self._nodes.items() if node.state not in over]

    def _become_known(self, name: str) -> None:
        node = self._nodes[name]
        node.state = State.KNOWN
        if node.identified:
            return
        node.identified = True
        for each in node.dependents:
            dependent = self._nodes[each]
            dependent.unidentified -= 1
            if not dependent.unidentified:
                self._ready.append(each)

    def _outdate(self, name: str) -> None:
        """Have made again what lies upon a result that changed, as far as its bytes are wanted."""
        pending, seen = [name], {name}
        while pending:
            for each in self._nodes[pending.pop()].dependents:
                if each in seen:
                    continue
                seen.add(each)
                pending.append(each)
                node = self._nodes[each]
                node.eager = node.needed
                node.outdated = node.state in (State.IDENTIFYING, State.PRODUCING)
                node.available = node.available and node.state is not State.KNOWN
        for each, node in self._nodes.items():
            # Who waits may have been told already that something is there which is not any more.
            if node.state is State.MISSING:
                self._want(each, node.eager)

    def _become_missing(self, name: str) -> None:
        self._nodes[name].state = State.MISSING
        self._want(name, self._nodes[name].eager)

    def _want(self, name: str, inputs: Iterable[str]) -> None:
        """Have `name` wait for the bytes of `inputs`, and make missing every known node below that lacks them."""
        pending = [(name, tuple(inputs))]
        while pending:
            name, inputs = pending.pop()
            node = self._nodes[name]
            for each in inputs:
                wanted = self._nodes[each]
                if wanted.available:
                    continue
                if each not in node.lacking:
                    node.lacking.add(each)
                    wanted.waiters.append(name)
                wanted.wanted = True
                if wanted.state is State.KNOWN:
                    wanted.state = State.MISSING
                    pending.append((each, wanted.eager))
            if not node.lacking:
                self._ready.append(name)
