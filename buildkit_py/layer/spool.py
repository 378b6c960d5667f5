"""A spool: the bytes of an archive's members in one file, so that the archive is read once and memory stays small."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from buildkit_py.layer.draft import Content
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.outline import Outliner
from buildkit_py.layer.writer import Content as Written


class Spool:
    """One file of members' bytes, each found again by offset and size; `path` is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total = 0

    def __enter__(self) -> Spool:
        self._file = self._path.open("xb")
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def take(self, source: Iterable[bytes]) -> tuple[int, str, Content]:
        """Spool a member; returns its size, digest, and how to read it."""
        start, hasher = self._total, hashlib.sha256()
        for block in source:
            self._total += len(block)
            hasher.update(block)
            self._file.write(block)
        size = self._total - start
        self._file.flush()
        return size, f"sha256:{hasher.hexdigest()}", lambda: self._section(start, size)

    def _section(self, start: int, size: int) -> BinaryIO:
        file = open_in(self._path.parent, self._path.name)
        file.seek(start)
        return cast(BinaryIO, _Section(file, size))


class _Section(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class SpooledOutline(Outliner):
    """An outline of a layer that keeps the bytes of its files in a spool; `contents` opens them, by path."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.contents: dict[str, Content] = {}

    def file(self, entry: Entry, content: Iterable[bytes], mtime: int) -> Written:
        """Spool a file."""
        size, digest, self.contents[entry.path] = self._spool.take(content)
        return Written(size=size, digest=digest)

    def link(self, path: str, target: str) -> None:
        """Another name of the same bytes, where the target is a file."""
        if target in self.contents:
            self.contents[path] = self.contents[target]

    def remove(self, path: str, *, directory: bool) -> None:
        """Forget a file that another entry takes the place of."""
        self.contents.pop(path, None)
