"""Files inside a root that an untrusted step has written: found, made and replaced through descriptors only.

No function here follows a link out of the root, whatever another process does to the tree meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import kernel

_LINK_LIMIT = 40
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory to mount on. `fd` is the caller's to close, `path` is where it really is. `made` are the
    paths that had to be created, parents first, each with the device of the file system that it was created on. Both
    are relative to the root."""

    fd: int
    path: str
    made: tuple[tuple[str, int], ...]


def find(root: int, path: str, *, readable: bool = False) -> int:
    """Open what is at `path`, with the root as `/` (O_PATH, or for reading a regular file); raises `OSError`."""
    resolve = kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY if readable else os.O_PATH
    return kernel.openat2(root, path, flags, resolve)


def place(root: int, path: str, *, directory: bool) -> Place:
    """What is at `path`, made if it is missing; raises `SandboxError` where something else is in the way."""
    walk = _Walk(root, path, directory)
    try:
        return walk.finish()
    except OSError as error:
        raise SandboxError(f"can't make the mount point {path}: {error.strerror}") from error
    finally:
        walk.close()


def real_path(root: int, path: str) -> str:
    """Where a path leads once all links are followed, with the root as `/`; what is not there is kept as written.

    Raises `OSError`.
    """
    pending, done, links = path.split("/")[::-1], list[str](), 0
    while pending:
        name = pending.pop()
        if name == "..":
            del done[-1:]
        elif name not in ("", "."):
            target = _target(root, "/".join((*done, name)))
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _LINK_LIMIT:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done.clear()
            pending.extend(target.split("/")[::-1])
    return "/".join(done)


def _target(root: int, path: str) -> str | None:
    """What the link at a path without other links holds; None where no link is there."""
    try:
        found = kernel.openat2(root, path, _LOOK, kernel.RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        return None
    try:
        return os.readlink("", dir_fd=found) if stat.S_ISLNK(os.fstat(found).st_mode) else None
    finally:
        os.close(found)


def real_directory(root: int, name: str) -> bool:
    """See to it that `name` in the root is a directory and not a link or a file; returns whether it was missing."""
    try:
        mode = os.stat(name, dir_fd=root, follow_symlinks=False).st_mode
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=root)
        return True
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=root)
        os.mkdir(name, 0o755, dir_fd=root)
    return False


class _Walk:
    """One walk, a component at a time; `_stack` holds the directories from the root down to where it is."""

    def __init__(self, root: int, path: str, directory: bool) -> None:
        self._wanted = path
        self._directory = directory
        self._pending = path.split("/")[::-1]
        self._stack = [(os.dup(root), "")]
        self._made: list[tuple[str, int]] = []
        self._links = 0

    def finish(self) -> Place:
        while self._pending:
            self._step(self._pending.pop())
        fd, path = self._stack[-1]
        if stat.S_ISDIR(os.fstat(fd).st_mode) != self._directory:
            kind = "a file" if self._directory else "a directory"
            raise SandboxError(f"can't mount at {self._wanted}: {kind} is there")
        return Place(os.dup(fd), path, tuple(self._made))

    def close(self) -> None:
        for fd, _ in self._stack:
            os.close(fd)

    def _step(self, name: str) -> None:
        if name == "..":
            if len(self._stack) > 1:
                os.close(self._stack.pop()[0])
        elif name not in ("", "."):
            self._enter(name)

    def _enter(self, name: str) -> None:
        parent, parent_path = self._stack[-1]
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            raise SandboxError(f"can't mount at {self._wanted}: /{parent_path} is not a directory")
        path = f"{parent_path}/{name}".lstrip("/")
        try:
            fd = os.open(name, _LOOK, dir_fd=parent)
        except FileNotFoundError:
            fd = self._make(parent, name, path)
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            self._follow(fd)
        else:
            self._stack.append((fd, path))

    def _make(self, parent: int, name: str, path: str) -> int:
        last = not any(part not in ("", ".") for part in self._pending)
        if self._directory or not last:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o644, dir_fd=parent))
        self._made.append((path, os.fstat(parent).st_dev))
        return os.open(name, _LOOK, dir_fd=parent)

    def _follow(self, link: int) -> None:
        try:
            target = os.readlink("", dir_fd=link)
        finally:
            os.close(link)
        self._links += 1
        if self._links > _LINK_LIMIT:
            raise SandboxError(f"can't mount at {self._wanted}: too many symbolic links")
        if target.startswith("/"):
            while len(self._stack) > 1:
                os.close(self._stack.pop()[0])
        self._pending.extend(target.split("/")[::-1])
