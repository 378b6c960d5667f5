"""The record that each build leaves in the store: enough to explain misses and to draw a timeline.

A recorder is one more consumer of the stream of events.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from buildkit_py import events
from buildkit_py.dataclass import dataclass, field
from buildkit_py.engine.phases import PUSH, parts, phases_of, worth_telling

if TYPE_CHECKING:
    from buildkit_py.engine.phases import Phase
    from buildkit_py.events import Emit, Event
    from buildkit_py.solver.nodes import Node
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """What a solve leaves beside its events: the nodes, when each was worked on, what parts of that took, and the nodes
    that one asked for in the middle of its work."""

    nodes: Sequence[Node]
    spells: Mapping[str, Sequence[Phase]]
    times: Mapping[str, Mapping[str, float]]
    asked: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def end(self) -> float:
        """When the last piece of work ended, in seconds of the build."""
        return max((end for spells in self.spells.values() for _, _, end in spells), default=0.0)


@dataclass(slots=True)
class Recorder:
    """Passes events on and keeps times and outcomes by node.

    Thread-safe; events are passed on one at a time, so that steps get the same numbers here as in every view.
    """

    emit: Emit
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    """The record, once it is in the store."""
    _moved: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, event: Event) -> None:
        """Note an event and pass it on."""
        with self._lock:
            self._note(event)
            self.emit(event)

    def _note(self, event: Event) -> None:
        match event:
            case events.BuildStarted():
                self.marks["began"] = round(event.at, 4)
            case events.Started():
                self._of(event.id).update(title=event.title, kind=event.kind, started=round(event.at, 6))
            case events.Cached():
                self._of(event.id).update(title=event.title, kind=event.kind, cached=event.how)
            case events.Finished():
                self._of(event.id).update(finished=round(event.at, 6), outcome=event.outcome)
            case events.Skipped():
                self._of(event.id).update(title=event.title, skipped=event.because)
            case events.Progress():
                self._of(event.id).update(bytes=event.done)
                self._moved[event.id] = event.at
            case events.ImageDone():
                image = {"name": event.image, "platform": event.platform, "digest": event.digest}
                self.images.append({**image, "names": list(event.names)})
            case events.OutputDone():
                self.outputs.append({"kind": event.kind, "value": event.value, "skipped": event.skipped})
            case events.BuildDone():
                self.marks["ended"] = round(event.at, 4)
            case _:
                pass

    def slowest(self, count: int = 3) -> tuple[tuple[str, float], ...]:
        """The nodes that took the longest: title and seconds."""
        times = [
            (node["title"], node["finished"] - node["started"])
            for node in self.nodes.values()
            if "started" in node and "finished" in node
        ]
        return tuple(sorted(times, key=lambda item: -item[1])[:count])

    def save(self, store: Store, solved: Solved, *, build: str, graph: str, outcome: str, **said: str) -> None:
        """Leave the record in the store; `said` are further texts that say what was built."""
        self.kept = {
            "id": build,
            "graph": graph,
            "outcome": outcome,
            "ended": time.time(),
            **said,
            "marks": {**self.marks, "solved": round(solved.end, 4)},
            "nodes": self._told(solved),
            "images": self.images,
            "outputs": self.outputs,
        }
        # What a build that did nothing leaves may be lost with the power.
        with store.index.transaction(durable=any("started" in node for node in self.nodes.values())):
            store.builds.add(self.kept)

    def _told(self, solved: Solved) -> dict[str, dict[str, Any]]:
        """Every node in the order of the graph, and then the outputs."""
        places = {node.id: place for place, node in enumerate(solved.nodes)}
        told: dict[str, dict[str, Any]] = {}
        for node in solved.nodes:
            spells = solved.spells.get(node.id, ())
            mine = told[node.id] = {"title": node.title, "kind": node.kind, **self.nodes.get(node.id, {})}
            mine.update(_facts(node, places))
            if node.id in solved.asked:
                mine["asked"] = sorted(places[each] for each in solved.asked[node.id])
            if "started" in mine:
                mine.update(_reasons(node, made=mine.get("outcome") == "done"))
            if spells:
                mine["known"] = round(spells[-1][2], 4)
                mine |= self._timed(node, solved)
        told.update((name, self._output(name, node)) for name, node in self.nodes.items() if name not in told)
        return told

    def _timed(self, node: Node, solved: Solved) -> dict[str, list[Phase]]:
        """The phases of a node that was worked on, where they are worth telling."""
        spells, times = solved.spells[node.id], solved.times.get(node.id, {})
        if node.id in self._moved:
            # A transfer is known by the last that was heard of it.
            times = {"transfer": self._moved[node.id] - spells[-1][1], **times}
        before = (end for each in node.inputs for _, _, end in solved.spells.get(each, ()) if end <= spells[0][1])
        ready = max(before, default=spells[0][1])
        known = not node.inputs or getattr(node, "cause", "") == "bytes"
        phases = phases_of(node.kind, spells, times, ready=ready, reads=_reads(node), known=known)
        return {"phases": phases} if phases else {}

    def _output(self, name: str, node: dict[str, Any]) -> dict[str, Any]:
        began, ended = node.get("started", 0.0), node.get("finished", 0.0)
        times = {"transfer": self._moved[name] - began} if name in self._moved else {}
        rest = "transfer" if node.get("title", "").startswith(PUSH) else "write"
        return {**node, "known": round(ended, 4), "phases": worth_telling(parts(times, rest, began, ended))}

    def _of(self, node: str) -> dict[str, Any]:
        found = self.nodes.get(node)
        if found is None:
            found = self.nodes[node] = {"number": len(self.nodes) + 1}
        return found


def _reads(node: Node) -> bool:
    """Whether files of the machine are hashed to identify a node."""
    return bool(getattr(node, "reads", False))


def _reasons(node: Node, *, made: bool) -> dict[str, Any]:
    """Why a step ran; of one that made nothing, what its key is made of: no result tells it."""
    key = getattr(node, "key", None)
    if key is None:
        return {}
    return {"cause": getattr(node, "cause", "key")} | ({} if made else {"parts": dict(key.parts)})


def _facts(node: Node, places: Mapping[str, int]) -> dict[str, Any]:
    """What a node itself says: where it was written, what it is made from, what it is known by."""
    vertex = getattr(node, "vertex", None)
    roles = vertex.inputs.items() if vertex is not None else enumerate(node.inputs)
    facts: dict[str, Any] = {"inputs": {str(role): places[each] for role, each in roles}}
    if node.span is not None:
        facts["at"] = f"{node.span.file}:{node.span.line}"
    key = getattr(node, "key", None)
    if key is not None:
        facts["key"] = key.digest
    elif vertex is not None and (pin := getattr(vertex.op, "digest", None) or getattr(vertex.op, "commit", None)):
        facts["pin"] = pin
    return facts
