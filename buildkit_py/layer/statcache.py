"""What is known of local files: the SHA-256 of each, for as long as nothing about the file has changed.

A file is taken as unchanged when size, mtime, ctime and inode are what they were. One whose times are not clearly older
than the moment it was read could have been written once more without a trace, so it is not kept (the rule that git
calls racily clean). One SQLite row holds one directory:

    directory (absolute path) → seal, JSON {name: [size, mtime ns, ctime ns, inode, "sha256:…"]}

It is a cache and nothing more: where it can't be read or written, or a row fails its seal, files are read again.
"""

from __future__ import annotations

import json
import os
import time
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from buildkit_py.store.schema import seal

if TYPE_CHECKING:
    import sqlite3

_RACY_NS = 1_000_000_000
_BATCH = 256
_SEAL = len(seal().hex())

Stamp = tuple[int, int, int, int]
"""Size, mtime and ctime in nanoseconds, inode."""


def stamp_of(status: os.stat_result) -> Stamp:
    """What decides whether a file is unchanged."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class StatCache:
    """The cache in one SQLite file, made if it is missing. Thread-safe; several processes may share the file."""

    def __init__(self, path: Path) -> None:
        self._rows = _Rows(path)
        self._finalizer = weakref.finalize(self, self._rows.close)

    def get(self, directory: str, name: str, stamp: Stamp) -> str | None:
        """The digest of a file, if it has not changed."""
        found = self._rows.load(directory).get(name)
        return found[4] if found is not None and tuple(found[:4]) == stamp else None

    def put(self, directory: str, name: str, stamp: Stamp, digest: str, *, read_at: int) -> None:
        """Keep a digest; `read_at` is when its reading began (nanoseconds)."""
        if max(stamp[1], stamp[2]) < read_at - _RACY_NS:
            self._rows.store(directory, name, [*stamp, digest])

    def close(self) -> None:
        """Write what is not written yet. Happens by itself when the cache is no longer used."""
        self._finalizer()


def now() -> int:
    """The time for `read_at`."""
    return time.time_ns()


class _Rows:
    """Rows in memory and in SQLite; changed rows are written some at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self._known: dict[str, dict[str, list[int | str]]] = {}
        self._dirty: set[str] = set()

    def load(self, directory: str) -> dict[str, list]:  # type: ignore[type-arg]
        known = self._known.get(directory)
        if known is None:
            with self._lock:
                known = self._known.setdefault(directory, self._read(directory))
        return known

    def store(self, directory: str, name: str, row: list[int | str]) -> None:
        self.load(directory)[name] = row
        with self._lock:
            self._dirty.add(directory)
            if len(self._dirty) >= _BATCH:
                self._write()

    def close(self) -> None:
        with self._lock:
            self._write()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _read(self, directory: str) -> dict[str, list[int | str]]:
        import sqlite3

        connection = self._open()
        if connection is None:
            return {}
        try:
            row = connection.execute("SELECT files FROM directory WHERE path = ?", (os.fsencode(directory),)).fetchone()
            return _decode(directory, row[0]) if row else {}
        except sqlite3.Error as error:
            self._fail(error)
            return {}

    def _write(self) -> None:
        import sqlite3

        connection = self._open() if self._dirty else None
        if connection is None:
            return
        rows = [(os.fsencode(each), _encode(each, self._known[each])) for each in self._dirty]
        self._dirty.clear()
        try:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO directory VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self._fail(error)

    def _fail(self, error: sqlite3.Error) -> None:
        """Do without from now on; the next one makes a damaged file anew."""
        import sqlite3

        self._broken = True
        if not isinstance(error, sqlite3.OperationalError):
            _remove(self._path)

    def _open(self) -> sqlite3.Connection | None:
        import sqlite3

        if self._connection is None and not self._broken:
            try:
                self._connection = _connect(self._path)
            except (sqlite3.Error, OSError):
                self._broken = True
        return None if self._broken else self._connection


def _connect(path: Path) -> sqlite3.Connection:
    import sqlite3

    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in (0, 1):
        connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS directory (path BLOB PRIMARY KEY, files TEXT NOT NULL)")
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError:
            # Not a database, or a damaged one: nothing in it is worth more than a new start.
            connection.close()
            if attempt:
                raise
            _remove(path)
        else:
            return connection
    raise sqlite3.DatabaseError("unreachable")


def _remove(path: Path) -> None:
    """With its log, which must never be read with another file."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def _encode(directory: str, rows: dict[str, list[int | str]]) -> str:
    text = json.dumps(dict(rows))
    return seal(directory, text).hex() + text


def _decode(directory: str, text: str) -> dict[str, list[int | str]]:
    plain = text[_SEAL:]
    if seal(directory, plain).hex() != text[:_SEAL]:
        return {}
    rows: dict[str, list[int | str]] = json.loads(plain)
    return rows
