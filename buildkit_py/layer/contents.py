"""Selecting where every directory stands for what it holds (`contents: always`), as Go's container tools do.

    source ──wildcards──▶ paths ──links followed──▶ picks: a file under its name, or what is in a directory

`*` and the like stay in one name. A pattern that nothing matches selects nothing where that is `optional`; anything
else that is not there is an error. What a pattern leaves out is not even read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.matching import Answers, Matcher, has_wildcard
from buildkit_py.layer.tree import Tree, clamp, join, near, printable, resolve
from buildkit_py.patterns import compiled_strictly

PIVOT = "/./"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """Something in a directory, by its path from there. `held` is a directory that no pattern selects, but something in
    it."""

    path: str
    entry: Entry
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What one path of a source stands for: `entry`, which is called `name`, or, if that is a directory, what is
    `inside`."""

    name: str
    entry: Entry
    inside: tuple[Inside, ...] = ()


def pick(
    tree: Tree, sources: Sequence[str], *, exclude: Sequence[str] = (), optional: bool = False, parents: bool = False
) -> Iterator[Pick]:
    """Find what sources stand for, in their order. `exclude` is relative to each directory that is picked; a file that
    a source names itself is never left out. With `parents` a source is a directory up to its pivot, and a pattern of
    what is taken from there. Raises `SourceInputError`."""
    excluded = Matcher(exclude) if exclude else None
    for source in sources:
        start, pattern = _split(source) if parents else (source, None)
        included = Matcher([pattern]) if pattern else None
        for path in find(tree, start, optional=optional):
            entry = tree.lookup(resolve(tree, path))
            if entry is None:
                raise missing(tree, path)
            name = path.rpartition("/")[2]
            inside = tuple(_Walk(tree, entry.path, included, excluded).run()) if entry.type == "dir" else ()
            yield Pick(name=name, entry=entry, inside=inside)
        if pattern and not has_wildcard(source):
            _require(tree, join(clamp(start), pattern))


def check(tree: Tree, source: str, *, optional: bool, parents: bool) -> None:
    """Raise `SourceInputError` where a source stands for nothing; what is below it is not looked at."""
    start, pattern = _split(source) if parents else (source, None)
    for path in find(tree, start, optional=optional):
        _require(tree, path)
    if pattern and not has_wildcard(source):
        _require(tree, join(clamp(start), pattern))


def _require(tree: Tree, path: str) -> None:
    if tree.lookup(resolve(tree, path)) is None:
        raise missing(tree, path)


def missing(tree: Tree, path: str) -> SourceInputError:
    """What is told of a path that is not there."""
    return SourceInputError(f"/{printable(path)} is not there", hint=near(tree, path))


def _split(source: str) -> tuple[str, str]:
    """The directory to begin at, and the pattern of what is taken from there."""
    above, pivot, below = source.partition(PIVOT)
    return (above or "/", clamp(below)) if pivot else ("/", clamp(source))


def find(tree: Tree, source: str, *, optional: bool = False) -> list[str]:
    """The paths that a source stands for: itself, or, if it has wildcards, what they match, in the order of a walk."""
    parts = clamp(source).split("/")
    fixed: list[str] = []
    while parts and not has_wildcard(parts[0]):
        fixed.append(parts.pop(0))
    shown = "/".join(fixed)
    if not parts:
        return [shown]
    start = resolve(tree, shown)
    if tree.lookup(start) is None:
        raise missing(tree, shown)
    found = [join(shown, path) for path in _matches(tree, start, parts)]
    if not found and not optional:
        raise SourceInputError(f"nothing matches {printable(source)}")
    return found


def _matches(tree: Tree, start: str, parts: Sequence[str]) -> Iterator[str]:
    """The paths below `start` whose names match one part each; no link is followed on the way."""
    pattern = compiled_strictly(parts[0], deep=False)
    for name in tree.children(start):
        if pattern.match(name) is None:
            continue
        if len(parts) == 1:
            yield name
        else:
            yield from (f"{name}/{rest}" for rest in _matches(tree, join(start, name), parts[1:]))


@dataclass(slots=True)
class _Level:
    """A directory on the way, and what is left of it."""

    path: str
    names: Iterator[str]
    included: Answers
    excluded: Answers


class _Walk:
    """One walk over a directory."""

    def __init__(self, tree: Tree, root: str, include: Matcher | None, exclude: Matcher | None) -> None:
        self._tree = tree
        self._root = root
        self._include = include
        self._exclude = exclude
        self._held: list[str] = []

    def run(self) -> Iterator[Inside]:
        """What is selected, directories before what is in them, and those that lead there."""
        return self._chosen() if self._include or self._exclude else self._all()

    def _all(self) -> Iterator[Inside]:
        """Everything."""
        lookup, inside, place = self._tree.lookup, f"{self._root}/" if self._root else "", ""
        names = iter(self._tree.children(self._root))
        stack: list[tuple[str, Iterator[str]]] = []
        while True:
            name = next(names, None)
            if name is None:
                if not stack:
                    return
                place, names = stack.pop()
                continue
            path = place + name
            entry = lookup(inside + path)
            if entry is None:
                continue
            yield Inside(path=path, entry=entry)
            if entry.type == "dir":
                stack.append((place, names))
                place, names = f"{path}/", iter(self._tree.children(inside + path))

    def _chosen(self) -> Iterator[Inside]:
        """What the patterns leave."""
        stack = [self._level("", (), ())]
        while stack:
            level = stack[-1]
            name = next(level.names, None)
            if name is None:
                stack.pop()
                if self._held and self._held[-1] == level.path:
                    self._held.pop()
                continue
            path = join(level.path, name)
            wanted, included = self._include.match(path, level.included) if self._include else (True, ())
            left_out, excluded = self._exclude.match(path, level.excluded) if self._exclude else (False, ())
            if wanted and not left_out:
                entry = yield from self._take(path)
                if entry is not None and entry.type == "dir":
                    stack.append(self._level(path, included, excluded))
            elif self._leads(path, wanted, left_out):
                self._held.append(path)
                stack.append(self._level(path, included, excluded))

    def _take(self, path: str) -> Generator[Inside, None, Entry | None]:
        for each in self._held:
            held = self._tree.lookup(self._place(each))
            if held is not None:
                yield Inside(path=each, entry=held, held=True)
        self._held.clear()
        entry = self._tree.lookup(self._place(path))
        if entry is not None:
            yield Inside(path=path, entry=entry)
        return entry

    def _leads(self, path: str, wanted: bool, left_out: bool) -> bool:
        """Whether something in what is not selected may be."""
        if left_out and not (self._exclude and self._exclude.negates):
            return False
        return wanted or self._include is None or self._include.leads(path)

    def _level(self, path: str, included: Answers, excluded: Answers) -> _Level:
        return _Level(path, iter(self._tree.children(self._place(path))), included, excluded)

    def _place(self, path: str) -> str:
        return join(self._root, path) if path else self._root
