"""Composing: the diffs of several steps become the diff of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One diff made of several. `origin` says for each `file` which of them holds its bytes, and under which path."""

    diff: Diff
    origin: dict[str, tuple[int, str]]


def compose(diffs: Sequence[Diff], lower: Tree) -> Composed:
    """What all diffs (lowest first) together change of `lower`; no whiteout is left for a name that `lower` lacks."""
    found: dict[str, tuple[Entry, int]] = {}
    for number, diff in enumerate(diffs):
        for entry in diff.entries:
            old = found.get(entry.path)
            if entry.type != "dir" or (old is not None and old[0].type != "dir"):
                _forget(found, entry.path)
            found[entry.path] = (entry, number)
            if entry.type == "dir" and old is not None and old[0].type != "dir":
                _hide(found, entry.path, lower, number)
    return _finish(found, lower)


def _forget(found: dict[str, tuple[Entry, int]], path: str) -> None:
    below = f"{path}/"
    for each in [each for each in found if each.startswith(below)]:
        del found[each]


def _hide(found: dict[str, tuple[Entry, int]], path: str, lower: Tree, number: int) -> None:
    """A directory that was removed and made again hides what the lower one holds: by name, until it is overwritten."""
    entry = lower.lookup(path)
    if entry is None or entry.type != "dir":
        return
    for name in lower.children(path):
        whole = f"{path}/{name}"
        found.setdefault(whole, (Entry(path=whole, type="whiteout"), number))


def _finish(found: dict[str, tuple[Entry, int]], lower: Tree) -> Composed:
    kept: list[Entry] = []
    origin: dict[str, tuple[int, str]] = {}
    firsts: dict[tuple[int, str], str] = {}
    for path in sorted(found):
        entry, number = found[path]
        if entry.type == "whiteout" and lower.lookup(path) is None:
            continue
        if entry.type in ("file", "hardlink"):
            name = entry.target if entry.type == "hardlink" and entry.target else path
            first = firsts.setdefault((number, name), path)
            if first == path:
                entry = replace(entry, type="file", target=None)
                origin[path] = (number, path)
            else:
                entry = replace(entry, type="hardlink", target=first)
        kept.append(entry)
    return Composed(diff=Diff.of(kept), origin=origin)
