"""Applying: somebody else's layer becomes a snapshot, member by member, through descriptors that no link can divert.

Whiteouts become character devices 0:0, opaque markers whiteouts of the names that the lower tree has. A parent that
is a symbolic link leads where it leads *inside* the tree. Anything that no honest tool writes is refused with
`IntegrityError`. OCI image specification 1.1, "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import IntegrityError, SourceInputError, StoreError
from buildkit_py.layer import xattrs
from buildkit_py.layer.changes import Changes
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.limits import Limits
from buildkit_py.layer.outline import Outliner
from buildkit_py.layer.tarstream import TarStream, device_of, id_of, mtime_of, parts_of, target_of
from buildkit_py.layer.tree import EmptyTree, Tree, join, printable, resolve
from buildkit_py.layer.writer import TreeWriter, blocks

_PREFIX = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_TYPES: dict[bytes, Any] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a layer held: its diff, the digest of its tar, and the bytes of its files."""

    diff: Diff
    diff_id: str
    size: int


def apply_layer(blob: BinaryIO, directory: Path, *, lower: Tree, limits: Limits | None = None) -> Applied:
    """Unpack a layer (compressed or not) into an empty directory; `lower` is the tree below it.

    Raises `IntegrityError` for what no layer may hold, `SandboxError` for a device that this user can't make.
    """
    with TreeWriter(directory) as writer:
        return _read(blob, _Applier(writer, lower, limits or Limits.current()))


def outline_layer(
    blob: BinaryIO, *, lower: Tree, limits: Limits | None = None, outliner: Outliner | None = None
) -> Applied:
    """What `apply_layer` gives, without making anything; of `lower` no file is opened. The bytes of files pass through
    `outliner`."""
    return _read(blob, _Applier(outliner or Outliner(), lower, limits or Limits.current()))


def outline_whole(archive: BinaryIO, outliner: Outliner) -> Applied:
    """What a tar of a whole tree holds, told to `outliner`; names that mean a removal in a layer are refused too."""
    return _read(archive, _Applier(outliner, EmptyTree(), Limits.current(), whole=True))


def _read(blob: BinaryIO, applier: _Applier) -> Applied:
    try:
        with TarStream(blob, applier.limits) as stream:
            for member in stream.members():
                applier.member(member, stream)
            stream.drain()
        diff = applier.finish()
    except IntegrityError as error:
        raise IntegrityError(f"the layer can't be unpacked: {error.message}", hint=error.hint) from None
    except OSError as error:
        raise StoreError(f"the layer can't be read: {error.strerror}") from None
    return Applied(diff=diff, diff_id=stream.digest, size=applier.size)


