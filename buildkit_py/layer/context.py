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
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.openat import DIRECTORY, Root, open_any, open_below, open_directory, open_name
from buildkit_py.layer.statcache import StatCache, now, stamp_of
from buildkit_py.layer.tree import ROOT, ancestors, printable
from buildkit_py.patterns import Rules
from buildkit_py.receipt import Stamp, stamp

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
        self._listed: dict[str, dict[str, int]] = {}
        self._offered: dict[str, list[str]] = {}
        self._directories: dict[str, Stamp] = {}
        self._entries: dict[str, tuple[Entry, Stamp]] = {}

    def lookup(self, path: str) -> Entry | None:
        """The entry of that name, unless it is ignored."""
        if not path:
            return ROOT
        known = self._entries.get(path)
        if known is not None:
            return known[0]
        directory, _, name = path.rpartition("/")
        kind = self._list(directory).get(name)
        if kind is None or not self._is_offered(path, kind, self._rules.excludes(path)):
            return None
        status = self._state(path)
        if status is None:
            return None
        # Of two threads that ask at once, one gives what it saw, and when.
        return self._entries.setdefault(path, (self._entry(path, status), stamp(status)))[0]

    def leaves_out(self, path: str) -> bool:
        """Whether there is something of that name that the ignore rules leave out."""
        directory, _, name = path.rpartition("/")
        return name in self._list(directory) and self._rules.excludes(path)

    def children(self, path: str) -> Iterable[str]:
        """The names that are neither ignored nor hidden."""
        known = self._offered.get(path)
        if known is None:
            found, above = self._list(path), f"{path}/" if path else ""
            known = self._offered[path] = sorted(self._picked(found, above, self._rules.within(path)))
        return known

    def _picked(self, found: Mapping[str, int], above: str, excluded: Callable[[str], bool]) -> Iterator[str]:
        for name, kind in found.items():
            path = above + name
            if kind == stat.S_IFREG:
                if not excluded(path) and path not in self._hidden:
                    yield name
            elif self._is_listed(path, kind) and self._is_offered(path, kind, excluded(path)):
                yield name

    def open(self, path: str) -> BinaryIO:
        """The file as it is now; a socket holds nothing."""
        try:
            return io.FileIO(self._opened(path), "rb")
        except OSError as error:
            if self._special and self._is_socket(path):
                return io.BytesIO()
            raise self._failure(path, error) from error

    def _opened(self, path: str, opener: Callable[[int, str], int] = open_name) -> int:
        """A descriptor of a regular file. The directory it is in stays open for the next one."""
        root = self._root()
        try:
            parent, name = root.parent(path)
            return opener(parent, name)
        finally:
            self._roots.append(root)

    def _root(self) -> Root:
        """One that no other thread uses; whoever takes it puts it back."""
        try:
            return self._roots.pop()
        except IndexError:
            return Root(Path(self._path), self._fd)

    def seen(self) -> Iterator[tuple[str, dict[str, Stamp]]]:
        """Every directory that was looked at, by its absolute path, with the stamps (as they were then) of the names in
        it that were asked for, and its own as `""`."""
        asked: dict[str, dict[str, Stamp]] = {place: {} for place in self._directories}
        for path, (_, state) in list(self._entries.items()):
            directory, _, name = path.rpartition("/")
            asked[directory][name] = state
        real = os.path.realpath(self._path)
        for directory, names in asked.items():
            yield f"{real}/{directory}".rstrip("/"), {"": self._directories[directory], **names}

    def _is_listed(self, path: str, kind: int) -> bool:
        """Whether its directory's list has it. What was made only to hold hidden paths comes and goes with them."""
        if path in self._hidden:
            return False
        return path not in self._holders or kind != stat.S_IFDIR or bool(self.children(path))

    def _is_offered(self, path: str, kind: int, excluded: bool) -> bool:
        if kind == stat.S_IFSOCK and not self._special:
            return False
        if not excluded:
            return True
        # An ignored directory is there as soon as a rule takes something in it in again.
        return kind == stat.S_IFDIR and not self._rules.prunes(path) and bool(self.children(path))

    def _list(self, directory: str) -> dict[str, int]:
        """The kinds (`S_IFMT`) of what is in a directory, by name."""
        found = self._listed.get(directory)
        if found is None:
            found = self._listed.setdefault(directory, self._read(directory))
        return found

    def _read(self, directory: str) -> dict[str, int]:
        try:
            fd = open_below(self._fd, directory, DIRECTORY)
        except OSError as error:
            # Not there, a file, or a link: the tree has no such directory.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                if directory in self._entries and self._entries[directory][0].type == "dir":
                    raise self._changed(directory) from None
                return {}
            raise self._failure(directory, error) from error
        try:
            state = stamp(os.fstat(fd))
            with os.scandir(fd) as found:
                kinds = {
                    each.name: stat.S_IFREG if each.is_file(follow_symlinks=False) else _kind(each) for each in found
                }
        except OSError as error:
            raise self._failure(directory, error) from error
        finally:
            os.close(fd)
        self._directories.setdefault(directory, state)
        return kinds

    def _state(self, path: str) -> os.stat_result | None:
        """What a name is now."""
        root = self._root()
        try:
            parent, name = root.parent(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure(path, error) from error
        finally:
            self._roots.append(root)

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
        return self._list(directory).get(name) == stat.S_IFSOCK

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
        try:
            fd = self._opened(path, open_any)
            try:
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    raise OSError(errno.EINVAL, "it is no regular file any more")
                left = before.st_size
                # One byte more than there should be tells of a file that has grown.
                while block := os.read(fd, min(left + 1, _BLOCK)):
                    hashed.update(block)
                    left -= len(block)
                    if left <= 0:
                        break
                after = os.fstat(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(path, error) from error
        if stamp_of(before) != stamp_of(after) or left:
            raise self._changed(path)
        digest = f"sha256:{hashed.hexdigest()}"
        self._stats.put(place, name, stamp_of(after), digest, read_at=read_at)
        return after.st_size, digest

    def _changed(self, path: str) -> SourceInputError:
        return SourceInputError(
            f"{printable(path)} in {self._path} was changed while the build was running",
            hint="run the same command again",
        )

    def _failure(self, path: str, error: OSError) -> SourceInputError:
        return SourceInputError(f"{printable(path) or '.'} in {self._path} can't be read: {error.strerror}")


def _kind(entry: os.DirEntry[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFLNK if entry.is_symlink() else stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)


def _close(fd: int, roots: list[Root]) -> None:
    for root in roots:
        root.forget()
    os.close(fd)
