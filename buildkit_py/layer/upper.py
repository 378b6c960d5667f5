"""Reading what a process changed: an overlay's upper directory, or a whole copy, becomes a diff and a clean snapshot.

The upper directory only names candidates. What equals the lower tree in all but its modification time is dropped from the diff
and from the directory; opaque directories become whiteouts of the names that are gone; overlayfs's own attributes, sockets,
mount stubs and whatever was left under /dev, /proc and /sys go; every remaining entry gets the time of the build.

Everything is done through descriptors of directories, so that no link is ever followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from buildkit_py.errors import StoreError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import Tree

BLOCK = 1 << 20
SYSTEM = ("dev", "proc", "sys")
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_KEPT = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


def collect(upper: Path, lower: Tree, *, epoch: int, stubs: Collection[str] = ()) -> Diff:
    """The diff that an upper directory holds over `lower`; the directory is left as that diff's snapshot."""
    return _read(upper, lower, epoch, stubs, whole=False)


def collect_full(tree: Path, lower: Tree, upper: Path, *, epoch: int, stubs: Collection[str] = ()) -> Diff:
    """The diff between `lower` and a whole tree made from it; its snapshot is left in the empty directory `upper`."""
    diff = _read(tree, lower, epoch, stubs, whole=True)
    tree.rename(upper.parent / "whole")
    upper.rmdir()
    (upper.parent / "whole").rename(upper)
    return diff


def _read(upper: Path, lower: Tree, epoch: int, stubs: Collection[str], *, whole: bool) -> Diff:
    reader = _Reader(lower, epoch, frozenset(stub.strip("/") for stub in stubs))
    try:
        root = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            reader.directory(root, "", opaque=whole)
            os.utime(root, (epoch, epoch))
        finally:
            os.close(root)
    except OSError as error:
        raise StoreError(f"what the step changed can't be read: {error.strerror}: {error.filename}") from None
    return reader.diff()


