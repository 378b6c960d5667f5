"""Reading what a process changed: an overlay's upper directory, or a whole copy, becomes a diff and a clean snapshot.

The upper directory only names candidates. What equals the lower tree in all but its modification time is dropped from
the diff and from the directory; opaque directories become whiteouts of the names that are gone; overlayfs's own
attributes, sockets, mount stubs and whatever was left under /dev, /proc and /sys go; every remaining entry gets the
time of the build.

Everything is done through descriptors of directories, so that no link is ever followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import BinaryIO, Literal

from buildkit_py.dataclass import replace
from buildkit_py.errors import Cancelled, StepError, StoreError
from buildkit_py.layer import xattrs
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.links import share
from buildkit_py.layer.tree import MAX_DEPTH, ROOT, Tree, join, printable, same
from buildkit_py.layer.whiteout import make_whiteout

Attributes = Literal["all", "capabilities"]
SYSTEM = ("dev", "proc", "sys")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20


def collect(
    upper: Path,
    lower: Tree,
    *,
    epoch: int,
    stubs: Collection[str] = (),
    hidden: Collection[str] = SYSTEM,
    attributes: Attributes = "all",
    cancelled: Event | None = None,
) -> Diff:
    """The diff that an upper directory holds over `lower`; the directory is left as that diff's snapshot.

    What is below the `hidden` directories of the root is no part of it. `stubs` are mount points that the engine made.
    `attributes` says whether what changed keeps all that belong to files, or capabilities alone.
    Raises `StepError` for what no layer can hold, `StoreError` where the directory can't be read, `Cancelled`.
    """
    return _read(upper, _Reader(lower, epoch, stubs, hidden, attributes, cancelled), opaque=False)


def collect_full(
    tree: Path,
    lower: Tree,
    upper: Path,
    *,
    epoch: int,
    stubs: Collection[str] = (),
    attributes: Attributes = "all",
    cancelled: Event | None = None,
) -> Diff:
    """The diff between `lower` and a whole tree made from it; its snapshot takes the place of the empty directory
    `upper`."""
    diff = _read(tree, _Reader(lower, epoch, stubs, SYSTEM, attributes, cancelled), opaque=True)
    try:
        tree.rename(upper)
    except OSError as error:
        raise StoreError(f"what the step changed can't be moved: {error.strerror}: {upper}") from None
    return diff


def _read(directory: Path, reader: _Reader, *, opaque: bool) -> Diff:
    try:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return reader.root(root, opaque=opaque)
        finally:
            os.close(root)
    except OSError as error:
        raise StoreError(f"what the step changed can't be read: {error.strerror}: {error.filename}") from None


class _Reader:
    def __init__(
        self,
        lower: Tree,
        epoch: int,
        stubs: Collection[str],
        hidden: Collection[str],
        attributes: Attributes,
        cancelled: Event | None,
    ) -> None:
        self._cancelled = cancelled
        self._lower = lower
        self._epoch = epoch
        self._all = attributes == "all"
        self._stubs = frozenset(stub.strip("/") for stub in stubs)
        self._hidden = frozenset(hidden)
        self._entries: dict[str, Entry] = {}
        self._inodes: dict[str, tuple[int, int]] = {}

    def root(self, fd: int, *, opaque: bool) -> Diff:
        """All changes, each with the directories above it. The first name of a file is the file, others are links."""
        self._directory(fd, "", opaque=opaque)
        entry = self._directory_entry(fd, "")
        below = replace(self._lower.lookup("") or ROOT, path="")
        if "" in self._entries or self._differs(entry, below):
            self._entries[""] = self._stripped(entry, below, fd)
        xattrs.forget_overlay(fd)
        os.utime(fd, (self._epoch, self._epoch))
        found = sorted(self._entries.values(), key=lambda entry: entry.path)
        return Diff(tuple(share([(entry, self._inodes.get(entry.path)) for entry in found])))

    def _directory(self, fd: int, path: str, *, opaque: bool) -> bool:
        """Read what is in a directory; True if anything in it is a change."""
        if path.count("/") >= MAX_DEPTH:
            raise StepError(f"/{printable(path[:200])}… leads through more than {MAX_DEPTH} directories")
        changed = False
        names = sorted(os.listdir(fd))
        for name in names:
            changed |= self._name(fd, name, join(path, name), opaque)
        if opaque:
            changed |= self._gone(fd, path, set(names))
        if changed:
            self._entries[path] = self._directory_entry(fd, path)
        return changed

    @staticmethod
    def _directory_entry(fd: int, path: str) -> Entry:
        facts = os.fstat(fd)
        return Entry(
            path=path,
            type="dir",
            mode=stat.S_IMODE(facts.st_mode),
            uid=facts.st_uid,
            gid=facts.st_gid,
            xattrs=xattrs.kept(fd),
        )

    def _differs(self, entry: Entry, below: Entry | None) -> bool:
        """Whether an entry is a change, also without the attributes that are not kept."""
        return not same(entry, below) and (self._all or not same(_bare(entry), below))

    def _stripped(self, entry: Entry, below: Entry | None, fd: int) -> Entry:
        """An entry as it is kept; where it is a change, the other attributes go from the open file too."""
        if self._all or same(entry, below):
            return entry
        bare = _bare(entry)
        for name, _ in entry.xattrs:
            if name not in dict(bare.xattrs):
                os.removexattr(fd, name)
        return bare

    def _gone(self, fd: int, path: str, names: Collection[str]) -> bool:
        """Whiteouts for what the lower directory has and this one, which hides it, has not."""
        gone = [
            name
            for name in self._lower.children(path)
            if name not in names and not (name in self._hidden if path == "" else self._is_hidden(join(path, name)))
        ]
        for name in gone:
            make_whiteout(name, fd)
            self._entries[join(path, name)] = Entry(path=join(path, name), type="whiteout")
        return bool(gone)

    def _is_hidden(self, path: str) -> bool:
        first, slash, _ = path.partition("/")
        return bool(slash) and first in self._hidden

    def _name(self, fd: int, name: str, path: str, opaque: bool) -> bool:
        self._check()
        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if self._is_hidden(path) or stat.S_ISSOCK(facts.st_mode):
            _remove(fd, name, facts)
            return False
        if stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0:
            return self._whiteout(fd, name, path)
        if stat.S_ISDIR(facts.st_mode):
            return self._subdirectory(fd, name, path, opaque)
        if stat.S_ISREG(facts.st_mode):
            return self._file(fd, name, path)
        return self._other(fd, name, path, facts)

    def _whiteout(self, fd: int, name: str, path: str) -> bool:
        if self._lower.lookup(path) is None:
            os.unlink(name, dir_fd=fd)
            return False
        self._entries[path] = Entry(path=path, type="whiteout")
        return True

    def _subdirectory(self, fd: int, name: str, path: str, opaque: bool) -> bool:
        below = self._lower.lookup(path)
        with _opened(fd, name, _DIRECTORY) as inner:
            is_opaque = xattrs.is_opaque(inner)
            changed = self._directory(inner, path, opaque=opaque or is_opaque)
            entry = self._directory_entry(inner, path)
            is_new = below is None and not (path in self._stubs and not os.listdir(inner))
            if changed or is_new or (below is not None and self._differs(entry, below)):
                self._entries[path] = self._stripped(entry, below, inner)
                xattrs.forget_overlay(inner)
                os.utime(inner, (self._epoch, self._epoch))
                return True
        os.rmdir(name, dir_fd=fd)
        return False

    def _check(self) -> None:
        """A sparse file may seem larger than the disk, and empty files cost a step nothing: who waits may want to
        stop."""
        if self._cancelled is not None and self._cancelled.is_set():
            raise Cancelled("the step was stopped")

    def _digest(self, content: BinaryIO) -> str:
        digest = hashlib.sha256()
        while block := content.read(_BLOCK):
            self._check()
            digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def _file(self, fd: int, name: str, path: str) -> bool:
        with _opened(fd, name, _FILE) as file:
            facts = os.fstat(file)
            with open(file, "rb", buffering=0, closefd=False) as content:
                digest = self._digest(content)
            entry = Entry(
                path=path,
                type="file",
                mode=stat.S_IMODE(facts.st_mode),
                uid=facts.st_uid,
                gid=facts.st_gid,
                size=facts.st_size,
                digest=digest,
                xattrs=xattrs.kept(file),
            )
            below = self._lower.lookup(path)
            is_stub = path in self._stubs and facts.st_size == 0 and below is None
            if not is_stub and self._differs(entry, below):
                self._entries[path] = self._stripped(entry, below, file)
                if facts.st_nlink > 1:
                    self._inodes[path] = (facts.st_dev, facts.st_ino)
                xattrs.forget_overlay(file)
                os.utime(file, (self._epoch, self._epoch))
                return True
        os.unlink(name, dir_fd=fd)
        return False

    def _other(self, fd: int, name: str, path: str, facts: os.stat_result) -> bool:
        """A symbolic link, a pipe or a device; opening one could wait for ever, or do something."""
        entry = Entry(path=path, type="fifo", mode=stat.S_IMODE(facts.st_mode), uid=facts.st_uid, gid=facts.st_gid)
        if stat.S_ISLNK(facts.st_mode):
            entry = replace(entry, type="symlink", mode=0o777, target=os.readlink(name, dir_fd=fd))
        elif not stat.S_ISFIFO(facts.st_mode):
            device = (os.major(facts.st_rdev), os.minor(facts.st_rdev))
            entry = replace(entry, type="char" if stat.S_ISCHR(facts.st_mode) else "block", device=device)
        if entry == self._lower.lookup(path):
            os.unlink(name, dir_fd=fd)
            return False
        self._entries[path] = entry
        xattrs.forget_overlay_of(fd, name)
        os.utime(name, (self._epoch, self._epoch), dir_fd=fd, follow_symlinks=False)
        return True


def _bare(entry: Entry) -> Entry:
    return replace(entry, xattrs=tuple(each for each in entry.xattrs if each[0] == xattrs.CAPABILITY))


@contextmanager
def _opened(fd: int, name: str, flags: int) -> Iterator[int]:
    inner = os.open(name, flags, dir_fd=fd)
    try:
        yield inner
    finally:
        os.close(inner)


def _remove(fd: int, name: str, facts: os.stat_result) -> None:
    if not stat.S_ISDIR(facts.st_mode):
        os.unlink(name, dir_fd=fd)
        return
    with _opened(fd, name, _DIRECTORY) as inner:
        for each in os.listdir(inner):
            _remove(inner, each, os.stat(each, dir_fd=inner, follow_symlinks=False))
    os.rmdir(name, dir_fd=fd)
