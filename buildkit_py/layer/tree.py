"""Trees as data: what is where in a root file system, without mounting it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from buildkit_py.errors import SourceInputError, StoreError
from buildkit_py.layer.entry import Diff, Entry

ROOT = Entry(path="", type="dir", mode=0o755)
"""The root of a tree that says nothing else about it."""

MAX_DEPTH = 255
"""The most directories that a path may lead through, in what a step leaves and in a layer."""

_LINK_LIMIT = 40
_WAY_LIMIT = 1000
"""Names in all the links on one way: each may have two thousand, and is gone through whatever they lead to."""


class Tree(Protocol):
    """A read-only view of one root file system. Paths are relative, without a leading `/`; the root is the empty
    path."""

    def lookup(self, path: str) -> Entry | None:
        """The entry of exactly this name, following no link; None where there is none. Never a whiteout.

        A regular file's `digest` is filled in.
        """

    def children(self, path: str) -> Iterable[str]:
        """The sorted names directly inside a directory; none for anything else."""

    def open(self, path: str) -> BinaryIO:
        """The content of a regular file, opened so that no link outside the tree can be followed."""


@runtime_checkable
class Sieve(Protocol):
    """A tree that leaves out some of what it is made from."""

    def leaves_out(self, path: str) -> bool:
        """Whether there is something of that name which the tree does not show."""


class EmptyTree:
    """`scratch`: a root and nothing in it."""

    def lookup(self, path: str) -> Entry | None:
        """The root, or nothing."""
        return None if path else ROOT

    def children(self, path: str) -> Iterable[str]:
        """No names."""
        return ()

    def open(self, path: str) -> BinaryIO:
        """Nothing is there to open."""
        raise StoreError(f"/{path} is not in an empty tree")


Open = Callable[[str], BinaryIO]
"""Opens the file of a path."""


class _Snapshot:
    """One diff by path, indexed when it is first asked; `place` is a directory that holds its bytes, or opens them."""

    def __init__(self, place: Path | Open, diff: Diff) -> None:
        self._place = place
        self._diff = diff
        self._entries: dict[str, Entry] | None = None
        self._names: dict[str, list[str]] | None = None

    def get(self, path: str) -> Entry | None:
        if self._entries is None:
            self._entries = {entry.path: entry for entry in self._diff.entries}
        return self._entries.get(path)

    def open(self, path: str) -> BinaryIO:
        from buildkit_py.layer.openat import open_in

        return open_in(self._place, path) if isinstance(self._place, Path) else self._place(path)

    def names(self, directory: str) -> list[str]:
        if self._names is None:
            names: dict[str, list[str]] = {}
            for entry in self._diff.entries:
                if entry.path:
                    parent, _, name = entry.path.rpartition("/")
                    names.setdefault(parent, []).append(name)
            self._names = names
        return self._names.get(directory, [])


class ChainTree:
    """The merged view of snapshots, lowest first. Diffs are indexed and merged only where they are looked at.

    A whiteout or anything else that is not a directory hides what lower snapshots have at and below its path.
    """

    def __init__(self, snapshots: Sequence[tuple[Path | Open, Diff]]) -> None:
        self._snapshots = [_Snapshot(place, diff) for place, diff in reversed(snapshots)]
        self._merged: dict[str, list[_Snapshot]] = {"": self._snapshots}

    def lookup(self, path: str) -> Entry | None:
        """The topmost entry of that name."""
        found = self._find(path)
        return found[1] if found else (None if path else ROOT)

    def children(self, path: str) -> Iterable[str]:
        """The names that are left."""
        names: set[str] = set()
        hidden: set[str] = set()
        prefix = f"{path}/" if path else ""
        for snapshot in self._visible(path):
            for name in snapshot.names(path):
                if name not in names and name not in hidden:
                    entry = snapshot.get(prefix + name)
                    (hidden if entry is not None and entry.type == "whiteout" else names).add(name)
        return sorted(names)

    def open(self, path: str) -> BinaryIO:
        """The file as the snapshot holds it."""
        found = self._find(path)
        if found is None:
            raise StoreError(f"/{path} is not in the tree")
        try:
            return found[0].open(path)
        except OSError as error:
            hint = "run `pybuild store check --repair`" if error.errno in (errno.ENOENT, errno.EINVAL) else None
            raise StoreError(f"/{path} can't be read from the store: {error.strerror}", hint=hint) from error

    def _find(self, path: str) -> tuple[_Snapshot, Entry] | None:
        for snapshot in self._visible(path.rpartition("/")[0]) if path else self._snapshots:
            entry = snapshot.get(path)
            if entry is not None:
                return None if entry.type == "whiteout" else (snapshot, entry)
        return None

    def _visible(self, directory: str) -> list[_Snapshot]:
        """The snapshots, topmost first, whose directories of this name are merged; none where it is no directory."""
        known = self._merged.get(directory)
        if known is None:
            known = []
            for snapshot in self._visible(directory.rpartition("/")[0]):
                entry = snapshot.get(directory)
                if entry is None:
                    continue
                if entry.type != "dir":
                    break
                known.append(snapshot)
            self._merged[directory] = known
        return known


def join(directory: str, name: str) -> str:
    """A path of a tree; the directory may be the root."""
    return f"{directory}/{name}" if directory else name


def ancestors(path: str) -> Iterator[str]:
    """The directories above a path, outermost first, without the root."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


