"""A diff that somebody else made: checked as strictly as a layer, and laid down with the bytes that layers carry.

What is to be made is said by the diff alone, which its digest vouches for. Layers are no more than boxes of files: what
they hold besides, their owners, modes and links, is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.layer.draft import SECOND
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.limits import Limits
from buildkit_py.layer.tarstream import MAX_TARGET, TarStream, parts_of
from buildkit_py.layer.tree import printable
from buildkit_py.layer.writer import TreeWriter
from buildkit_py.layer.xattrs import is_kept

_MAX_ID = 2**32 - 2
_TYPES = frozenset({"file", "dir", "symlink", "hardlink", "char", "block", "fifo", "whiteout"})


def parse_diff(data: bytes) -> Diff:
    """A diff from foreign bytes. Raises `IntegrityError` for what no step could have made."""
    limits = Limits.current()
    try:
        lines = data.splitlines()
        if len(lines) > limits.entries:
            raise limits.passed("entries", f"it has more than {limits.entries} entries")
        diff = Diff.decode(data)
        whole = diff.encoded == data
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"it is no diff: {str(error)[:100]}") from None
    if not whole:
        raise IntegrityError("it is no diff in its one form")
    _check(diff)
    return diff


def lay_down(
    diff: Diff,
    layers: Iterable[Callable[[], BinaryIO]],
    directory: Path,
    epoch: int,
    *,
    limits: Limits | None = None,
) -> int:
    """Make what a diff says in an empty directory, in the form of a snapshot; returns the bytes of its files.

    `layers` open the blobs (compressed or not) that hold the files; each file is verified against its digest. Raises
    `IntegrityError` where one is missing or another, `StoreError`, `SandboxError`.
    """
    wanted = {entry.path: entry for entry in diff.entries if entry.type == "file"}
    size, mtime = sum(entry.size for entry in wanted.values()), epoch * SECOND
    with TreeWriter(directory) as writer:
        for entry in diff.entries:
            if entry.type == "dir" and entry.path:
                writer.directory(entry.path)
        for opened in layers:
            if wanted:
                with opened() as blob:
                    _take(blob, wanted, writer, mtime, limits)
        for path in wanted:
            raise IntegrityError(f"no layer holds /{printable(path)[:200]}")
        for entry in diff.entries:
            if entry.type == "hardlink":
                writer.link(entry.path, entry.target or "")
            elif entry.type not in ("file", "dir"):
                writer.other(entry, mtime)
        for entry in reversed(diff.entries):
            if entry.type == "dir":
                writer.finish(entry, mtime)
    return size


def _take(blob: BinaryIO, wanted: dict[str, Entry], writer: TreeWriter, mtime: int, limits: Limits | None) -> None:
    """Write those files that are `wanted` and in this layer, and strike them off."""
    with TarStream(blob, limits) as stream:
        for member in stream.members():
            path = "/".join(parts_of(member.name))
            entry = wanted.get(path) if member.isreg() else None
            if entry is None:
                continue
            # Known before a byte is written: what is too large is not even begun.
            if member.size != entry.size or writer.file(entry, stream.blocks(member), mtime).digest != entry.digest:
                raise IntegrityError(f"the layer holds another /{printable(path)[:200]} than the diff says")
            del wanted[path]
            if not wanted:
                return


def _check(diff: Diff) -> None:
    known: dict[str, Entry] = {}
    before: str | None = None
    for entry in diff.entries:
        if type(entry.path) is not str:
            raise IntegrityError("it has an entry without a path")
        if before is not None and entry.path <= before:
            raise IntegrityError("its entries are not in the order of their paths")
        before = entry.path
        try:
            _check_place(entry, known)
            _check_entry(entry, known)
        except (ValueError, TypeError, AttributeError):
            raise IntegrityError(f"it has an impossible entry: {entry.path[:200]!r}") from None
        known[entry.path] = entry


def _check_place(entry: Entry, known: dict[str, Entry]) -> None:
    """A path leads nowhere but to its place, through directories of the same diff."""
    if not entry.path:
        _demand(entry.type == "dir")
        return
    os.fsencode(entry.path)
    if "/".join(parts_of(entry.path)) != entry.path:
        raise ValueError("not in its one form")
    above = entry.path.rpartition("/")[0]
    _demand(not above or (above in known and known[above].type == "dir"))


def _check_entry(entry: Entry, known: dict[str, Entry]) -> None:
    kind = entry.type
    _demand(kind in _TYPES)
    _demand(_number(entry.mode, 0o7777) and _number(entry.uid, _MAX_ID) and _number(entry.gid, _MAX_ID))
    _demand((entry.digest is not None) == (kind in ("file", "hardlink")))
    if entry.digest is not None:
        _demand(Digest.parse(entry.digest).algorithm == "sha256" and _number(entry.size, 1 << 62))
    _demand((entry.target is not None) == (kind in ("symlink", "hardlink")))
    if kind == "symlink":
        target = entry.target or ""
        _demand(0 < len(os.fsencode(target)) <= MAX_TARGET and "\0" not in target)
    if kind == "hardlink":
        first = known.get(entry.target or "")
        _demand(first is not None and first.type == "file" and first.digest == entry.digest)
    _demand((entry.device is not None) == (kind in ("char", "block")))
    if entry.device is not None:
        major, minor = entry.device
        _demand(_number(major, 0xFFF) and _number(minor, 0xFFFFF) and (major, minor) != (0, 0))
    _demand(not entry.xattrs or kind in ("file", "hardlink", "dir"))
    for name, _ in entry.xattrs:
        os.fsencode(name)
        _demand(is_kept(name))
    if kind == "whiteout":
        _demand((entry.mode, entry.uid, entry.gid) == (0, 0, 0))


def _number(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _demand(holds: bool) -> None:
    if not holds:
        raise ValueError("impossible")
