"""A local directory as a tree: only what is looked at is listed, only what is selected is read.

Every file belongs to 0:0, and has no extended attributes: who owns a checkout says nothing about an image.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.patterns import IgnoreRules
from buildkit_py.layer.statcache import StatCache

BLOCK = 1 << 20


class ContextTree:
    """Implements `Tree` over `root`. `hidden` are paths that a directory's listing leaves out, though their name finds them."""

    def __init__(self, root: Path, stats: StatCache, *, ignore: Sequence[str] = (), hidden: Sequence[str] = ()) -> None:
        self._root = root.resolve()
        self._stats = stats
        self._rules = IgnoreRules(ignore)
        self._hidden = frozenset(path.strip("/") for path in hidden)
        self._entries: dict[str, Entry | None] = {}

    def lookup(self, path: str) -> Entry | None:
        """The entry of exactly this name; what a link in a parent leads to is not looked at."""
        if path not in self._entries:
            self._entries[path] = self._look(path)
        return self._entries[path]

    def children(self, path: str) -> Iterable[str]:
        """The sorted names in a directory, without those that are hidden."""
        entry = self.lookup(path)
        if entry is None or entry.type != "dir":
            return []
        try:
            names = sorted(os.listdir(self._root / path))
        except OSError as error:
            raise SourceInputError(f"{path or '.'} can't be listed: {error.strerror}") from None
        whole = [(f"{path}/{name}" if path else name, name) for name in names]
        return [name for each, name in whole if each not in self._hidden and self._visible(each)]

    def open(self, path: str) -> BinaryIO:
        """The content of a regular file."""
        try:
            return open_in(self._root, path)
        except OSError as error:
            raise SourceInputError(f"{path} can't be read: {error.strerror}") from None

    def _visible(self, path: str) -> bool:
        return not self._rules or not self._rules.ignores(path) or self._rules.can_include_again

    def _look(self, path: str) -> Entry | None:
        if path and not self._parent_is_directory(path):
            return None
        try:
            facts = os.lstat(self._root / path)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            raise SourceInputError(f"{path} can't be read: {error.strerror}") from None
        if path and self._rules.ignores(path) and not (stat.S_ISDIR(facts.st_mode) and self._holds_something(path)):
            return None
        return self._entry(path, facts)

    def _parent_is_directory(self, path: str) -> bool:
        parent = self.lookup(path.rpartition("/")[0])
        return parent is not None and parent.type == "dir"

    def _holds_something(self, path: str) -> bool:
        """Whether a directory that is ignored holds a name that is not."""
        return self._rules.can_include_again and any(
            self._look(f"{path}/{name}") is not None for name in os.listdir(self._root / path)
        )

    def _entry(self, path: str, facts: os.stat_result) -> Entry | None:
        mode = stat.S_IMODE(facts.st_mode)
        if stat.S_ISDIR(facts.st_mode):
            return Entry(path=path, type="dir", mode=mode)
        if stat.S_ISLNK(facts.st_mode):
            return Entry(path=path, type="symlink", mode=0o777, target=os.readlink(self._root / path))
        if stat.S_ISREG(facts.st_mode):
            return Entry(path=path, type="file", mode=mode, size=facts.st_size, digest=self._digest(path, facts))
        if stat.S_ISFIFO(facts.st_mode):
            return Entry(path=path, type="fifo", mode=mode)
        return None

    def _digest(self, path: str, facts: os.stat_result) -> str:
        parent, _, name = path.rpartition("/")
        directory = str(self._root / parent)
        known = self._stats.get(directory, name, facts)
        if known is None:
            with self.open(path) as file:
                hasher = hashlib.sha256()
                while block := file.read(BLOCK):
                    hasher.update(block)
            known = f"sha256:{hasher.hexdigest()}"
            self._stats.put(directory, name, facts, known)
        return known
