"""Selecting: which entries of a tree the sources of a copy or a mount stand for, a directory under its own name.

Where every directory stands for what it holds, `contents` selects.
"""

from __future__ import annotations

from collections.abc import Sequence

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, clamp, join, near, printable, resolve, walk
from buildkit_py.patterns import Rules, compiled, is_glob


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One thing selected: `name` is what it is called, empty where only what it holds is meant; `path` is where it is.

    `entries` begins with the thing itself, unless it is excluded; their paths are those of the tree.
    """

    name: str
    path: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What some sources select. Paths of `entries` are relative: the root's name, then what is below it."""

    roots: tuple[Root, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, each under the name that it is selected by."""
        return tuple(replace(entry, path=_relative(root, entry.path)) for root in self.roots for entry in root.entries)


def _relative(root: Root, path: str) -> str:
    return join(root.name, path[len(root.path) :].lstrip("/")).rstrip("/")


def select(tree: Tree, sources: Sequence[str], *, exclude: Sequence[str] = (), optional: bool = False) -> Selection:
    """Find what sources stand for: a directory written with a final `/` for what it holds. A link that a source names
    is followed inside the tree, links further below are kept.

    `exclude` are ignore-file patterns, relative to each directory that is selected. Raises `SourceInputError` for a
    source that stands for nothing, but for a glob that is `optional`.
    """
    rules = Rules(exclude)
    return Selection(
        roots=tuple(
            _root(tree, path, source.endswith("/"), rules)
            for source in sources
            for path in _matches(tree, source, optional)
        )
    )


def check(tree: Tree, source: str, *, optional: bool = False) -> None:
    """Raise `SourceInputError` where a source stands for nothing; what is below it is not looked at."""
    _matches(tree, source, optional)


def _root(tree: Tree, path: str, inside: bool, rules: Rules) -> Root:
    real = resolve(tree, path)
    if tree.lookup(real) is None:
        real = resolve(tree, path, follow_last=False)
    entry = tree.lookup(real)
    is_directory = entry is not None and entry.type == "dir"
    name = path.rpartition("/")[2]
    if not is_directory and rules.excludes(name):
        return Root(name=name, path=real, entries=())
    return Root(name="" if inside and is_directory else name, path=real, entries=tuple(_entries(tree, real, rules)))


def _entries(tree: Tree, root: str, rules: Rules) -> list[Entry]:
    """What is below a root and not excluded, and the directories that lead there."""
    if not rules:
        return list(walk(tree, root))
    start = len(root) + 1 if root else 0

    def skip(path: str) -> bool:
        below = path[start:]
        return rules.excludes(below) and (rules.prunes(below) or not list(tree.children(path)))

    needed: set[str] = {root}
    kept: list[Entry] = []
    for entry in reversed(list(walk(tree, root, skip=skip))):
        if entry.path in needed or not rules.excludes(entry.path[start:]):
            needed.add(entry.path.rpartition("/")[0])
            kept.append(entry)
    return kept[::-1]


def _matches(tree: Tree, source: str, optional: bool) -> list[str]:
    path = clamp(source)
    if is_glob(path):
        found = glob(tree, path)
        if not found and not optional:
            raise SourceInputError(f"nothing matches {printable(source)}")
        return found
    entry = tree.lookup(resolve(tree, path))
    if entry is None:
        raise SourceInputError(f"{printable(source)} is not there", hint=near(tree, path))
    if source.endswith("/") and entry.type != "dir":
        raise SourceInputError(f"{printable(source)} is not a directory", hint="leave out the slash at its end")
    return [path]


def glob(tree: Tree, pattern: str) -> list[str]:
    """The sorted paths that a pattern matches. Its fixed beginning may lead through links, the rest does not.

    Only directories that can hold a match are listed, and no file is looked at.
    """
    parts = pattern.split("/")
    fixed: list[str] = []
    while parts and not is_glob(parts[0]):
        fixed.append(parts.pop(0))
    shown, start = "/".join(fixed), resolve(tree, "/".join(fixed))
    deepest = None if "**" in pattern else len(parts)
    rule = compiled("/".join(parts))
    found: list[str] = []
    pending = [("", 1)]
    while pending:
        here, depth = pending.pop()
        for name in tree.children(join(start, here).rstrip("/")):
            below = join(here, name)
            if rule.match(below):
                found.append(join(shown, below))
            if deepest is None or depth < deepest:
                pending.append((below, depth + 1))
    return sorted(found)
