"""What takes the bytes of files: into memory where they are few, else into a directory of the scan."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from buildkit_py.store.faults import guard


class Spool:
    """A directory of the scan's own, whose files have numbers for names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._count = 0

    def new(self) -> tuple[Path, BinaryIO]:
        """A new file, open for reading and writing."""
        self._count += 1
        path = self.directory / str(self._count)
        with guard("writing into a work area", path):
            return path, path.open("x+b")

    def together(self, database: Path, log: Path | None) -> Path:
        """A database beside its write-ahead log, where SQLite looks for that."""
        if log is None:
            return database
        self._count += 1
        with guard("writing into a work area", self.directory):
            folder = self.directory / f"{self._count}.d"
            folder.mkdir()
            os.link(database, folder / "rpmdb.sqlite")
            os.link(log, folder / "rpmdb.sqlite-wal")
        return folder / "rpmdb.sqlite"


class Kept:
    """Keeps at most `limit` bytes; of more nothing is told, or with `cut` the beginning."""

    def __init__(self, limit: int, told: Callable[[str, bytes], None], *, cut: bool = False) -> None:
        self._left = limit
        self._told = told
        self._cut = cut
        self._blocks: list[bytes] = []

    def feed(self, block: bytes) -> None:
        """The next bytes."""
        if self._left > 0 or not self._cut:
            self._blocks.append(block[: self._left] if self._cut else block)
        self._left -= len(block)
        if self._left < 0 and not self._cut:
            self._blocks.clear()

    def end(self, digest: str) -> None:
        """That was all."""
        if self._left >= 0 or self._cut:
            self._told(digest, b"".join(self._blocks))


class Spooled:
    """Writes a file of at most `limit` bytes into the spool; of more nothing is kept."""

    def __init__(self, spool: Spool, limit: int, told: Callable[[str, Path], None]) -> None:
        self._left = limit
        self._told = told
        self._path, self._file = spool.new()

    def feed(self, block: bytes) -> None:
        """The next bytes."""
        self._left -= len(block)
        if self._left >= 0:
            with guard("writing into a work area", self._path):
                self._file.write(block)

    def end(self, digest: str) -> None:
        """That was all."""
        with guard("writing into a work area", self._path):
            self._file.close()
        if self._left >= 0:
            self._told(digest, self._path)
        else:
            with suppress(OSError):
                self._path.unlink()
