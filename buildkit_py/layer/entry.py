"""What a file, a change and a diff are.

A *diff* is the ordered set of changes that turn one tree into another. It is a pure value: two machines that make the
same change get the same digest, whatever their paths, clocks, umasks and snapshotters. Modification times are not
part of it: every entry that a step makes gets the time of the build (SOURCE_DATE_EPOCH, else 0).

On disk and inside digests a diff is JSON lines, one canonical array an entry, sorted by path:

    ["usr/bin/app","file",493,0,0,{"size":14,"digest":"sha256:…"}]
    ["usr/lib/old","whiteout",0,0,0,{}]
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from json.encoder import encode_basestring as _quoted
from typing import Any, Literal

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass
from buildkit_py.digest import Digest

EntryType = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo", "whiteout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a tree, or one change of a diff.

    `path` is relative to the root, without a leading `/`; the root itself is the empty path. Undecodable bytes are
    lone surrogates (`os.fsdecode`). `mode` holds the 12 permission bits. A `file` has `size` in bytes and `digest`
    (`sha256:…`); a `symlink` has `target`; a `hardlink` has `target`, the path of the first name of that file in the
    same diff (in a tree: whatever its names have in common), and carries the file's mode, owner, size and digest too;
    `char` and `block` have `device` (major, minor). `xattrs` are sorted pairs.
    """

    path: str
    type: EntryType
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    digest: str | None = None
    target: str | None = None
    device: tuple[int, int] | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def to_row(self) -> list[Any]:
        """The canonical array."""
        more: dict[str, Any] = {}
        if self.digest is not None:
            more["size"], more["digest"] = self.size, self.digest
        if self.target is not None:
            more["target"] = self.target
        if self.device is not None:
            more["device"] = list(self.device)
        if self.xattrs:
            more["xattrs"] = {name: base64.b64encode(value).decode() for name, value in self.xattrs}
        return [self.path, self.type, self.mode, self.uid, self.gid, more]

    def to_line(self) -> bytes:
        """The canonical array as canonical JSON."""
        more = self.xattrs or self.target is not None or self.device is not None
        if self.type == "file" and self.digest is not None and not more:
            # Nearly all are such, and the general way takes several times as long.
            path, digest = _quoted(self.path), _quoted(self.digest)
            line = f'[{path},"file",{self.mode},{self.uid},{self.gid},{{"digest":{digest},"size":{self.size}}}]'
            with suppress(UnicodeEncodeError):
                return line.encode()
        return canonical.dumps(self.to_row())

    @classmethod
    def from_row(cls, row: list[Any]) -> Entry:
        """From the canonical array."""
        path, kind, mode, uid, gid, more = row
        if not more:
            return cls(path=path, type=kind, mode=mode, uid=uid, gid=gid)
        device = more.get("device")
        return cls(
            path=path,
            type=kind,
            mode=mode,
            uid=uid,
            gid=gid,
            size=more.get("size", 0),
            digest=more.get("digest"),
            target=more.get("target"),
            device=(device[0], device[1]) if device else None,
            xattrs=tuple((name, base64.b64decode(value)) for name, value in sorted(more.get("xattrs", {}).items())),
        )


@dataclass(frozen=True)
class Diff:
    """Changes over some tree, sorted by path, at most one a path."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Diff:
        """Sort entries into a diff."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.path)))

    @cached_property
    def encoded(self) -> bytes:
        """The canonical JSON lines."""
        return b"".join(entry.to_line() + b"\n" for entry in self.entries)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `encoded`; names the snapshot that holds this diff's bytes."""
        return str(Digest.of(self.encoded))

    @classmethod
    def decode(cls, data: bytes) -> Diff:
        """From what `encoded` gave."""
        return cls(tuple(Entry.from_row(json.loads(line)) for line in data.splitlines()))

    def __bool__(self) -> bool:
        return bool(self.entries)


EMPTY_TREE = str(canonical.digest({"tree": "scratch"}))
"""The content id of `scratch`."""


def content_id(parent: str, diff: Diff) -> str:
    """The content id of the tree that `diff` makes of `parent`; an empty diff keeps the parent's."""
    return str(canonical.digest({"parent": parent, "diff": diff.digest})) if diff else parent
