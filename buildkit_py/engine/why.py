"""Why a step ran: its key now against its key in the newest earlier build that had the same step.

record ──pairing──▶ earlier record      parts of both keys ──▶ changes ──▶ the steps that these come from ──▶ roots
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.engine.pairing import Node, Pairing, Record, is_vertex
from buildkit_py.errors import NotFoundError

if TYPE_CHECKING:
    from buildkit_py.store import Store

Verdict = Literal[
    "changed", "first", "new", "forgotten", "failed", "no-cache", "refresh", "always", "bytes", "cached", "skipped",
    "unknown", "layer", "check", "output",
]  # fmt: skip
"""What is to be said of a step. `forgotten`: nothing changed, its result was removed; `failed`: nothing changed, it did
not succeed before; `unknown`: what it was before is not kept."""

_EARLIER = 20
_OWN = {"layer-": "layer", "check-": "check", "output-": "output"}
_PLACE = re.compile(r"(.+):(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The paths that differ between two selections."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One named part of a key, before and now; None where it was not there. `step` is the id of the input that it tells
    of, `files` what differs in a selection, where both lists of files are kept."""

    part: str
    old: Any
    new: Any
    step: str | None = None
    files: Files | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why one node ran; `build` is the earlier build it was compared with, `title_before` what it was called there."""

    id: str
    node: Node
    verdict: Verdict
    build: str | None = None
    title_before: str | None = None
    changes: tuple[Change, ...] = ()


class Why:
    """Explains the steps of one build."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store = store
        self.record = record
        self._names = list(record["nodes"])
        self._known: dict[tuple[str, str | None], Reason] = {}
        said = {name: record[name] for name in ("context", "file") if name in record}
        self._before = store.builds.before(record["id"], limit=_EARLIER, **said)
        self._pairings: list[tuple[Record, Pairing]] = []

    def ran(self) -> list[str]:
        """The ids of the steps and sources that were worked on, in the order in which they began."""
        nodes = self.record["nodes"]
        found = [name for name in self._names if is_vertex(name) and "started" in nodes[name]]
        return sorted(found, key=lambda name: nodes[name]["number"])

    def find(self, text: str) -> list[str]:
        """The nodes that a person means by a number, a line as `Dockerfile:12`, or a part of a title."""
        found = list(self._numbered(text) or self._placed(text) or self._called(text))
        if not found:
            raise NotFoundError(
                f"no step {text!r} in the build {self.record['id']}",
                hint="write its number, a part of its title, or its line as Dockerfile:12: `pybuild timings` has them",
            )
        return found

    def reason(self, name: str, build: str | None = None) -> Reason:
        """Why that node ran, or that it did not; compared with an earlier `build`, if that had it."""
        if (name, build) not in self._known:
            self._known[name, build] = self._reason(name, build)
        return self._known[name, build]

    def roots(self, reason: Reason) -> list[Reason]:
        """The steps below whose own changes, or whose other outcome, made an input of this one another."""
        found: list[Reason] = []
        seen = {reason.id}
        waiting = [change.step for change in reason.changes]
        while waiting:
            step = waiting.pop(0)
            if step is None or step in seen or not self._is_cause(step):
                continue
            seen.add(step)
            below = self.reason(step, reason.build)
            steps = [change.step for change in below.changes if change.step and self._is_cause(change.step)]
            if len(steps) < len(below.changes) or not steps:
                found.append(below)
            waiting.extend(steps)
        return found

    def _is_cause(self, step: str) -> bool:
        """A directory of the client is no cause: the files in it are."""
        return bool(self.record["nodes"][step]["kind"] != "local")

    def _numbered(self, text: str) -> list[str]:
        number = text.removeprefix("#")
        nodes = self.record["nodes"]
        return [name for name in self._names if number.isdecimal() and nodes[name].get("number") == int(number)]

    def _placed(self, text: str) -> list[str]:
        """The steps of the last line up to the given one that has any."""
        match = _PLACE.fullmatch(text)
        if match is None:
            return []
        lines: dict[int, list[str]] = {}
        for name in self._names:
            file, _, line = self.record["nodes"][name].get("at", "").rpartition(":")
            if is_vertex(name) and (file == match[1] or file.endswith(f"/{match[1]}")):
                lines.setdefault(int(line), []).append(name)
        return lines.get(max((line for line in lines if line <= int(match[2])), default=0), [])

    def _called(self, text: str) -> list[str]:
        nodes = self.record["nodes"]
        found = [name for name in self._names if text.lower() in nodes[name].get("title", "").lower()]
        return [name for name in found if is_vertex(name)] or found

    def _reason(self, name: str, build: str | None) -> Reason:
        node: Node = self.record["nodes"][name]
        for beginning, verdict in _OWN.items():
            if name.startswith(beginning):
                return Reason(id=name, node=node, verdict=verdict)  # type: ignore[arg-type]
        if "skipped" in node or ("key" not in node and "pin" not in node and "started" not in node):
            return Reason(id=name, node=node, verdict="skipped" if "skipped" in node else "cached")
        earlier = self._earlier(name, build)
        if earlier is None:
            found = self._alone(node)
            return Reason(id=name, node=node, verdict=found)
        record, old = earlier
        changes = self._changes(node, old)
        return Reason(
            id=name,
            node=node,
            verdict="unknown" if changes is None else self._verdict(node, old, bool(changes)),
            build=record["id"],
            title_before=old["title"] if old["title"] != node["title"] else None,
            changes=tuple(changes or ()),
        )

    def _alone(self, node: Node) -> Verdict:
        """What is to be said of a step that no earlier build had."""
        if "started" not in node:
            return "cached"
        if "key" not in node:
            return "bytes"
        return _forced(node) or ("new" if self._pairings else "first")

    def _verdict(self, node: Node, old: Node, changed: bool) -> Verdict:
        if "started" not in node:
            return "cached"
        if "key" not in node or node.get("cause") == "bytes":
            return "bytes"
        if changed or _forced(node):
            return _forced(node) or "changed"
        ended_well = "skipped" not in old and old.get("outcome") not in ("failed", "cancelled")
        return "forgotten" if ended_well else "failed"

    def _earlier(self, name: str, build: str | None) -> tuple[Record, Node] | None:
        """The step in the record of `build`, else in the newest earlier one that surely has it, else in the newest that
        perhaps has it."""
        for record, pairing in self._pairings:
            if record["id"] == build and (node := _compared(record, pairing.old(name))):
                return record, node
        for surely in (True, False):
            for record, pairing in self._paired():
                if node := _compared(record, (pairing.surely if surely else pairing.perhaps).get(name)):
                    return record, node
        return None

    def _paired(self) -> Iterator[tuple[Record, Pairing]]:
        """The earlier records; each is read and paired once, when somebody comes so far."""
        yield from self._pairings
        for record in self._before:
            found = (record, Pairing(self.record, record))
            self._pairings.append(found)
            yield found

    def _changes(self, node: Node, old: Node) -> list[Change] | None:
        """What differs, None where it is not kept."""
        if "key" not in node:
            return list(_differing({"pin": old.get("pin")}, {"pin": node.get("pin")}))
        if node["key"] == old.get("key"):
            return []
        before, now = self._parts(old), self._parts(node)
        if before is None or now is None:
            return None
        return [self._told(node, now, before, change) for change in _differing(before, now)]

    def _parts(self, node: Node) -> Mapping[str, Any] | None:
        parts: Mapping[str, Any] | None = node.get("parts")
        if parts is None and (result := self._store.results.get(node.get("key", ""))) is not None:
            parts = result["parts"]
        return parts

    def _told(self, node: Node, now: Mapping[str, Any], before: Mapping[str, Any], change: Change) -> Change:
        """A change of an input or a selection, with the step that it comes from and the files."""
        kind, _, name = change.part.partition(".")
        if kind not in ("input", "select"):
            return change
        mount = now.get(f"mount.{name}") or before.get(f"mount.{name}") or {}
        place = node.get("inputs", {}).get(mount.get("input", name) if kind == "select" else name)
        step = self._names[place] if place is not None else None
        files = self._files(change.old, change.new) if kind == "select" else None
        return Change(part=change.part, old=change.old, new=change.new, step=step, files=files)

    def _files(self, old: str | None, new: str | None) -> Files | None:
        before = self._store.listings.get(old) if old else None
        now = self._store.listings.get(new) if new else None
        return differing_files(before, now) if before is not None and now is not None else None


def _compared(record: Record, name: str | None) -> Node | None:
    """The node of that id, if there is something in it to compare with."""
    node: Node = record["nodes"][name] if name is not None else {}
    return node if "key" in node or "pin" in node else None


def differing_files(before: Mapping[str, str], now: Mapping[str, str]) -> Files:
    """What differs between two lists of files."""
    changed = [path for path in now if path in before and now[path] != before[path]]
    added, removed = now.keys() - before.keys(), before.keys() - now.keys()
    return Files(changed=tuple(sorted(changed)), added=tuple(sorted(added)), removed=tuple(sorted(removed)))


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for part in dict.fromkeys([*now, *before]):
        if now.get(part) != before.get(part):
            yield Change(part=part, old=before.get(part), new=now.get(part))


def _forced(node: Node) -> Verdict | None:
    cause = node.get("cause")
    return cause if cause in ("no-cache", "refresh", "always") else None
