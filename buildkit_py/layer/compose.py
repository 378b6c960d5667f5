"""Composing: the diffs of several steps become the diff of one layer."""

from __future__ import annotations

from collections.abc import Sequence

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.layer.changes import Changes
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import EmptyTree, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One diff made of several. `origin` says for each `file` which of them holds its bytes, and under which path."""

    diff: Diff
    origin: dict[str, tuple[int, str]]


def compose(diffs: Sequence[Diff], lower: Tree) -> Composed:
    """What all diffs (lowest first) together change of `lower`; no whiteout is left for a name that `lower` lacks."""
    changes: Changes[tuple[int, str]] = Changes(lower)
    for number, diff in enumerate(diffs):
        for entry in diff.entries:
            if entry.type == "whiteout":
                changes.remove(entry.path)
            elif entry.type in ("file", "hardlink"):
                first = entry.target if entry.type == "hardlink" else entry.path
                whole = replace(entry, type="file", target=None) if entry.type == "hardlink" else entry
                changes.put(whole, (number, entry.path), link=(number, first))
            else:
                changes.put(entry)
    composed, origin = changes.finish(keep_equal=True)
    return Composed(diff=composed, origin=origin)


def needs_lower(diffs: Sequence[Diff]) -> bool:
    """Whether what the diffs compose to depends on the tree below: something is removed, or made into a directory."""
    others: set[str] = set()
    for diff in diffs:
        for entry in diff.entries:
            if entry.type == "whiteout" or (entry.type == "dir" and entry.path in others):
                return True
            if entry.type != "dir":
                others.add(entry.path)
    return False


def carried(diffs: Sequence[Diff]) -> list[bool]:
    """Of each diff (lowest first), whether the layer that they compose to holds the bytes of all of its files."""
    if len(diffs) == 1:
        return [True]
    whole = {entry.path: entry for entry in compose(diffs, EmptyTree()).diff.entries if entry.type == "file"}

    def holds(entry: Entry) -> bool:
        found = whole.get(entry.path)
        return found is not None and found.digest == entry.digest

    return [all(holds(entry) for entry in diff.entries if entry.type == "file") for diff in diffs]
