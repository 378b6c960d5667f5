"""Which step of one build is which of an earlier one, from their records: a pure function of both.

A step is found again by what it is, else by what it is called in its file, else by where it stands: on the same step,
or on the same line. So an edited step is compared with what it was, and one that is put in between is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
Record = Mapping[str, Any]


class Pairing:
    """The pairs of a new and an old record: `surely` by what steps are or are called, `perhaps` by where they stand."""

    def __init__(self, new: Record, old: Record) -> None:
        self._new, self._old = _vertices(new), _vertices(old)
        self._places = {id(record): list(record["nodes"]) for record in (new, old)}
        self._records = (new, old)
        self.surely: dict[str, str] = {}
        self.perhaps: dict[str, str] = {}
        self._free = dict.fromkeys(self._old)
        self._pair()

    def old(self, name: str) -> str | None:
        """The old id of a new one."""
        return self.surely.get(name) or self.perhaps.get(name)

    def _pair(self) -> None:
        for name in self._new:
            if name in self._old:
                self._take(self.surely, name, name)
        called = self._free_by(_called)
        standing = self._free_by(lambda node: (node["kind"], self._base(1, node)))
        for name, node in self._left():
            self._choose(self.surely, name, [each for each in called.get(_called(node), ()) if each in self._free])
        for name, node in self._left():
            self._choose(self.perhaps, name, self._standing(node, standing))

    def _standing(self, node: Node, standing: Mapping[object, list[str]]) -> list[str]:
        """The old steps of one kind that stand where a new one does."""
        base = self._base(0, node)
        below = self.old(base) if base is not None else None
        if base is not None and below is None:
            return []
        alike = [each for each in standing.get((node["kind"], below), ()) if each in self._free]
        if base is not None:
            return alike
        return [each for each in alike if _place(self._old[each]) == _place(node) or len(alike) == 1]

    def _choose(self, into: dict[str, str], name: str, found: list[str]) -> None:
        """Take the one of several that stands on the same step, or on the same line, else the first."""
        if not found:
            return
        node = self._new[name]
        base = self._base(0, node)
        below = self.old(base) if base is not None else None

        def distance(each: str) -> tuple[bool, bool]:
            other = self._old[each]
            return (self._base(1, other) != below, _place(other) != _place(node))

        self._take(into, name, min(found, key=distance))

    def _take(self, into: dict[str, str], name: str, old: str) -> None:
        into[name] = old
        del self._free[old]

    def _left(self) -> Iterator[tuple[str, Node]]:
        return ((name, node) for name, node in self._new.items() if self.old(name) is None)

    def _free_by(self, called: Callable[[Node], object]) -> dict[object, list[str]]:
        found: dict[object, list[str]] = {}
        for name in self._free:
            found.setdefault(called(self._old[name]), []).append(name)
        return found

    def _base(self, which: int, node: Node) -> str | None:
        place = node.get("inputs", {}).get("base")
        names = self._places[id(self._records[which])]
        return names[place] if place is not None else None


def _vertices(record: Record) -> dict[str, Node]:
    """The nodes that are steps or sources."""
    return {name: node for name, node in record["nodes"].items() if is_vertex(name) and "inputs" in node}


def is_vertex(name: str) -> bool:
    """Whether the id of a node is that of a step or source; layers, checks and outputs have other ids."""
    return name.startswith("sha256:")


def _called(node: Node) -> object:
    return (node["kind"], node["title"], _place(node)[0])


def _place(node: Node) -> tuple[str, str]:
    """The file and the line; what leads to the file depends on where the command was run."""
    file, _, line = node.get("at", "").rpartition(":")
    return file.rpartition("/")[2], line
