"""Reading a layer without laying it down: the same diff that unpacking it makes, for who needs names and no bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from buildkit_py.layer.entry import Entry
from buildkit_py.layer.writer import Content


class Outliner:
    """Takes the place of a `TreeWriter`: reads every file to its end, for its digest, and makes nothing."""

    def file(self, entry: Entry, content: Iterable[bytes], mtime: int) -> Content:
        """What the file holds."""
        hashed, size = hashlib.sha256(), 0
        for block in content:
            hashed.update(block)
            size += len(block)
        return Content(size=size, digest=f"sha256:{hashed.hexdigest()}")

    def directory(self, path: str) -> None:
        """Nothing is made."""

    def finish(self, entry: Entry, mtime: int) -> None:
        """Nothing is made."""

    def link(self, path: str, target: str) -> None:
        """Nothing is made."""

    def other(self, entry: Entry, mtime: int) -> None:
        """Nothing is made."""

    def remove(self, path: str, *, directory: bool) -> None:
        """Nothing is there to remove."""