class _Reader:
    def __init__(self, lower: Tree, epoch: int, stubs: Collection[str]) -> None:
        self._lower = lower
        self._epoch = epoch
        self._stubs = stubs
        self._entries: dict[str, Entry] = {}
        self._links: dict[tuple[int, int], list[str]] = {}

    def diff(self) -> Diff:
        """All changes, each with the parents that it stands in. The first name of a file is the file, others are links."""
        for paths in self._links.values():
            first, *others = sorted(paths)
            for path in others:
                self._entries[path] = replace(self._entries[path], type="hardlink", target=first)
        return Diff.of(self._entries.values())

    def directory(self, fd: int, path: str, *, opaque: bool) -> bool:
        """Read what is in a directory; True if anything in it is a change."""
        changed = False
        names = sorted(os.listdir(fd))
        for name in names:
            changed |= self._name(fd, name, f"{path}/{name}" if path else name, opaque)
        if opaque:
            changed |= self._gone(fd, path, set(names))
        if changed:
            self._entries.setdefault(path, self._directory_entry(fd, path))
        return changed

    def _directory_entry(self, fd: int, path: str) -> Entry:
        facts = os.fstat(fd)
        return Entry(
            path=path,
            type="dir",
            mode=stat.S_IMODE(facts.st_mode),
            uid=facts.st_uid,
            gid=facts.st_gid,
            xattrs=_xattrs(f"/proc/self/fd/{fd}"),
        )

    def _gone(self, fd: int, path: str, names: Collection[str]) -> bool:
        """Whiteouts for what the lower directory has and this one, which hides it, has not."""
        below = self._lower.lookup(path)
        if below is None or below.type != "dir":
            return False
        missing = [
            name
            for name in self._lower.children(path)
            if name not in names and not (path == "" and name in SYSTEM) and not self._is_system(f"{path}/{name}")
        ]
        for name in missing:
            whole = f"{path}/{name}" if path else name
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)
            self._entries[whole] = Entry(path=whole, type="whiteout")
        return bool(missing)

    @staticmethod
    def _is_system(path: str) -> bool:
        return path.strip("/").partition("/")[0] in SYSTEM and "/" in path.strip("/")

    def _name(self, fd: int, name: str, path: str, opaque: bool) -> bool:
        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if self._is_system(path) or stat.S_ISSOCK(facts.st_mode):
            _remove(fd, name, facts)
            return False
        if stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0:
            return self._whiteout(fd, name, path)
        if stat.S_ISDIR(facts.st_mode):
            return self._subdirectory(fd, name, path, facts, opaque)
        entry = self._leaf(fd, name, path, facts)
        if path in self._stubs and entry.type == "file" and entry.size == 0 and self._lower.lookup(path) is None:
            os.unlink(name, dir_fd=fd)
            return False
        if self._is_same(entry):
            os.unlink(name, dir_fd=fd)
            return False
        self._entries[path] = entry
        if entry.type == "file" and facts.st_nlink > 1:
            self._links.setdefault((facts.st_dev, facts.st_ino), []).append(path)
        self._clean(fd, name)
        return True

    def _whiteout(self, fd: int, name: str, path: str) -> bool:
        if self._lower.lookup(path) is None or self._is_system(path):
            os.unlink(name, dir_fd=fd)
            return False
        self._entries[path] = Entry(path=path, type="whiteout")
        return True

    def _subdirectory(self, fd: int, name: str, path: str, facts: os.stat_result, opaque: bool) -> bool:
        below = self._lower.lookup(path)
        with _opened(fd, name) as inner:
            hidden = opaque or _is_opaque(inner) or below is None or below.type != "dir"
            changed = self.directory(inner, path, opaque=hidden)
            entry = self._directory_entry(inner, path)
            if not changed and below is not None and below.type == "dir" and entry == below:
                empty = not os.listdir(inner)
                if empty:
                    os.rmdir(name, dir_fd=fd)
                return False
            stub = path in self._stubs and below is None and not changed and not os.listdir(inner)
        if stub:
            os.rmdir(name, dir_fd=fd)
            return False
        self._entries[path] = entry
        self._clean(fd, name)
        return True

    def _leaf(self, fd: int, name: str, path: str, facts: os.stat_result) -> Entry:
        place = f"/proc/self/fd/{fd}/{name}"
        mode = stat.S_IMODE(facts.st_mode)
        entry = Entry(path=path, type="file", mode=mode, uid=facts.st_uid, gid=facts.st_gid, xattrs=_xattrs(place))
        if stat.S_ISLNK(facts.st_mode):
            return replace(entry, type="symlink", mode=0o777, target=os.readlink(name, dir_fd=fd))
        if stat.S_ISFIFO(facts.st_mode):
            return replace(entry, type="fifo")
        if stat.S_ISREG(facts.st_mode):
            return replace(entry, size=facts.st_size, digest=_digest(fd, name))
        kind = "char" if stat.S_ISCHR(facts.st_mode) else "block"
        return replace(entry, type=kind, device=(os.major(facts.st_rdev), os.minor(facts.st_rdev)))

    def _is_same(self, entry: Entry) -> bool:
        below = self._lower.lookup(entry.path)
        if below is not None and below.type == "hardlink":
            below = replace(below, type="file", target=None)
        return below == entry

    def _clean(self, fd: int, name: str) -> None:
        place = f"/proc/self/fd/{fd}/{name}"
        for attribute in os.listxattr(place, follow_symlinks=False):
            if attribute.startswith(_OVERLAY):
                os.removexattr(place, attribute, follow_symlinks=False)
        os.utime(name, (self._epoch, self._epoch), dir_fd=fd, follow_symlinks=False)


@contextmanager
def _opened(fd: int, name: str) -> Iterator[int]:
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        yield inner
    finally:
        os.close(inner)


def _is_opaque(fd: int) -> bool:
    for name in _OPAQUE:
        try:
            if os.getxattr(f"/proc/self/fd/{fd}", name) in (b"y", b"x"):
                return True
        except OSError:
            continue
    return False


def _xattrs(place: str) -> tuple[tuple[str, bytes], ...]:
    follow = place.rpartition("/")[2].isdigit() and place.count("/") == 4
    names = sorted(
        name for name in os.listxattr(place, follow_symlinks=follow) if name in _KEPT or name.startswith("user.")
    )
    kept = [name for name in names if not name.startswith(_OVERLAY)]
    return tuple((name, os.getxattr(place, name, follow_symlinks=follow)) for name in kept)


def _digest(fd: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    with open(file, "rb", buffering=0) as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _remove(fd: int, name: str, facts: os.stat_result) -> None:
    if not stat.S_ISDIR(facts.st_mode):
        os.unlink(name, dir_fd=fd)
        return
    with _opened(fd, name) as inner:
        for each in os.listdir(inner):
            _remove(inner, each, os.stat(each, dir_fd=inner, follow_symlinks=False))
    os.rmdir(name, dir_fd=fd)
