"""A whole tree as the diff that makes it out of nothing."""

from __future__ import annotations

from buildkit_py.dataclass import replace
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.links import share
from buildkit_py.layer.tree import Tree, walk


def flat(tree: Tree) -> Diff:
    """Every entry of a tree. Of names that share a file, those that are still the same file go on sharing it.

    The first of them may be gone by now, or be another file: then the first that is left takes its place.
    """
    found = sorted(walk(tree), key=lambda entry: entry.path)
    targets = {entry.target for entry in found if entry.type == "hardlink"}
    return Diff(tuple(share([(_whole(entry), link_key(entry, targets)) for entry in found])))


def link_key(entry: Entry, targets: set[str | None]) -> tuple[object, ...] | None:
    """What names of one file have in common; None for what shares no file. `targets` are those of all links of the
    tree."""
    if entry.type == "hardlink":
        first = entry.target
    elif entry.type == "file" and entry.path in targets:
        first = entry.path
    else:
        return None
    return (first, entry.digest, entry.mode, entry.uid, entry.gid, entry.xattrs)


def _whole(entry: Entry) -> Entry:
    return replace(entry, type="file", target=None) if entry.type == "hardlink" else entry