def same(one: Entry | None, other: Entry | None) -> bool:
    """Whether two entries of one path are equal in everything but the names that share their file."""
    if one is None or other is None:
        return one is other
    links = ("file", "hardlink")
    if one.type != other.type and not (one.type in links and other.type in links):
        return False
    return (
        one.mode == other.mode
        and one.uid == other.uid
        and one.gid == other.gid
        and one.digest == other.digest
        and one.device == other.device
        and one.xattrs == other.xattrs
        and (one.type in links or one.target == other.target)
    )


def resolve(tree: Tree, path: str, follow_last: bool = True) -> str:
    """The path without links, `.` and `..`, with the tree's root as `/`: `..` ends there, absolute targets begin there.

    What does not exist is kept as written. Raises `SourceInputError` where links go round in circles.
    """
    pending = _parts(path)
    done: list[str] = []
    links = way = 0
    while pending:
        name = pending.pop()
        if name == "..":
            del done[-1:]
            continue
        here = "/".join((*done, name))
        entry = tree.lookup(here) if follow_last or pending else None
        if entry is None or entry.type != "symlink":
            done.append(name)
            continue
        links += 1
        target = entry.target or ""
        parts = _parts(target)
        way += len(parts)
        if links > _LINK_LIMIT or way > _WAY_LIMIT:
            raise SourceInputError(f"/{path.lstrip('/')} can't be found: too many symbolic links")
        if target.startswith("/"):
            done.clear()
        pending += parts
    return "/".join(done)


def _parts(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def clamp(path: str) -> str:
    """A path as it is written, without `.` and `..`: that ends at the root. Links are not looked at."""
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del done[-1:]
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done)


def near(tree: Tree, path: str) -> str | None:
    """A hint that names what is closest to a path that does not exist: the deepest directory there is, and a name in
    it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    directory = ""
    for index, name in enumerate(parts):
        place = resolve(tree, join(directory, name))
        entry = tree.lookup(place)
        if entry is None:
            if isinstance(tree, Sieve) and tree.leaves_out(place):
                return f"/{'/'.join(parts[: index + 1])} is there, but the ignore file leaves it out"
            names = list(tree.children(directory))
            if name in names:
                return f"/{'/'.join(parts[: index + 1])} is a link that leads to nothing in there"
            found = _nearest(tree, parts, index, names)
            return f"did you mean /{found}?" if found else None
        if entry.type != "dir":
            return f"/{'/'.join(parts[: index + 1])} is not a directory"
        directory = place
    return None


def _nearest(tree: Tree, parts: list[str], index: int, names: list[str]) -> str | None:
    """The path that is there with another name at `index`, the name nearest to what was written."""
    from buildkit_py.suggest import suggest

    while other := suggest(parts[index], names):
        path = "/".join((*parts[:index], other, *parts[index + 1 :]))
        if tree.lookup(resolve(tree, path)) is not None:
            return path
        names.remove(other)
    return None


def walk(tree: Tree, path: str = "", *, skip: Callable[[str], bool] | None = None) -> Iterator[Entry]:
    """The entry of a path and all below it, parents before children, sorted by name in each directory; no link is
    followed.

    What `skip` says of a path's name is left out, with all below it, and not even looked at.
    """
    pending = [path]
    while pending:
        here = pending.pop()
        entry = tree.lookup(here)
        if entry is None:
            continue
        yield entry
        if entry.type == "dir":
            names = [join(here, name) for name in tree.children(here)]
            pending += [each for each in reversed(names) if skip is None or not skip(each)]


def printable(path: str) -> str:
    """A path for messages: undecodable bytes are replaced."""
    return os.fsencode(path).decode(errors="replace")
