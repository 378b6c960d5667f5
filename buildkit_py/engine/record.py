"""The record that each build leaves in the store: enough to explain misses and to draw a timeline later.

A recorder is one more consumer of the stream of events.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from buildkit_py import events
from buildkit_py.dataclass import dataclass, field

if TYPE_CHECKING:
    from buildkit_py.events import Emit, Event
    from buildkit_py.solver.nodes import Node
    from buildkit_py.store import Store


@dataclass(slots=True)
class Recorder:
    """Passes events on and keeps times and outcomes by node. Thread-safe, as each event touches one node."""

    emit: Emit
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    """The record, once it is in the store."""

    def __call__(self, event: Event) -> None:
        """Note an event and pass it on."""
        match event:
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
            case events.ImageDone():
                self.images.append({"name": event.image, "platform": event.platform, "digest": event.digest})
            case events.OutputDone():
                self.outputs.append({"kind": event.kind, "value": event.value, "skipped": event.skipped})
            case _:
                pass
        self.emit(event)

    def slowest(self, count: int = 3) -> tuple[tuple[str, float], ...]:
        """The nodes that took the longest: title and seconds."""
        times = [
            (node["title"], node["finished"] - node["started"])
            for node in self.nodes.values()
            if "started" in node and "finished" in node
        ]
        return tuple(sorted(times, key=lambda item: -item[1])[:count])

    def save(self, store: Store, *, build: str, graph: str, outcome: str, nodes: list[Node]) -> None:
        """Leave the record in the store."""
        for node in nodes:
            key = getattr(node, "key", None)
            if key is not None:
                self._of(node.id)["key"] = key.digest
        self.kept = {
            "id": build,
            "graph": graph,
            "outcome": outcome,
            "ended": time.time(),
            "nodes": self.nodes,
            "images": self.images,
            "outputs": self.outputs,
        }
        # What a build that did nothing leaves may be lost with the power.
        with store.index.transaction(durable=any("started" in node for node in self.nodes.values())):
            store.builds.add(self.kept)

    def _of(self, node: str) -> dict[str, Any]:
        return self.nodes.setdefault(node, {})
