"""An edit in progress: a tree with changes on top that are not made yet, and the draft that comes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO

from buildkit_py.errors import SourceInputError
from buildkit_py.layer.draft import Content, Draft
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ROOT, Tree, resolve


class Edit:
    """Implements `Tree` over `base`, and takes changes. Paths given to changes are resolved: no link is followed."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._changes: dict[str, Entry] = {}
        self._contents: dict[str, Content] = {}

    def lookup(self, path: str) -> Entry | None:
        """The entry as the edit would leave it."""
        if path in self._changes:
            found = self._changes[path]
            return None if found.type == "whiteout" else found
        return None if self._is_covered(path) else self._base.lookup(path)

    def children(self, path: str) -> Iterable[str]:
        """The sorted names in a directory as the edit would leave it."""
        below = [] if self._replaced(path) or self._is_covered(path) else list(self._base.children(path))
        prefix = f"{path}/" if path else ""
        added = [each[len(prefix) :] for each in self._changes if each.startswith(prefix) and each != path]
        names = {*below, *(name for name in added if "/" not in name)}
        return sorted(name for name in names if self.lookup(f"{prefix}{name}") is not None)

    def open(self, path: str) -> BinaryIO:
        """The content of a file as the edit would leave it."""
        if path in self._contents:
            return self._contents[path]()
        return self._base.open(path)

    def content(self, path: str) -> Content:
        """Opens the bytes that a file has now, whatever becomes of it later."""
        return self._contents.get(path) or (lambda: self._base.open(path))

    def place(self, path: str) -> str:
        """Where a path that is to be made leads: links of its parents are followed, its last name is not."""
        parent, _, name = path.strip("/").rpartition("/")
        if name in ("", ".", ".."):
            return resolve(self, path)
        return "/".join(part for part in (resolve(self, parent), name) if part)

    def put(self, entry: Entry, content: Content | None = None) -> None:
        """Make or replace a name. A directory over a directory keeps what that holds."""
        old = self.lookup(entry.path)
        if old is not None and not (old.type == "dir" and entry.type == "dir"):
            self._forget(entry.path)
        self.parents(entry.path)
        self._changes[entry.path] = entry
        if content is not None:
            self._contents[entry.path] = content

    def remove(self, path: str) -> None:
        """Take a name away, with all below it."""
        self._forget(path)
        self._changes[path] = Entry(path=path, type="whiteout")

    def parents(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Make the missing parents of a path."""
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            here = "/".join(parts[:count])
            found = self.lookup(here)
            if found is None:
                self._changes[here] = Entry(path=here, type="dir", mode=mode, uid=uid, gid=gid)
            elif found.type != "dir":
                raise SourceInputError(f"/{here} is in the way: it is a {found.type}, not a directory")

    def draft(self) -> Draft:
        """What the edit changes; entries that the base has just so are left out."""
        changed = {path: entry for path, entry in self._changes.items() if self._differs(path, entry)}
        for path in list(changed):
            while path:
                path = path.rpartition("/")[0]
                if path in changed:
                    break
                changed[path] = self.lookup(path) or ROOT
        contents = {path: content for path, content in self._contents.items() if path in changed}
        return Draft(diff=Diff.of(changed.values()), contents=contents)

    def _differs(self, path: str, entry: Entry) -> bool:
        old = self._base.lookup(path)
        if entry.type == "whiteout":
            return old is not None and not self._is_covered(path)
        if old is not None and old.type == "hardlink":
            old = replace(old, type="file", target=None)
        return old != entry or self._is_covered(path)

    def _forget(self, path: str) -> None:
        for each in [each for each in self._changes if each == path or each.startswith(f"{path}/")]:
            del self._changes[each]
            self._contents.pop(each, None)

    def _replaced(self, path: str) -> bool:
        """Whether a directory of the edit stands where the base has something else."""
        if path not in self._changes:
            return False
        old = self._base.lookup(path)
        return old is None or old.type != "dir"

    def _is_covered(self, path: str) -> bool:
        """Whether a parent was removed or replaced by the edit."""
        while path:
            path = path.rpartition("/")[0]
            if path in self._changes:
                return self._changes[path].type != "dir" or self._replaced(path)
        return False
