"""Locks between processes and threads: open-file-description locks on small files (fcntl(2), F_OFD_SETLK).

A lock ends when its holder lets go or dies, `kill -9` included. The file holds the holder's pid for whoever waits.
Lock files are removed by the holder that lets go; so whoever gets a lock makes sure that the file is still the one
that has the name, and starts again if it is not.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from buildkit_py.errors import StoreBusyError
from buildkit_py.store.faults import guard

Waiting = Callable[[int], None]
"""Told once, when a lock is not free, which process holds it; 0 where that is not known."""

STOPPED_SECONDS = 60.0
"""How long a holder that is stopped (SIGSTOP, Ctrl-Z) is waited for; one that works, for as long as it takes."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.05
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class HeldLock:
    """A lock that this process holds until `release`. `fd` is the open lock file; -1 when it is let go."""

    __slots__ = ("__weakref__", "_path", "_temporary", "fd")

    def __init__(self, fd: int, path: Path, *, temporary: bool) -> None:
        self.fd = fd
        self._path = path
        self._temporary = temporary
        _HELD.add(self)

    def release(self) -> None:
        """Let go; the file of a temporary lock is removed first, while nobody else can hold it."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if self._temporary:
            with suppress(OSError):
                self._path.unlink()
        os.close(fd)

    def share(self) -> None:
        """Turn an exclusive lock into a shared one without letting go."""
        try_lock(self.fd, fcntl.F_RDLCK)


_HELD: WeakSet[HeldLock] = WeakSet()


def _forget_in_child() -> None:
    """A forked child shares its parent's open files and would keep its locks alive: it closes them at once."""
    for lock in list(_HELD):
        fd, lock.fd = lock.fd, -1
        if fd >= 0:
            os.close(fd)


os.register_at_fork(after_in_child=_forget_in_child)


def acquire(
    path: Path,
    name: str,
    *,
    exclusive: bool = True,
    timeout: float | None = None,
    waiting: Waiting | None = None,
    temporary: bool = True,
) -> HeldLock:
    """Take the lock at `path`, called `name` in messages; `timeout` in seconds, None waits for as long as its holder
    works.

    Raises `StoreBusyError` that names the holder when the time is up. `temporary` exclusive locks leave no file.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        with guard("taking a lock", path):
            fd = os.open(path, _OPEN, 0o600)
        try:
            wait(fd, name, fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, deadline, waiting)
            if _still_named(fd, path):
                _write_pid(fd)
                return HeldLock(fd, path, temporary=temporary and exclusive)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def try_acquire(path: Path, *, create: bool = True, temporary: bool = False) -> HeldLock | None:
    """Take the lock alone if it is free at this moment, else None. Without `create` its file must exist."""
    try:
        fd = os.open(path, _OPEN if create else _OPEN & ~os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    if try_lock(fd, fcntl.F_WRLCK) and _still_named(fd, path):
        return HeldLock(fd, path, temporary=temporary)
    os.close(fd)
    return None


def open_unlocked(path: Path) -> HeldLock:
    """Open a lock file that is never removed, to `wait` on its descriptor again and again."""
    return HeldLock(os.open(path, _OPEN, 0o600), path, temporary=False)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock at this moment, alone or with others; does not take it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def try_lock(fd: int, kind: int) -> bool:
    """Set a lock of `kind` (F_RDLCK, F_WRLCK, F_UNLCK) on the whole file; False when another holds it."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file(kind))
    except (BlockingIOError, PermissionError):
        # fcntl(2) leaves it open which of EAGAIN and EACCES tells of another's lock.
        return False
    return True


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


class Patience:
    """For how long the holder of a lock was seen to be stopped."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def ended(self, pid: int) -> bool:
        """Whether this process, which holds the lock now, has been stopped for too long."""
        if not _is_stopped(pid):
            self._since = None
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= STOPPED_SECONDS


def poll(attempt: Callable[[], bool], deadline: float | None, give_up: Callable[[], bool] = lambda: False) -> bool:
    """Try until it works (True), or the monotonic `deadline` has passed or `give_up` says so (False), with growing
    pauses."""
    pause = _FIRST_PAUSE
    while not attempt():
        if (deadline is not None and time.monotonic() >= deadline) or give_up():
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return True


def wait(fd: int, name: str, kind: int, deadline: float | None, waiting: Waiting | None = None) -> None:
    """Set a lock of `kind` on an open lock file, waiting until the monotonic `deadline`, and for a holder that is
    stopped no longer than `STOPPED_SECONDS`; `StoreBusyError` then."""
    with guard("taking a lock", name):
        if try_lock(fd, kind):
            return
        if waiting is not None:
            waiting(_read_pid(fd))
        patience = Patience()
        if poll(lambda: try_lock(fd, kind), deadline, lambda: patience.ended(_read_pid(fd))):
            return
    pid = _read_pid(fd)
    text = f"{named(pid)} holds {name!r} of the store and did not let go in time"
    raise StoreBusyError(text, hint=_advice(pid), pid=pid)


def named(pid: int) -> str:
    """A holder in words."""
    return f"process {pid}" if pid else "another process"


def _advice(pid: int) -> str:
    if _is_stopped(pid):
        return f"that process is stopped: continue it with `kill -CONT {pid}`, or end it"
    return "wait for it, or end it if it hangs; the lock is freed when it ends"


def _is_stopped(pid: int) -> bool:
    """Whether somebody stopped that process (proc(5))."""
    state = ""
    with suppress(OSError, IndexError):
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    return state in ("T", "t")


def _still_named(fd: int, path: Path) -> bool:
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))


def _write_pid(fd: int) -> None:
    # A full disk must not cost the lock: then whoever waits is told no pid.
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _read_pid(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0
