"""Leases: what a live process uses is not collected.

A process at work has one locked file, `leases/OWNER`. Its first line says who it is; each further line names an object
that it made or is about to look at, written *before* it looks. Whoever collects takes the `gc` lock exclusively, reads
the lines of all live leases, and moves away only what none of them names; whoever writes a line shares that lock. So
an object that was found stays for as long as the lease lives. When the last lease ends, the lines become times of use
in the index, in one transaction. No clock decides whether a lease is alive: only its lock does.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.store import files
from buildkit_py.store.faults import guard
from buildkit_py.store.layout import Layout
from buildkit_py.store.locks import HeldLock, acquire, is_held, open_unlocked, try_acquire, try_lock, wait

GC_SECONDS = 60.0
"""How long to wait for the `gc` lock; it is held for moments only, unless its holder was stopped."""
Use = tuple[str, str]
"""The kind and the id of an object: ("snapshot", "sha256:…")."""


@dataclass(slots=True)
class _Session:
    """The lease file while it is open, and the lock file that shares the `gc` lock."""

    name: str
    lock: HeldLock
    gc: HeldLock
    pid: int


class Owner:
    """This process's part in one open store: names its temporary files, keeps its leases. Thread-safe."""

    def __init__(self, layout: Layout, record: Callable[[set[Use]], None]) -> None:
        self._layout = layout
        self._record = record
        self._mutex = threading.Lock()
        self._noting = threading.Lock()
        self._session: _Session | None = None
        self._depth = 0
        self._count = 0
        self._noted: set[Use] = set()
        self.make_room: Callable[[int], None] = lambda size: None
        """Asked before an object of so many bytes gets its name; raises `StoreError` where there is no room."""

    def temporary(self) -> Path:
        """A fresh name below tmp/ that no other process will remove while this one lives."""
        with self._mutex:
            self._count += 1
            return self._layout.tmp / f"{self._open().name}-{self._count}"

    def note(self, kind: str, id: str) -> None:  # noqa: A002 - the contract's word
        """Say that an object is used; must come before looking whether it is there. Without a lease, nothing."""
        use = (kind, id)
        if not self._depth or use in self._noted:
            return
        # Not under the mutex: a collector, perhaps another thread here, has the `gc` lock and needs temporary names.
        with self._noting, guard("noting what a build uses", self._layout.leases):
            with self._mutex:
                session = self._open()
            wait(session.gc.fd, "gc", fcntl.F_RDLCK, time.monotonic() + GC_SECONDS)
            try:
                # The line end comes first: it closes a line that a full disk cut short.
                files.write_all(session.lock.fd, b"\n" + json.dumps(use).encode())
                self._noted.add(use)
            finally:
                try_lock(session.gc.fd, fcntl.F_UNLCK)

    @property
    def noted(self) -> frozenset[Use]:
        """What the lease under way names."""
        return frozenset(self._noted)

    @property
    def leased(self) -> bool:
        """Whether a lease is under way."""
        return bool(self._depth)

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep what is used inside from being collected. Leases of one process end together, with the last one."""
        with self._mutex:
            self._open()
            self._depth += 1
        try:
            yield
        finally:
            self._leave()

    def close(self) -> None:
        """Give the lease file up."""
        with self._mutex:
            session, self._session = self._session, None
            if session is not None and session.pid == os.getpid():
                session.gc.release()
                with suppress(OSError):
                    (self._layout.leases / session.name).unlink()
                session.lock.release()

    def _leave(self) -> None:
        with self._mutex:
            self._depth -= 1
            if self._depth:
                return
            uses, self._noted = self._noted, set()
        try:
            self._record(uses)
        finally:
            with self._mutex:
                if not self._depth and self._session is not None and self._session.lock.fd >= 0:
                    _begin(self._session.lock.fd)

    def _open(self) -> _Session:
        if self._session is None or self._session.pid != os.getpid():
            self._session = _open_session(self._layout)
        return self._session


def _open_session(layout: Layout) -> _Session:
    name = os.urandom(8).hex()
    path = layout.leases / name
    lock = acquire(path, "lease", temporary=False)
    with guard("opening a lease", path):
        # O_APPEND: after the file is emptied at the end of a lease, the next line is its first.
        fcntl.fcntl(lock.fd, fcntl.F_SETFL, os.O_APPEND)
        _begin(lock.fd)
        gc = open_unlocked(layout.locks / "gc")
    return _Session(name, lock, gc, os.getpid())


def _begin(fd: int) -> None:
    """Leave nothing in a lease file but who holds it."""
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.write(fd, json.dumps({"pid": os.getpid(), "boot": boot_id()}).encode())


@dataclass(frozen=True, slots=True)
class Leases:
    """One look at all leases: the `names` of the live ones, what those use, and what dead ones had used."""

    names: frozenset[str]
    uses: frozenset[Use]
    left: frozenset[Use]

    @classmethod
    def read(cls, layout: Layout, *, names_only: bool = False) -> Leases:
        """Look at every lease file; those of dead processes are removed. `names_only` leaves `uses` empty."""
        names: set[str] = set()
        uses: set[Use] = set()
        left: set[Use] = set()
        for name in files.names(layout.leases):
            path = layout.leases / name
            dead = try_acquire(path, create=False)
            if dead is None:
                names.add(name)
                uses |= set() if names_only else _lines(path)
                continue
            left |= _lines(path)
            path.unlink(missing_ok=True)
            dead.release()
        return cls(frozenset(names), frozenset(uses), frozenset(left))

    @staticmethod
    def holders(layout: Layout, use: Use) -> list[int]:
        """The processes whose live leases name an object, as they say themselves."""
        return sorted(pid for pid, uses in holders(layout) if use in uses)


def holders(layout: Layout) -> Iterator[tuple[int, set[Use]]]:
    """The processes that have a live lease, by pid, each with what that names; to tell people."""
    for name in files.names(layout.leases):
        path = layout.leases / name
        with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            pid = int(json.loads(files.read_regular(path, 1 << 28).partition(b"\n")[0])["pid"])
            if is_held(path):
                yield pid, _lines(path)


def _lines(path: Path) -> set[Use]:
    found: set[Use] = set()
    with suppress(OSError):
        for line in files.read_regular(path, 1 << 28).splitlines():
            with suppress(ValueError, RecursionError):
                match json.loads(line):
                    case [str(kind), str(name)]:
                        found.add((kind, name))
    return found


def boot_id() -> str:
    """The kernel's random id of this boot, without dashes; empty where it can't be read."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip().replace("-", "")
    return ""
