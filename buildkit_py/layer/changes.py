"""Changes on their way to becoming a diff: a tree, what is being changed in it, and both seen as one tree.

What comes out is a pure function of the tree before and the tree after. It holds what differs; every directory above
that, the root included, as it is afterwards, because an overlay's upper directory decides what a merged directory is
like; and whiteouts for the names that are gone. A directory that was replaced is not opaque: its old names get
whiteouts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import BinaryIO, Generic, TypeVar

from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.links import share
from buildkit_py.layer.tree import ROOT, Tree, ancestors, join, printable, same

T = TypeVar("T")


class Changes(Generic[T]):
    """Changes over `base`; implements the looking part of `Tree`. Each changed file may carry a `T`: its content,
    say."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, set[str]] = {}
        self._carried: dict[str, T] = {}
        self._links: dict[str, Hashable] = {}
        self._gone: set[str] = set()

    def lookup(self, path: str) -> Entry | None:
        """The entry as it is now."""
        found = self._entries.get(path)
        if found is not None:
            return found
        return self._base.lookup(path) if self._shows_base(path) else None

    def children(self, path: str) -> Iterable[str]:
        """The names as they are now."""
        names = set(self._names.get(path, ()))
        if self._shows_base(path):
            names.update(name for name in self._base.children(path) if join(path, name) not in self._gone)
        return sorted(names)

    def open(self, path: str) -> BinaryIO:
        """A file of the base; what is being changed can't be read."""
        return self._base.open(path)

    def changed(self, path: str) -> Entry | None:
        """The entry that was put at a path."""
        return self._entries.get(path)

    def carried(self, path: str) -> T | None:
        """What the entry that was put at a path carries."""
        return self._carried.get(path)

    def linked(self, path: str) -> Hashable | None:
        """What the entry that was put at a path shares with the other names of its file."""
        return self._links.get(path)

    def below(self, path: str) -> Iterator[str]:
        """The paths at and below `path` that something was put at, what is inside first."""
        for name in tuple(self._names.get(path, ())):
            yield from self.below(join(path, name))
        if path in self._entries:
            yield path

    def put(self, entry: Entry, carried: T | None = None, link: Hashable | None = None) -> None:
        """Set what is at `entry.path`. A directory put over a directory keeps what is in it; anything else replaces.

        The directory above must be there. Entries with an equal `link` are names of one file.
        """
        path = entry.path
        if path:
            current = self.lookup(path)
            if current is not None and not (current.type == "dir" and entry.type == "dir"):
                self.remove(path)
            parent, _, name = path.rpartition("/")
            self._names.setdefault(parent, set()).add(name)
        self._entries[path] = entry
        self._carried.pop(path, None)
        self._links.pop(path, None)
        if carried is not None:
            self._carried[path] = carried
        if link is not None:
            self._links[path] = link

    def remove(self, path: str) -> None:
        """Take away what is at a path, if anything is."""
        for each in list(self.below(path)):
            del self._entries[each]
            self._carried.pop(each, None)
            self._links.pop(each, None)
            parent, _, name = each.rpartition("/")
            self._names[parent].discard(name)
        self.hide(path)

    def hide(self, path: str) -> None:
        """Take away what the base has at a path; what was put there stays."""
        if self._shows_base(path) and self._base.lookup(path) is not None:
            self._gone.add(path)

    def make_parents(self, path: str) -> None:
        """Make the missing directories above a path, 0755 and 0:0; raises `SourceInputError` where one is something
        else."""
        directory = path.rpartition("/")[0]
        if directory in self._entries and self._entries[directory].type == "dir":
            return
        for place in ancestors(path):
            found = self.lookup(place)
            if found is None:
                self.put(Entry(path=place, type="dir", mode=0o755))
            elif found.type != "dir":
                raise SourceInputError(
                    f"/{printable(place)} is a {found.type}, not a directory: /{printable(path)} can't be made in it"
                )

    def finish(self, *, keep_equal: bool = False) -> tuple[Diff, dict[str, T]]:
        """The diff, and what its entries carry. `keep_equal` keeps what was put though the base has the same."""
        kept = {
            path: entry
            for path, entry in self._entries.items()
            if keep_equal or not same(entry, self._base.lookup(path))
        }
        # What is gone inside of something that is gone is found from there.
        outermost = [path for path in self._gone if not any(place in self._gone for place in ancestors(path))]
        for path in outermost:
            for whiteout in self._whiteouts(path):
                kept[whiteout] = Entry(path=whiteout, type="whiteout")
        self._add_parents(kept)
        entries = sorted(kept.values(), key=lambda entry: entry.path)
        named = share([(entry, self._links.get(entry.path)) for entry in entries])
        return Diff(tuple(named)), {path: self._carried[path] for path in kept if path in self._carried}

    def _shows_base(self, path: str) -> bool:
        """Whether what the base has at a path still counts."""
        gone = self._gone
        return not gone or (path not in gone and not any(place in gone for place in ancestors(path)))

    def _whiteouts(self, path: str) -> Iterator[str]:
        """The names of the base, at and below a path whose base is hidden, that need a whiteout."""
        before = self._base.lookup(path)
        now = self._entries.get(path)
        if before is not None and now is None:
            yield path
        elif before is not None and before.type == "dir" and now is not None and now.type == "dir":
            for name in self._base.children(path):
                yield from self._whiteouts(join(path, name))

    def _add_parents(self, kept: dict[str, Entry]) -> None:
        for path in list(kept):
            while path:
                path = path.rpartition("/")[0]
                if path in kept:
                    break
                kept[path] = self.lookup(path) or (ROOT if not path else Entry(path=path, type="dir", mode=0o755))
