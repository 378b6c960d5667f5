"""An edit in progress: a tree with changes on top that are not made yet, and the draft that comes of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import BinaryIO

from buildkit_py.layer.changes import Changes
from buildkit_py.layer.draft import Content, Draft
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, join, resolve


class Edit(Changes[Content]):
    """Implements `Tree`; what is carried opens the bytes. Paths given to changes are resolved: no link is followed."""

    def __init__(self, base: Tree) -> None:
        super().__init__(base)
        self._below = base

    def open(self, path: str) -> BinaryIO:
        """The content of a file as the edit would leave it."""
        return self.content(path)()

    def content(self, path: str) -> Content:
        """Opens the bytes that a file has now, whatever becomes of it later."""
        return self.carried(path) or (lambda: self._below.open(path))

    def place(self, path: str) -> str:
        """Where a path that is to be made leads: links of its parents are followed, its last name is not."""
        parent, _, name = path.strip("/").rpartition("/")
        if name in ("", ".", ".."):
            return resolve(self, path)
        return join(resolve(self, parent), name)

    def put(self, entry: Entry, carried: Content | None = None, link: Hashable | None = None) -> None:
        """Make or replace a name, with its missing parents. A directory over a directory keeps what that holds."""
        self.make_parents(entry.path)
        super().put(entry, carried, link)

    def draft(self) -> Draft:
        """What the edit changes; entries that the base has just so are left out."""
        diff, contents = self.finish()
        return Draft(diff=diff, contents=contents)
