"""Trees as data: what is where in a root file system, without mounting it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.openat import open_in

MAX_LINKS = 40


class Tree(Protocol):
    """A read-only view of one root file system. Paths are relative, without a leading `/`; the root is the empty path."""

    def lookup(self, path: str) -> Entry | None:
        """The entry of exactly this name, following no link; None where there is none. Never a whiteout.

        A regular file's `digest` is filled in.
        """

    def children(self, path: str) -> Iterable[str]:
        """The sorted names directly inside a directory."""

    def open(self, path: str) -> BinaryIO:
        """The content of a regular file, opened so that no link outside the tree can be followed."""


class EmptyTree:
    """The tree of `scratch`."""

    def lookup(self, path: str) -> Entry | None:
        """Nothing but the root."""
        return ROOT if not path else None

    def children(self, path: str) -> Iterable[str]:
        """Nothing."""
        return ()

    def open(self, path: str) -> BinaryIO:
        """There is no file."""
        raise SourceInputError(f"/{path} is not there")


ROOT = Entry(path="", type="dir", mode=0o755)


class ChainTree:
    """The merged view of stacked snapshots, lowest first, from their diffs alone; bytes are read from the directories."""

    def __init__(self, snapshots: Sequence[tuple[Path, Diff]]) -> None:
        self._places: dict[str, tuple[Entry, Path]] = {"": (ROOT, Path())}
        self._children: dict[str, set[str]] = {"": set()}
        for directory, diff in snapshots:
            for entry in diff.entries:
                self._lay(entry, directory)

    def lookup(self, path: str) -> Entry | None:
        """The entry of exactly this name."""
        found = self._places.get(path)
        return found[0] if found else None

    def children(self, path: str) -> Iterable[str]:
        """The sorted names directly inside a directory."""
        return sorted(self._children.get(path, ()))

    def open(self, path: str) -> BinaryIO:
        """The content of a regular file, from the snapshot that holds it."""
        found = self._places.get(path)
        if found is None or found[0].type not in ("file", "hardlink"):
            raise SourceInputError(f"/{path} is not a file")
        try:
            return open_in(found[1], path)
        except OSError as error:
            raise SourceInputError(f"/{path} can't be read: {error.strerror}") from None

    def _lay(self, entry: Entry, directory: Path) -> None:
        path = entry.path
        if not path:
            self._places[""] = (entry, directory)
            return
        if entry.type != "dir" or self._kind(path) != "dir":
            self._drop(path)
        parent, _, name = path.rpartition("/")
        if entry.type == "whiteout":
            self._children.get(parent, set()).discard(name)
            return
        self._places[path] = (entry, directory)
        self._children.setdefault(parent, set()).add(name)
        if entry.type == "dir":
            self._children.setdefault(path, set())

    def _kind(self, path: str) -> str | None:
        found = self._places.get(path)
        return found[0].type if found else None

    def _drop(self, path: str) -> None:
        """Forget a name and everything below it."""
        pending = [path]
        while pending:
            each = pending.pop()
            self._places.pop(each, None)
            pending += [f"{each}/{name}" for name in self._children.pop(each, ())]


def resolve(tree: Tree, path: str, follow_last: bool = True) -> str:
    """Where a path leads inside the tree: links are followed, absolute ones from the root, and `..` stops at the root.

    What does not exist stands for itself. Raises `SourceInputError` on a loop of links.
    """
    done: list[str] = []
    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            del done[-1:]
            continue
        here = "/".join([*done, part])
        entry = tree.lookup(here) if pending or follow_last else None
        if entry is None or entry.type != "symlink":
            done.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise SourceInputError(f"/{path.lstrip('/')} leads through too many links")
        target = entry.target or ""
        if target.startswith("/"):
            done.clear()
        pending += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
    return "/".join(done)


def walk(tree: Tree, path: str) -> Iterable[Entry]:
    """The entries below a path, itself included, parents before children, sorted by name in each directory."""
    pending = [path]
    while pending:
        here = pending.pop()
        entry = tree.lookup(here)
        if entry is None:
            continue
        yield entry
        if entry.type == "dir":
            pending += [f"{here}/{name}" if here else name for name in reversed(list(tree.children(here)))]
