"""The SQLite index: a connection a thread, short write transactions, and its making, migration and rebuilding.

Every open index shares the lock `locks/index`; making, migrating and rebuilding hold it alone, so that no process ever
sees the file change under it. A connection must not cross a fork (SQLite, "How To Corrupt", 2.6): using the index in a
forked child is refused.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from buildkit_py.errors import StoreError
from buildkit_py.store import files
from buildkit_py.store.faults import guard, is_damage, of_sql_error
from buildkit_py.store.locks import HeldLock, acquire
from buildkit_py.store.schema import APPLICATION_ID, SCHEMA, Schema

BUSY_SECONDS = 60.0
Fill = Callable[[sqlite3.Connection], None]
"""Puts into a new index what can be known from the rest of the store."""


class Index:
    """The open index of one store. Thread-safe; not for use after a fork."""

    def __init__(
        self, path: Path, lock: Path, fill: Fill, *, schema: Schema = SCHEMA, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self._path = path
        self._lock_path = lock
        self._fill = fill
        self._schema = schema
        self._busy_seconds = busy_seconds
        self._pid = os.getpid()
        self._local = threading.local()
        self._all: set[sqlite3.Connection] = set()
        self._hold = self._open()

    def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        with self._translated():
            found: tuple[Any, ...] | None = self._connection().execute(sql, values).fetchone()
            return found

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._translated():
            return self._connection().execute(sql, values).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = (), *, durable: bool = True) -> int:
        """Change something; gives the number of rows changed. `durable` as of a `transaction`."""
        with self.transaction(durable=durable), self._translated():
            return self._connection().execute(sql, values).rowcount

    def execute_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """The same change with each of several values, in one transaction."""
        with self.transaction(), self._translated():
            self._connection().executemany(sql, values)

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a transaction."""
        return self._connection().in_transaction

    @property
    def version(self) -> int:
        """Changes when anybody but this thread has written."""
        row = self.row("PRAGMA data_version")
        return int(row[0]) if row is not None else 0

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """One write transaction of this thread; all or nothing, durable on return. An inner one joins the outer.

        Without `durable` a loss of power may take it back; it is then as if it had never been, nor what came after it.
        The next transaction that is durable makes durable what came before it.
        """
        connection = self._connection()
        if connection.in_transaction:
            yield
            return
        with self._translated():
            if not durable:
                connection.execute("PRAGMA synchronous=NORMAL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield
                self._run_last()
                connection.execute("COMMIT")
            except BaseException:
                self._local.last = {}
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                if not durable:
                    connection.execute("PRAGMA synchronous=FULL")

    def before_commit(self, name: str, action: Callable[[], None]) -> None:
        """Have `action` run once, just before the transaction under way commits, still under its lock."""
        self._local.__dict__.setdefault("last", {})[name] = action

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file, in its words."""
        try:
            found = self._connection().execute("PRAGMA integrity_check(20)").fetchall()
        except sqlite3.Error as error:
            return [str(error)]
        return [text for (text,) in found if text != "ok"]

    def rebuild(self) -> None:
        """Set the index aside and make it anew from the rest of the store; no other process may have it open."""
        with guard("marking the index as damaged", self._path):
            _marker(self._path).touch()
        self.close()
        self._hold = self._open()

    def close(self) -> None:
        """Close the connections of all threads."""
        if os.getpid() == self._pid:
            self._drop_connections()
        self._hold.release()

    def _run_last(self) -> None:
        last, self._local.last = self._local.__dict__.get("last", {}), {}
        for action in last.values():
            action()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_damage(error):
                with suppress(OSError):
                    _marker(self._path).touch()
            raise of_sql_error(error, self._path) from error
        except UnicodeEncodeError as error:
            raise StoreError(f"a name for the store is not valid text: {error.object!r}") from error

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if os.getpid() != self._pid:
            raise StoreError("a store was used in a forked child", hint="open the store in the process that uses it")
        if found is None:
            with self._translated():
                found = self._connect()
            self._local.connection = found
            self._local.ending = _Ending(self._all, found)
        return found

    def _connect(self) -> sqlite3.Connection:
        connection = _open_database(self._path, self._busy_seconds)
        self._all.add(connection)
        return connection

    def _open(self) -> HeldLock:
        hold = acquire(self._lock_path, "index", exclusive=False, timeout=self._busy_seconds, temporary=False)
        try:
            if self._ready():
                return hold
            hold.release()
            hold = acquire(self._lock_path, "index", timeout=self._busy_seconds, temporary=False)
            if not self._ready():
                with guard("making the store's index", self._path), self._translated():
                    self._make()
            hold.share()
        except BaseException:
            self._drop_connections()
            hold.release()
            raise
        return hold

    def _ready(self) -> bool:
        """Whether the file is there, sound as far as its first page tells, and of this version."""
        if self._path.is_symlink():
            raise StoreError(f"{self._path} is a symbolic link", hint="put the file back, or remove the link")
        if _marker(self._path).exists() or not files.is_regular(self._path):
            return False
        try:
            version = self._version()
        except sqlite3.Error as error:
            if is_damage(error):
                return False
            raise of_sql_error(error, self._path) from error
        if version > self._schema.version:
            raise StoreError(
                f"the store's index has version {version}, this pybuild knows {self._schema.version}: {self._path}",
                hint="use the newer pybuild that made it, or choose another store with `--store DIR`",
            )
        return version == self._schema.version

    def _version(self) -> int:
        connection = self._local.connection = self._connect()
        self._local.ending = _Ending(self._all, connection)
        ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        return int(connection.execute("PRAGMA user_version").fetchone()[0]) if ours else 0

    def _make(self) -> None:
        """Migrate an older index, or make a new one; the lock is held exclusively."""
        version = 0
        if files.is_regular(self._path) and not _marker(self._path).exists():
            with suppress(sqlite3.Error):
                version = self._version()
        steps = self._schema.steps_from(version) if version else None
        if version and steps is None:
            raise StoreError(f"the store's index has version {version}, which is too old to be brought up to date")
        if steps is None:
            self._drop_connections()
            _set_aside(self._path)
            files.write_new(self._path, b"", durable=False)
            self._version()
        self._apply(self._schema.create if steps is None else steps, fill=steps is None)
        files.fsync_directory(self._path.parent)
        _marker(self._path).unlink(missing_ok=True)

    def _apply(self, statements: Sequence[str], *, fill: bool) -> None:
        connection = self._connection()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={self._schema.version}")
        if fill:
            self._fill(connection)
        connection.execute("COMMIT")

    def _drop_connections(self) -> None:
        for connection in list(self._all):
            connection.close()
        self._all.clear()
        self._local = threading.local()


class _Ending:
    """Closes a thread's connection when the thread ends."""

    def __init__(self, all_of_them: set[sqlite3.Connection], mine: sqlite3.Connection) -> None:
        self._all, self._mine, self._pid = all_of_them, mine, os.getpid()

    def __del__(self) -> None:
        self._all.discard(self._mine)
        # Nothing else closes it soon: a connection and its cache of statements refer to each other.
        if os.getpid() == self._pid:
            self._mine.close()


def _open_database(path: Path, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        # Damaged text must be read, to be known for what it is: it then fails its row's seal.
        connection.text_factory = _text
        connection.execute("PRAGMA synchronous=FULL")
    except (UnicodeDecodeError, MemoryError) as error:
        # What SQLite says of a damaged schema is told in the words of that; a record of it may claim any length.
        connection.close()
        raise _damaged(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _damaged(error: Exception) -> sqlite3.DatabaseError:
    """The error that SQLite would have raised, had its text been any."""
    damage = sqlite3.DatabaseError(str(error))
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damage


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _marker(path: Path) -> Path:
    """Its presence says that the index was found damaged and must be rebuilt before it is used again."""
    return path.with_name(f"{path.name}.rebuild")


def _set_aside(path: Path) -> None:
    """Keep a damaged index for whoever wants to look at it; one is kept."""
    for suffix in ("-wal", "-shm"):
        files.remove(path.with_name(path.name + suffix))
    if path.is_dir() or (path.exists() and path.stat().st_size):
        damaged = path.with_name(f"{path.name}.damaged")
        files.remove(damaged)
        path.rename(damaged)
    else:
        path.unlink(missing_ok=True)
