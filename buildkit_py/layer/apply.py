"""Applying: somebody else's layer becomes a snapshot, member by member, through descriptors that no link can divert.

Whiteouts become character devices 0:0, opaque markers whiteouts of the names that the lower tree has. A parent that is a symbolic
link leads where it leads *inside* the tree. Anything that no honest tool writes is refused with `IntegrityError`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from buildkit_py.errors import IntegrityError, SandboxError, SourceInputError, StoreError
from buildkit_py.layer.decompress import decompressed
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ROOT, Tree, resolve

BLOCK = 1 << 20
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
class Limits:
    """What one layer may hold: bytes unpacked, entries, and attributes of one entry."""

    bytes: int = 256 << 30
    entries: int = 10_000_000
    xattrs: int = 128
    pax: int = 1 << 20


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
    bounds = limits or Limits()
    stream = _Hashed(decompressed(blob), bounds.bytes)
    applier = _Applier(directory, lower, bounds)
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_member(bounds)) as archive:  # type: ignore[call-overload]
            for member in archive:
                applier.member(member, archive)
                archive.members = []
        stream.drain()
        diff = applier.finish()
    except (tarfile.TarError, EOFError, zlib.error, UnicodeError, ValueError) as error:
        raise IntegrityError(f"the layer can't be read: {error}") from None
    except OSError as error:
        raise StoreError(f"the layer can't be unpacked: {error.strerror or error}: {error.filename or ''}") from None
    return Applied(diff=diff, diff_id=stream.digest, size=applier.size)


def _member(limits: Limits) -> type[tarfile.TarInfo]:
    class Member(tarfile.TarInfo):
        """Refuses extended headers that are larger than any honest one."""

        def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
            extended = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
            if self.type in (*extended, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > limits.pax:
                raise IntegrityError(f"the layer has an extended header of {self.size} bytes, {limits.pax} is the most")
            made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
            return made

    return Member


class _Hashed:
    """Counts and hashes what is read of a tar."""

    def __init__(self, source: IO[bytes], limit: int) -> None:
        self._source = source
        self._left = limit
        self._hasher = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hasher.hexdigest()}"

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise IntegrityError("the layer unpacks to more bytes than is allowed")
        self._hasher.update(data)
        return data

    def drain(self) -> None:
        while self.read(BLOCK):
            pass


class _Applier:
    def __init__(self, directory: Path, lower: Tree, limits: Limits) -> None:
        self._root = directory
        self._lower = lower
        self._limits = limits
        self._entries: dict[str, Entry] = {}
        self._opaque: list[str] = []
        self._times: dict[str, float] = {}
        self._count = 0
        self.size = 0

    # The layer's own entries come before what is below: this is the tree that links are resolved in.
    def lookup(self, path: str) -> Entry | None:
        found = self._entries.get(path)
        if found is not None:
            return None if found.type == "whiteout" else found
        return self._lower.lookup(path)

    def children(self, path: str) -> Iterator[str]:
        yield from self._lower.children(path)

    def open(self, path: str) -> BinaryIO:
        return self._lower.open(path)

    def member(self, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        self._count += 1
        if self._count > self._limits.entries:
            raise IntegrityError(f"the layer has more than {self._limits.entries} entries")
        path = self._place(member.name, directory=member.isdir())
        name = path.rpartition("/")[2]
        if name.startswith(_PREFIX):
            self._marker(path, name)
            return
        entry = self._entry(member, path)
        if not path:
            if entry.type != "dir":
                raise IntegrityError(f"the layer replaces the root by a {entry.type}")
            self._entries[""] = entry
            return
        self._parents(path)
        self._replace(path, entry)
        self._lay(entry, member, archive)
        self._times[path] = max(member.mtime, 0)

    def finish(self) -> Diff:
        """Set what must come last, and give the diff."""
        for path in self._opaque:
            self._hide(path)
        self._regroup()
        for path in list(self._entries):
            self._parents(path)
        if self._entries:
            self._entries.setdefault("", self._lower.lookup("") or ROOT)
        for path in sorted(self._entries, reverse=True):
            self._finish_entry(self._entries[path])
        return Diff.of(self._entries.values())

    def _place(self, name: str, *, directory: bool) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in name:
            raise IntegrityError(f"the layer has a name that leads out of it: {name[:200]!r}")
        if not parts:
            return ""
        try:
            parent = resolve(self, "/".join(parts[:-1]))
        except SourceInputError as error:
            raise IntegrityError(f"the layer has a name that leads nowhere: {error.message}") from None
        path = "/".join(piece for piece in (parent, parts[-1]) if piece)
        below = self.lookup(path)
        if directory and below is not None and below.type == "symlink":
            # A directory over a link to a directory: the link is replaced, as tar does.
            return path
        return path

    def _marker(self, path: str, name: str) -> None:
        parent = path.rpartition("/")[0]
        if name == _OPAQUE:
            self._opaque.append(parent)
            return
        hidden = name[len(_PREFIX) :]
        if hidden in ("", ".", "..") or hidden.startswith(_PREFIX):
            raise IntegrityError(f"the layer has a malformed removal: {path[:200]!r}")
        target = f"{parent}/{hidden}" if parent else hidden
        if self._lower.lookup(target) is not None and target not in self._entries:
            self._parents(target)
            self._whiteout(target)

    def _whiteout(self, path: str) -> None:
        self._make_parents(path)
        os.mknod(self._root / path, stat.S_IFCHR, 0)
        self._entries[path] = Entry(path=path, type="whiteout")

    def _hide(self, path: str) -> None:
        entry = self._lower.lookup(path)
        if entry is None or entry.type != "dir":
            return
        for name in self._lower.children(path):
            whole = f"{path}/{name}" if path else name
            found = self._entries.get(whole)
            if found is None:
                self._parents(whole)
                self._whiteout(whole)
            elif found.type == "dir":
                self._hide(whole)

    def _entry(self, member: tarfile.TarInfo, path: str) -> Entry:
        kind = _TYPES.get(member.type)
        if kind is None:
            raise IntegrityError(f"the layer has an entry of an unknown type: {path[:200]!r}")
        entry = Entry(
            path=path,
            type=kind,
            mode=0o777 if kind == "symlink" else member.mode & 0o7777,
            uid=_id(member.uid, path),
            gid=_id(member.gid, path),
            xattrs=self._xattrs(member),
        )
        if kind == "symlink":
            return replace(entry, target=member.linkname)
        if kind == "hardlink":
            return self._hardlink(entry, member)
        if kind in ("char", "block"):
            return replace(entry, device=(member.devmajor, member.devminor))
        return entry

    def _hardlink(self, entry: Entry, member: tarfile.TarInfo) -> Entry:
        target = self._place(member.linkname, directory=False)
        found = self._entries.get(target)
        if found is None:
            found = self._lower.lookup(target)
            if found is None or found.type not in ("file", "hardlink"):
                raise IntegrityError(f"the layer links /{entry.path[:200]} to /{target[:200]}, which is not there")
            self._copy_up(target, found)
        if found.type in ("dir", "whiteout"):
            raise IntegrityError(f"the layer links /{entry.path[:200]} to a {found.type}")
        return replace(found, path=entry.path, type="hardlink", target=target)

    def _copy_up(self, path: str, entry: Entry) -> None:
        """A link to a file of a lower layer needs that file in this one."""
        self._parents(path)
        self._make_parents(path)
        with self._lower.open(path) as source, open(self._root / path, "xb") as file:
            while block := source.read(BLOCK):
                file.write(block)
        self._entries[path] = replace(entry, type="file", target=None)

    def _xattrs(self, member: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
        found: list[tuple[str, bytes]] = []
        for key, value in member.pax_headers.items():
            name = key[len(_XATTR) :]
            if key.startswith(_XATTR) and not name.startswith(("trusted.overlay.", "user.overlay.")):
                found.append((name, value.encode("utf-8", "surrogateescape")))
        if len(found) > self._limits.xattrs:
            raise IntegrityError(
                f"an entry of the layer has {len(found)} attributes, {self._limits.xattrs} is the most"
            )
        return tuple(sorted(found))

    def _parents(self, path: str) -> None:
        """Parents that the layer did not name are what they are below, or 0755 0:0."""
        while path:
            path = path.rpartition("/")[0]
            if path and path not in self._entries:
                below = self._lower.lookup(path)
                entry = below if below is not None and below.type == "dir" else Entry(path=path, type="dir", mode=0o755)
                self._entries[path] = entry
            elif path and self._entries[path].type != "dir":
                raise IntegrityError(f"the layer has something below /{path[:200]}, which is not a directory")

    def _make_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent:
            (self._root / parent).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _replace(self, path: str, entry: Entry) -> None:
        old = self._entries.get(path)
        if old is not None and not (old.type == "dir" and entry.type == "dir"):
            _remove(self._root / path)
            for each in [each for each in self._entries if each.startswith(f"{path}/")]:
                del self._entries[each]
        self._entries[path] = entry

    def _lay(self, entry: Entry, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        self._make_parents(entry.path)
        place = self._root / entry.path
        match entry.type:
            case "dir":
                place.mkdir(mode=0o700, exist_ok=True)
            case "symlink":
                place.symlink_to(entry.target or "")
            case "hardlink":
                os.link(self._root / (entry.target or ""), place, follow_symlinks=False)
            case "fifo":
                os.mkfifo(place)
            case "file":
                self._write(entry, member, archive)
            case _:
                self._node(entry, place)

    def _write(self, entry: Entry, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        hasher, size = hashlib.sha256(), 0
        source = archive.extractfile(member)
        with open(self._root / entry.path, "xb", buffering=0) as file:
            while source is not None and (block := source.read(BLOCK)):
                hasher.update(block)
                file.write(block)
                size += len(block)
        if size != member.size:
            raise IntegrityError(f"the layer ends in the middle of /{entry.path[:200]}")
        self.size += size
        self._entries[entry.path] = replace(entry, size=size, digest=f"sha256:{hasher.hexdigest()}")

    @staticmethod
    def _node(entry: Entry, place: Path) -> None:
        kind = stat.S_IFCHR if entry.type == "char" else stat.S_IFBLK
        try:
            os.mknod(place, kind | 0o600, os.makedev(*(entry.device or (0, 0))))
        except PermissionError:
            raise SandboxError(
                f"the image has a device, /{entry.path}, which an ordinary user can't make", hint="build as root"
            ) from None

    def _regroup(self) -> None:
        """The first name of a file in path order is the file, whatever the layer's order was."""
        groups: dict[str, list[str]] = {}
        for path, entry in self._entries.items():
            if entry.type == "hardlink" and entry.target is not None:
                target = entry.target
                while (found := self._entries.get(target)) is not None and found.type == "hardlink" and found.target:
                    target = found.target
                groups.setdefault(target, [target]).append(path)
        for target, paths in groups.items():
            whole = self._entries[target]
            if whole.type != "file":
                continue
            first, *others = sorted(paths)
            self._entries[first] = replace(whole, path=first)
            for path in others:
                self._entries[path] = replace(whole, path=path, type="hardlink", target=first)

    def _finish_entry(self, entry: Entry) -> None:
        if entry.type == "whiteout" or (entry.type == "hardlink" and entry.digest is None):
            return
        place = self._root / entry.path
        if entry.type == "dir":
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(place, entry.uid, entry.gid, follow_symlinks=False)
        if entry.type != "symlink":
            place.chmod(entry.mode)
        for name, value in entry.xattrs:
            os.setxattr(place, name, value, follow_symlinks=False)
        time = self._times.get(entry.path, 0)
        os.utime(place, (time, time), follow_symlinks=False)


def _id(number: int, path: str) -> int:
    if not 0 <= number <= 2**32 - 2:
        raise IntegrityError(f"the layer gives /{path[:200]} to the user or group {number}")
    return number


def _remove(path: Path) -> None:
    """Remove what this layer made itself: real directories below the private root, so no link is followed."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
