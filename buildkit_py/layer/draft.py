"""Drafts: a diff, and where the bytes of its files come from; laid down as a directory when somebody needs that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import IntegrityError
from buildkit_py.layer.clone import Reflink
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.flat import flat
from buildkit_py.layer.tree import ROOT, Tree, printable
from buildkit_py.layer.writer import TreeWriter

SECOND = 1_000_000_000
Content = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """`contents` opens the bytes of each `file` entry of `diff`, by path."""

    diff: Diff
    contents: Mapping[str, Content]


def materialise(draft: Draft, directory: Path, epoch: int, *, reflink: Reflink = "checked") -> int:
    """Lay a draft down in an empty directory, in the form of a snapshot; returns the bytes of its files.

    Each file is verified against its digest while it is copied, unless it is cloned and trusted. Raises
    `IntegrityError`, `StoreError`, `SandboxError`.
    """
    mtime, size = epoch * SECOND, 0
    with TreeWriter(directory, reflink) as writer:
        for entry in draft.diff.entries:
            if entry.type == "file":
                _copy(writer, entry, draft.contents[entry.path], mtime)
                size += entry.size
            elif entry.type == "hardlink":
                writer.link(entry.path, entry.target or "")
            elif entry.type != "dir":
                writer.other(entry, mtime)
            elif entry.path:
                writer.directory(entry.path)
        for entry in reversed(draft.diff.entries):
            if entry.type == "dir":
                writer.finish(entry, mtime)
    return size


def checkout(tree: Tree, directory: Path, epoch: int = 0, *, share: bool = True, reflink: Reflink = "checked") -> None:
    """Lay a whole tree down in an empty directory; every time is `epoch`.

    Names of one file stay so, unless `share` is false: then each is a file of its own, as behind an overlay, where
    writing to one name leaves the others alone.
    """
    diff = flat(tree) if share else Diff.of(map(_unshared, flat(tree).entries))
    contents = {entry.path: partial(tree.open, entry.path) for entry in diff.entries if entry.type == "file"}
    materialise(Draft(diff=diff, contents=contents), directory, epoch, reflink=reflink)


def _unshared(entry: Entry) -> Entry:
    return replace(entry, type="file", target=None) if entry.type == "hardlink" else entry


def dress_root(tree: Tree, directory: Path, epoch: int = 0) -> None:
    """Give an empty upper directory what the tree's root has: it decides what the merged root looks like."""
    with TreeWriter(directory) as writer:
        writer.finish(tree.lookup("") or ROOT, epoch * SECOND)


def _copy(writer: TreeWriter, entry: Entry, content: Content, mtime: int) -> None:
    with content() as source:
        written = writer.copy(entry, source, mtime)
    if (written.size, written.digest) != (entry.size, entry.digest):
        raise IntegrityError(
            f"what becomes /{printable(entry.path)} was changed while the build was running",
            hint="run the same command again",
        )
