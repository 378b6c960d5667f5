"""Additional stores: images, blobs and snapshots of others that can be read here, and are never written to.

Each is a store of pybuild or any OCI image layout, on a read-only mount or not. No lock is taken in it and nothing is
made: names come from its index.json, bytes from where their digests say, trees from index.db, opened as a file that
does not change (https://sqlite.org/uri.html, `immutable`). What can't be read of it counts as not there.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.store import files
from buildkit_py.store.layout import Layout
from buildkit_py.store.schema import seal

Row = tuple[str | None, str, bytes]
"""Parent content id, diff digest and seal of a tree."""


def usable(places: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Those of the additional stores that can be read, and of each other one why it can't."""
    found: list[Path] = []
    problems: list[str] = []
    for place in places:
        problem = _problem(place)
        if problem is None:
            found.append(place)
        else:
            problems.append(f"the additional store {place} is not used: {problem}")
    return found, problems


def _problem(place: Path) -> str | None:
    if not place.is_absolute():
        return "its path must begin with /"
    try:
        with files.directory(place / "blobs"):
            files.read_regular(place / "oci-layout", 4096)
            files.read_regular(place / "index.json", 0)
    except FileNotFoundError as error:
        what = Path(error.filename).name
        return "there is nothing of that name" if not place.exists() else f"it is no image layout: it has no {what}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


class OtherTrees:
    """The trees of additional stores. Thread-safe."""

    def __init__(self, layouts: Iterable[Layout]) -> None:
        self._lock = threading.Lock()
        self._paths = [layout.index for layout in layouts]
        self._open: list[sqlite3.Connection] | None = None

    def row(self, content_id: str) -> Row | None:
        """What a tree is made of; None where no other store knows it."""
        if not self._paths:
            return None
        with self._lock:
            if self._open is None:
                self._open = [connection for connection in map(_connect, self._paths) if connection is not None]
            for connection in self._open:
                row = _look(connection, content_id)
                if row is not None:
                    return row
        return None

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for connection in self._open or ():
                connection.close()
            self._open = None


def _connect(path: Path) -> sqlite3.Connection | None:
    from urllib.parse import quote

    with suppress(sqlite3.Error, OSError, StoreError):
        if files.is_regular(path):
            uri = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
            return sqlite3.connect(uri, uri=True, check_same_thread=False)
    return None


def _look(connection: sqlite3.Connection, content_id: str) -> Row | None:
    with suppress(sqlite3.Error):
        row: Any = connection.execute("SELECT parent, diff, seal FROM trees WHERE id = ?", (content_id,)).fetchone()
        with suppress(TypeError, AttributeError, IntegrityError, StoreError):
            if row is not None and seal(content_id, row[0], row[1]) == row[2]:
                return row[0], row[1], row[2]
    return None
