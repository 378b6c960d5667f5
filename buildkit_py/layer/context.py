"""A local directory as a tree: what a client offers to a build.

Only the directories that are looked at are read, and a file's bytes only where the stat cache does not know them.
Everything belongs to 0:0 and has no extended attributes, so that the same files give the same tree on every machine.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.openat import DIRECTORY, Root, open_below, open_directory, open_name
from buildkit_py.layer.statcache import StatCache, now, stamp_of
from buildkit_py.layer.tree import ROOT, ancestors, join, printable
from buildkit_py.patterns import Rules

_BLOCK = 1 << 20


class ContextTree:
    """A `Tree` over `root`. Paths that the `ignore` rules leave out are not there; `hidden` paths are in no directory's
    list, though they are found by their own name; neither is a directory that holds nothing but such. Thread-safe.

    With `special`, names of one file are links with one target, sockets are empty files, and devices are there; without
    it every name is a file of its own, sockets are not there, and a device is an error. That target begins with `/`,
    so it is none of the names: which of them comes first depends on what is taken, and only that is looked at.

    Raises `SourceInputError` where something can't be read.
    """

    def __init__(
        self,
        root: Path,
        stats: StatCache,
        *,
        ignore: Iterable[str] = (),
        hidden: Iterable[str] = (),
        special: bool = False,
    ) -> None:
        self._path = os.fspath(root.absolute())
        self._stats = stats
        self._special = special
        self._rules = Rules(ignore)
        self._hidden = frozenset(os.path.normpath(path).lstrip("/") for path in hidden)
        self._holders = frozenset(above for path in self._hidden for above in ancestors(path))
        try:
            self._fd = open_directory(root)
        except OSError as error:
            raise SourceInputError(f"the directory {root} can't be read: {error.strerror}") from error
        self._roots: list[Root] = []
        weakref.finalize(self, _close, self._fd, self._roots)
        self._lock = threading.Lock()
        self._listed: dict[str, dict[str, os.stat_result]] = {}
        self._directories: dict[str, os.stat_result] = {}
        self._entries: dict[str, Entry] = {}

    def lookup(self, path: str) -> Entry | None:
        """The entry of that name, unless it is ignored."""
        if not path:
            return ROOT
        known = self._entries.get(path)
        if known is not None:
            return known
        directory, _, name = path.rpartition("/")
        status = self._list(directory).get(name)
        if status is None or not self._offered(path, status):
            return None
        entry = self._entry(path, status)
        self._entries[path] = entry
        return entry

    def children(self, path: str) -> Iterable[str]:
        """The names that are neither ignored nor hidden."""
        found = self._list(path)
        return sorted(
            name
            for name, status in found.items()
            if self._listed_in(join(path, name), status) and self._offered(join(path, name), status)
        )

    def open(self, path: str) -> BinaryIO:
        """The file as it is now; a socket holds nothing."""
        if self._special and self._is_socket(path):
            return io.BytesIO()
        try:
            return io.FileIO(self._opened(path), "rb")
        except OSError as error:
            raise self._failure(path, error) from error

    def _opened(self, path: str) -> int:
        """A descriptor of a regular file. The directory it is in stays open for the next one."""
        try:
            root = self._roots.pop()
        except IndexError:
            root = Root(Path(self._path), self._fd)
        try:
            parent, name = root.parent(path)
            return open_name(parent, name)
        finally:
            self._roots.append(root)

    def seen(self) -> Iterator[tuple[str, dict[str, os.stat_result]]]:
        """Every directory that was looked at, by its absolute path, with the state (as it was then) of the names in it
        that were asked for, and its own as `""`."""
        asked: dict[str, dict[str, os.stat_result]] = {place: {} for place in self._directories}
        for path in self._entries:
            directory, _, name = path.rpartition("/")
            asked[directory][name] = self._listed[directory][name]
        real = os.path.realpath(self._path)
        for directory, names in asked.items():
            yield f"{real}/{directory}".rstrip("/"), {"": self._directories[directory], **names}

    def _listed_in(self, path: str, status: os.stat_result) -> bool:
        """Whether its directory's list has it. What was made only to hold hidden paths comes and goes with them."""
        if path in self._hidden:
            return False
        return path not in self._holders or not stat.S_ISDIR(status.st_mode) or bool(self.children(path))

    def _offered(self, path: str, status: os.stat_result) -> bool:
        if stat.S_ISSOCK(status.st_mode) and not self._special:
            return False
        if not self._rules.excludes(path):
            return True
        # An ignored directory is there as soon as a rule takes something in it in again.
        return stat.S_ISDIR(status.st_mode) and not self._rules.prunes(path) and bool(self.children(path))

    def _list(self, directory: str) -> dict[str, os.stat_result]:
        with self._lock:
            found = self._listed.get(directory)
        if found is None:
            found = self._read(directory)
            with self._lock:
                self._listed[directory] = found
        return found

    def _read(self, directory: str) -> dict[str, os.stat_result]:
        try:
            fd = open_below(self._fd, directory, DIRECTORY)
        except OSError as error:
            # Not there, a file, or a link: the tree has no such directory.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                return {}
            raise self._failure(directory, error) from error
        try:
            self._directories[directory] = os.fstat(fd)
            with os.scandir(fd) as found:
                return {each.name: each.stat(follow_symlinks=False) for each in found}
        except OSError as error:
            raise self._failure(directory, error) from error
        finally:
            os.close(fd)

    def _entry(self, path: str, status: os.stat_result) -> Entry:
        mode = stat.S_IMODE(status.st_mode)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            size, digest = self._digest(path, status)
            if self._special and status.st_nlink > 1:
                group = f"/{status.st_dev}:{status.st_ino}"
                return Entry(path=path, type="hardlink", mode=mode, size=size, digest=digest, target=group)
            return Entry(path=path, type="file", mode=mode, size=size, digest=digest)
        if kind == stat.S_IFDIR:
            return Entry(path=path, type="dir", mode=mode)
        if kind == stat.S_IFLNK:
            return Entry(path=path, type="symlink", mode=0o777, target=self._target(path))
        if kind == stat.S_IFIFO:
            return Entry(path=path, type="fifo", mode=mode)
        if not self._special:
            raise SourceInputError(
                f"{printable(path)} in {self._path} is a device", hint="name it in the ignore file, or move it away"
            )
        if kind == stat.S_IFSOCK:
            return Entry(path=path, type="file", mode=mode, digest=str(Digest.of(b"")))
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        return Entry(path=path, type="char" if kind == stat.S_IFCHR else "block", mode=mode, device=device)

    def _is_socket(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        status = self._list(directory).get(name)
        return status is not None and stat.S_ISSOCK(status.st_mode)

    def _target(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        try:
            fd = open_below(self._fd, directory, DIRECTORY)
            try:
                return os.readlink(name, dir_fd=fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(path, error) from error

    def _digest(self, path: str, status: os.stat_result) -> tuple[int, str]:
        directory, _, name = path.rpartition("/")
        place = f"{self._path}/{directory}"
        known = self._stats.get(place, name, stamp_of(status))
        if known is not None:
            return status.st_size, known
        read_at = now()
        hashed = hashlib.sha256()
        with self.open(path) as file:
            before = os.fstat(file.fileno())
            left = before.st_size
            while block := file.read(min(left + 1, _BLOCK)):
                hashed.update(block)
                left -= len(block)
                if left <= 0:
                    break
            after = os.fstat(file.fileno())
        if stamp_of(before) != stamp_of(after) or left:
            raise SourceInputError(
                f"{printable(path)} in {self._path} changed while it was being read", hint="run the same command again"
            )
        digest = f"sha256:{hashed.hexdigest()}"
        self._stats.put(place, name, stamp_of(after), digest, read_at=read_at)
        return after.st_size, digest

    def _failure(self, path: str, error: OSError) -> SourceInputError:
        return SourceInputError(f"{printable(path) or '.'} in {self._path} can't be read: {error.strerror}")


def _close(fd: int, roots: list[Root]) -> None:
    for root in roots:
        root.forget()
    os.close(fd)
