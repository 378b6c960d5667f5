"""Drafts: a diff, and where the bytes of its files come from; laid down as a directory when somebody needs that."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from buildkit_py.errors import IntegrityError, SandboxError, StoreError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import Tree, walk

BLOCK = 1 << 20
Content = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """`contents` opens the bytes of each `file` entry of `diff`, by path."""

    diff: Diff
    contents: Mapping[str, Content]


def materialise(draft: Draft, directory: Path, epoch: int) -> int:
    """Lay a draft down in an empty directory, in the form of a snapshot; returns the bytes written.

    Each file is verified against its digest while it is copied. Raises `IntegrityError`, `StoreError`.
    """
    total = 0
    made: set[str] = set()
    try:
        for entry in draft.diff.entries:
            _parents(directory, entry.path, made)
            total += _lay(entry, directory, draft.contents)
            made.add(entry.path)
        for entry in reversed(draft.diff.entries):
            _finish(entry, directory / entry.path, epoch)
        for path in sorted(made - {entry.path for entry in draft.diff.entries}, reverse=True):
            os.utime(directory / path, (epoch, epoch))
    except OSError as error:
        raise StoreError(f"a snapshot can't be written: {error.strerror}: {error.filename}") from None
    return total


def checkout(tree: Tree, directory: Path, epoch: int = 0) -> None:
    """Lay a whole tree down in an empty directory."""
    entries = [entry for entry in walk(tree, "") if entry.path]
    contents = {entry.path: (lambda path=entry.path: tree.open(path)) for entry in entries if entry.type == "file"}
    materialise(Draft(diff=Diff.of(entries), contents=contents), directory, epoch)


def _parents(directory: Path, path: str, made: set[str]) -> None:
    """The parents that a snapshot needs to hold an entry, though they did not change."""
    parent = path.rpartition("/")[0]
    missing = []
    while parent and parent not in made:
        missing.append(parent)
        parent = parent.rpartition("/")[0]
    for each in reversed(missing):
        (directory / each).mkdir(mode=0o755)
        made.add(each)


def _lay(entry: Entry, directory: Path, contents: Mapping[str, Content]) -> int:
    path = directory / entry.path
    match entry.type:
        case "file":
            with contents[entry.path]() as source:
                _copy(source, path, entry)
            return entry.size
        case "dir":
            if entry.path:
                path.mkdir(mode=0o700)
        case "symlink":
            path.symlink_to(entry.target or "")
        case "hardlink":
            os.link(directory / (entry.target or ""), path, follow_symlinks=False)
        case "fifo":
            os.mkfifo(path)
        case "whiteout":
            os.mknod(path, stat.S_IFCHR, 0)
        case "char" | "block":
            _node(entry, path)
    return 0


def _node(entry: Entry, path: Path) -> None:
    major, minor = entry.device or (0, 0)
    kind = stat.S_IFCHR if entry.type == "char" else stat.S_IFBLK
    try:
        os.mknod(path, kind | entry.mode, os.makedev(major, minor))
    except PermissionError:
        raise SandboxError(
            f"the device /{entry.path} can't be made by an ordinary user", hint="build as root"
        ) from None


def _copy(source: BinaryIO, path: Path, entry: Entry) -> None:
    hasher = hashlib.sha256()
    with path.open("xb", buffering=0) as file:
        while block := source.read(BLOCK):
            hasher.update(block)
            file.write(block)
    if f"sha256:{hasher.hexdigest()}" != entry.digest:
        raise IntegrityError(f"/{entry.path} changed while it was copied", hint="run the build again")


def _finish(entry: Entry, path: Path, epoch: int) -> None:
    if entry.type in ("whiteout", "hardlink"):
        return
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.type != "symlink":
        path.chmod(entry.mode)
    for name, value in entry.xattrs:
        os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, (epoch, epoch), follow_symlinks=False)