class _Applier:
    def __init__(self, writer: TreeWriter | Outliner, lower: Tree, limits: Limits, *, whole: bool = False) -> None:
        self._writer = writer
        self._lower = lower
        self._whole = whole
        self.limits = limits
        self._changes: Changes[int] = Changes(lower)
        self._made: set[str] = {""}
        self._opaque: set[str] = set()
        self._times: dict[str, int] = {}
        self._files = 0
        self.size = 0

    def member(self, member: tarfile.TarInfo, stream: TarStream) -> None:
        """Take one entry of the layer."""
        path = self._place(member.name)
        if path.rpartition("/")[2].startswith(_PREFIX):
            self._marker(member, path)
            return
        entry = self._entry(member, path)
        self._times[path] = mtime_of(member)
        if not path:
            if entry.type != "dir":
                raise IntegrityError(f"it replaces the root by a {entry.type}")
            self._changes.put(entry)
        elif entry.type == "hardlink":
            self._link(path, self._place(member.linkname), stream)
        else:
            self._lay(entry, stream.blocks(member))

    def finish(self) -> Diff:
        """Make the whiteouts, give directories what they shall have, and give the diff."""
        diff, _ = self._changes.finish(keep_equal=True)
        for entry in diff.entries:
            self._make_parents(entry.path)
            if entry.type == "whiteout":
                self._writer.other(entry, 0)
            elif entry.type == "dir" and entry.path not in self._made:
                self._make(entry.path)
        for entry in reversed(diff.entries):
            if entry.type == "dir":
                self._writer.finish(entry, self._times.get(entry.path, 0))
        return diff

    def _place(self, name: str) -> str:
        """Where a name of the layer is in the tree: links of its parents are followed inside it."""
        *parents, last = parts_of(name) or [""]
        if _PREFIX in name and any(part.startswith(_PREFIX) for part in parents):
            raise IntegrityError(f"it has something in a removal: {name[:200]!r}")
        parent = written = "/".join(parents)
        if written not in self._made:
            try:
                parent = resolve(self._changes, written)
            except SourceInputError as error:
                raise IntegrityError(f"it has a name that leads nowhere: {error.message}") from None
        if last.startswith(_PREFIX) and parent != written:
            raise IntegrityError(f"it removes something through a link: {name[:200]!r}")
        return join(parent, last).rstrip("/")

    def _marker(self, member: tarfile.TarInfo, path: str) -> None:
        parent, _, name = path.rpartition("/")
        hidden = name[len(_PREFIX) :]
        if self._whole:
            raise IntegrityError(
                f"it has a name that means a removal in a layer: /{path[:200]}",
                hint="leave names that begin with .wh. out of it",
            )
        if name == _OPAQUE:
            # What is hidden stays so: another one would cost another look at every name, and say nothing.
            for each in () if parent in self._opaque else self._lower.children(parent):
                self._changes.hide(join(parent, each))
            self._opaque.add(parent)
        elif hidden in ("", ".", "..") or hidden.startswith(_PREFIX) or not member.isfile():
            raise IntegrityError(f"it has a malformed removal: {path[:200]!r}")
        else:
            # What this layer itself has there stays: a removal means what is below.
            self._changes.hide(join(parent, hidden))

    def _entry(self, member: tarfile.TarInfo, path: str) -> Entry:
        kind = _TYPES.get(member.type)
        if kind is None:
            raise IntegrityError(f"it has an entry of an unknown type: {path[:200]!r}")
        entry = Entry(
            path=path,
            type=kind,
            mode=0o777 if kind == "symlink" else member.mode & 0o7777,
            uid=id_of(member.uid, path),
            gid=id_of(member.gid, path),
            xattrs=self._xattrs(member) if kind in ("file", "dir") else (),
        )
        if kind == "symlink":
            return replace(entry, target=target_of(member.linkname, member.name))
        if kind in ("char", "block"):
            return replace(entry, device=device_of(member))
        return entry

    def _xattrs(self, member: tarfile.TarInfo) -> xattrs.Xattrs:
        if not member.pax_headers:
            return ()
        names = [key for key in member.pax_headers if key.startswith(_XATTR)]
        if len(names) > self.limits.xattrs:
            raise self.limits.passed("xattrs", f"it has an entry with {len(names)} attributes")
        found = ((key[len(_XATTR) :], member.pax_headers[key]) for key in names)
        return tuple(
            sorted((key, value.encode("utf-8", "surrogateescape")) for key, value in found if xattrs.is_kept(key))
        )

    def _lay(self, entry: Entry, content: Iterator[bytes]) -> None:
        path = entry.path
        self._clear(path, keep=entry.type == "dir")
        self._make_parents(path)
        if entry.type == "file":
            written = self._writer.file(entry, content, self._times.get(path, 0))
            self._put(replace(entry, size=written.size, digest=written.digest))
        elif entry.type == "dir":
            if path not in self._made:
                self._make(path)
            self._changes.put(entry)
        else:
            self._writer.other(entry, self._times.get(path, 0))
            self._changes.put(entry)

    def _put(self, file: Entry) -> None:
        self.size += file.size
        self._files += 1
        self._changes.put(file, self._files, link=self._files)

    def _link(self, path: str, target: str, stream: TarStream) -> None:
        found = self._changes.lookup(target) if target else None
        if found is None or found.type == "dir" or target.startswith(f"{path}/"):
            raise IntegrityError(f"it links /{path[:200]} to /{target[:200]}, which is no file in it or below it")
        if path == target:
            return
        if self._changes.changed(target) is None:
            stream.made(found.size)
            self._copy_up(found)
        self._clear(path, keep=False)
        self._make_parents(path)
        self._writer.link(path, target)
        whole = replace(self._changes.changed(target) or found, path=path)
        number = self._changes.carried(target)
        self._changes.put(whole, number, link=number)

    def _copy_up(self, entry: Entry) -> None:
        """A link to a file of a lower layer needs that file in this one."""
        self._times[entry.path] = 0
        if entry.type not in ("file", "hardlink"):
            self._lay(entry, iter(()))
            return
        whole = replace(entry, type="file", target=None)
        if isinstance(self._writer, Outliner):
            self._make_parents(entry.path)
            self._put(whole)
            return
        with self._lower.open(entry.path) as source:
            self._lay(whole, blocks(source))

    def _clear(self, path: str, *, keep: bool) -> None:
        """Take away what this layer made at a path, but for a directory where a directory comes again (`keep`)."""
        old = self._changes.changed(path)
        if old is None or (keep and old.type == "dir"):
            return
        for each in self._changes.below(path):
            found = self._changes.changed(each)
            self._writer.remove(each, directory=found is not None and found.type == "dir")
            self._made.discard(each)
        self._changes.remove(path)

    def _make_parents(self, path: str) -> None:
        """Parents that the layer did not name are what they are below, or 0755 0:0."""
        missing: list[str] = []
        while (path := path.rpartition("/")[0]) not in self._made:
            missing.append(path)
        for each in reversed(missing):
            found = self._changes.lookup(each)
            if found is not None and found.type != "dir":
                raise IntegrityError(f"it has something below /{printable(each)[:200]}, which is a {found.type}")
            if self._changes.changed(each) is None:
                self._changes.put(found or Entry(path=each, type="dir", mode=0o755))
            self._make(each)

    def _make(self, path: str) -> None:
        self._writer.directory(path)
        self._made.add(path)
