"""Selecting: which entries of a tree the sources of a copy or a mount stand for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.patterns import compile_glob, is_glob
from buildkit_py.layer.tree import Tree, resolve, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One thing selected: `name` is what it is called, empty where only what it holds is meant; `path` is where it is."""

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
    rest = path[len(root.path) :].strip("/")
    return "/".join(part for part in (root.name, rest) if part)


def select(
    tree: Tree, sources: Sequence[str], *, exclude: Sequence[str] = (), contents: Literal["slash", "always"] = "slash"
) -> Selection:
    """Find what sources stand for; raises `SourceInputError` for one that stands for nothing."""
    rules = [compile_glob(each.strip("/")) for each in exclude]
    roots = []
    for source in sources:
        for path in _matches(tree, source):
            inside = contents == "always" or source.endswith("/")
            roots.append(_root(tree, path, inside, rules))
    return Selection(roots=tuple(roots))


def _root(tree: Tree, path: str, inside: bool, exclude: Sequence[re.Pattern[str]]) -> Root:
    real = resolve(tree, path)
    entry = tree.lookup(real)
    assert entry is not None
    only_contents = (inside and entry.type == "dir") or not path
    name = "" if only_contents else path.rpartition("/")[2]
    entries = tuple(each for each in walk(tree, real) if not _excluded(each.path, real, exclude))
    return Root(name=name, path=real, entries=entries)


def _excluded(path: str, root: str, rules: Sequence[re.Pattern[str]]) -> bool:
    below = path[len(root) :].strip("/")
    if not below or not rules:
        return False
    parts = below.split("/")
    names = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    whole = [f"{root}/{name}".strip("/") for name in names]
    return any(rule.match(name) for rule in rules for name in (*names, *whole))


def _matches(tree: Tree, source: str) -> list[str]:
    clean = "/".join(part for part in source.split("/") if part not in ("", "."))
    if is_glob(clean):
        found = sorted(glob(tree, clean))
        if not found:
            raise SourceInputError(f"nothing matches {source!r}")
        return found
    path = _clamp(clean)
    if tree.lookup(resolve(tree, path)) is None:
        raise SourceInputError(f"{source} is not there", hint=_suggest(tree, path))
    return [path]


def _clamp(path: str) -> str:
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del done[-1:]
        elif part:
            done.append(part)
    return "/".join(done)


def glob(tree: Tree, pattern: str) -> Iterator[str]:
    """The paths that match a pattern; only directories that its fixed beginning names are looked at."""
    fixed: list[str] = []
    parts = pattern.split("/")
    while parts and not is_glob(parts[0]):
        fixed.append(parts.pop(0))
    start = "/".join(fixed)
    deep = any("**" in part for part in parts)
    rule = compile_glob(pattern)
    pending = [(start, 0)]
    while pending:
        here, depth = pending.pop()
        for name in tree.children(resolve(tree, here)):
            path = f"{here}/{name}" if here else name
            if rule.match(path):
                yield path
            entry = tree.lookup(resolve(tree, path, follow_last=False))
            if entry is not None and entry.type == "dir" and (deep or depth + 1 < len(parts)):
                pending.append((path, depth + 1))


def _suggest(tree: Tree, path: str) -> str | None:
    parent, _, name = path.rpartition("/")
    close = difflib.get_close_matches(name, list(tree.children(resolve(tree, parent))), n=1)
    return f"did you mean {parent + '/' if parent else ''}{close[0]}?" if close else None
