"""RPM's database: SQLite with a header a package. Read with the standard library: no library reads it without RPM.

A header (RPM file format, "Header") is two counts, big-endian like all of it, an index and a store:

    entries u32 │ bytes u32 │ entries of (tag u32, type u32, offset u32, count u32) │ store
"""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from buildkit_py.errors import IntegrityError
from buildkit_py.scan.model import Source
from buildkit_py.scan.packages.language import MAX_PATH, may_describe
from buildkit_py.scan.packages.system import Installed

_NAME, _VERSION, _RELEASE, _EPOCH, _LICENCE, _ARCHITECTURE, _SOURCE = 1000, 1001, 1002, 1003, 1014, 1022, 1044
_DIRECTORIES_OF, _BASENAMES, _DIRECTORIES = 1116, 1117, 1118
_INT32, _STRING, _STRINGS, _I18N = 4, 6, 8, 9
_MAX_ENTRIES = 1 << 16
_MAX_FILES = 1 << 20
_MAX_HEADER = 1 << 26
_STEPS = 1_000_000
"""Instructions of SQLite between two looks at whether it works for too long."""
_MAX_LOOKS = 200
_SOURCE_FILE = re.compile(r"(.+)-([^-]+)-([^-]+)\.(?:no)?src\.rpm\Z")


def rpm(database: Path) -> Iterator[Installed]:
    """The packages of an `rpmdb.sqlite`, beside which its write-ahead log may lie; raises `IntegrityError`."""
    try:
        with closing(_open(database)) as connection:
            row = connection.execute("SELECT type FROM sqlite_master WHERE name = 'Packages'").fetchone()
            if row != ("table",):
                raise IntegrityError("it has no table of packages")
            left = sum(file.stat().st_size for file in (database, _log(database)) if file.exists())
            for (blob,) in connection.execute("SELECT blob FROM Packages"):
                left -= len(blob) if isinstance(blob, bytes) else 0
                if left < 0:
                    raise IntegrityError("its rows hold more than the file does")
                found = _package(blob) if isinstance(blob, bytes) else None
                if found is not None:
                    yield found
    except (sqlite3.Error, UnicodeDecodeError, MemoryError) as error:
        # A record may claim any length: what SQLite asks for then is refused to it.
        raise IntegrityError(f"it can't be read: {str(error) or 'it asks for too much memory'}") from None


def _log(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _open(database: Path) -> sqlite3.Connection:
    """A connection on which a hostile database can do nothing but be read, for a bounded time."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        return looks > _MAX_LOOKS

    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_HEADER)
    connection.set_progress_handler(look, _STEPS)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
    return connection


_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)


def _package(blob: bytes) -> Installed | None:
    """What a header says of its package; None for one that holds a key."""
    header = _Header(blob)
    name, version, release = header.text(_NAME), header.text(_VERSION), header.text(_RELEASE)
    if not name or not version or name == "gpg-pubkey":
        return None
    epoch, licence = header.numbers(_EPOCH), header.text(_LICENCE)
    source = _SOURCE_FILE.match(header.text(_SOURCE))
    return Installed(
        kind="rpm",
        name=name,
        version=f"{version}-{release}" if release else version,
        epoch=str(epoch[0]) if epoch and epoch[0] else "",
        architecture=header.text(_ARCHITECTURE) or "noarch",
        licences=(licence,) if licence else (),
        source=Source(name=source[1], version=f"{source[2]}-{source[3]}") if source else None,
        describing=tuple(path for path in _paths(header) if may_describe(path)),
    )


def _paths(header: _Header) -> Iterator[str]:
    """The paths of a package's files."""
    folders = header.texts(_DIRECTORIES)
    for name, number in zip(header.texts(_BASENAMES), header.numbers(_DIRECTORIES_OF), strict=False):
        # One long name and many short ones would make any amount of text.
        if number < len(folders) and len(folders[number]) <= MAX_PATH:
            yield f"{folders[number]}{name}".lstrip("/")


class _Header:
    """Looks tags up; what does not lie inside of the header is not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._found: dict[int, tuple[int, int, int]] = {}
        entries, size = struct.unpack_from(">II", data) if len(data) >= 8 else (0, 0)
        start = 8 + 16 * entries
        self._end = start + size
        if entries <= _MAX_ENTRIES and self._end <= len(data):
            for number in range(entries):
                tag, kind, offset, count = struct.unpack_from(">IIII", data, 8 + 16 * number)
                if offset < size:
                    self._found.setdefault(tag, (kind, start + offset, min(count, _MAX_FILES)))

    def text(self, tag: int) -> str:
        """A text, of several the first; empty where there is none."""
        kind, place, _ = self._found.get(tag, (0, 0, 0))
        return self._texts(place, 1)[0] if kind in (_STRING, _I18N) else ""

    def texts(self, tag: int) -> list[str]:
        """A list of texts."""
        kind, place, count = self._found.get(tag, (0, 0, 0))
        return self._texts(place, count) if kind == _STRINGS else []

    def numbers(self, tag: int) -> tuple[int, ...]:
        """A list of numbers."""
        kind, place, count = self._found.get(tag, (0, 0, 0))
        fits = kind == _INT32 and place + 4 * count <= self._end
        return struct.unpack_from(f">{count}I", self._data, place) if fits else ()

    def _texts(self, place: int, count: int) -> list[str]:
        pieces = self._data[place : self._end].split(b"\0", count)[:count]
        return [piece.decode("utf-8", "replace") for piece in pieces]
