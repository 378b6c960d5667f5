"""Digests of local files, remembered by their stat data: one row a directory, so only what is looked at is read.

A file's digest is trusted while its size, modification time, change time and inode are what they were; and only if the last
change was safely older than the look at it, since a change within the same clock tick can't be seen.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from threading import Lock

from buildkit_py.errors import StoreError

RACY_NS = 2_000_000_000


class StatCache:
    """A table in a database of its own; losing it costs time alone, so nothing in it is synced. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._known: dict[str, dict[str, list[object]]] = {}
        self._changed: set[str] = set()
        self._connection: sqlite3.Connection | None = None

    def get(self, directory: str, name: str, facts: os.stat_result) -> str | None:
        """The digest of a file, if it is known to be unchanged."""
        with self._lock:
            row = self._load(directory).get(name)
        if row is not None and row[:4] == [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]:
            return str(row[4])
        return None

    def put(self, directory: str, name: str, facts: os.stat_result, digest: str) -> None:
        """Remember a digest, unless the file changed too lately for that to be safe."""
        if time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) < RACY_NS:
            return
        with self._lock:
            row: list[object] = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, digest]
            self._load(directory)[name] = row
            self._changed.add(directory)

    def save(self) -> None:
        """Write what was learned."""
        with self._lock:
            rows = [(each, json.dumps(self._known[each])) for each in self._changed]
            self._changed.clear()
            if rows:
                try:
                    with self._connect() as connection:
                        connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", rows)
                except sqlite3.Error as error:
                    raise StoreError(f"{self._path} can't be written: {error}") from None

    def _load(self, directory: str) -> dict[str, list[object]]:
        if directory not in self._known:
            found = None
            if self._path.exists():
                try:
                    query = self._connect().execute("SELECT facts FROM files WHERE directory = ?", (directory,))
                    found = query.fetchone()
                except sqlite3.Error:
                    found = None
            self._known[directory] = json.loads(found[0]) if found else {}
        return self._known[directory]

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute("CREATE TABLE IF NOT EXISTS files (directory TEXT PRIMARY KEY, facts TEXT)")
        return self._connection
