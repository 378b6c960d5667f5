"""Listings: the files of a selection, each with a short mark of what it is, kept once a selection.

They say which files made a step run again. Nothing else is decided by them, so a loss of power may take one back.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping

from buildkit_py.store.index import Index
from buildkit_py.store.records import Memo

KIND = "listing"
"""The kind of their facts; keys are digests of selections."""
MOST = 250_000
"""Of a selection with more files no listing is kept."""


class Listings:
    """Selection digest → path → mark."""

    def __init__(self, index: Index, memo: Memo) -> None:
        self._index = index
        self._memo = memo

    def has(self, selection: str) -> bool:
        """Whether there is one; it is not read."""
        return self._index.row("SELECT 1 FROM memo WHERE kind = ? AND key = ?", (KIND, selection)) is not None

    def put(self, selection: str, files: Mapping[str, str]) -> None:
        """Keep the files of a selection, unless there are too many."""
        if len(files) > MOST:
            return
        packed = zlib.compress(json.dumps(files, separators=(",", ":")).encode(), 1)
        value = {"files": len(files), "packed": base64.b64encode(packed).decode()}
        with self._index.transaction(durable=False):
            self._memo.put(KIND, selection, value)

    def get(self, selection: str) -> dict[str, str] | None:
        """The files, None where no listing is kept."""
        value = self._memo.get(KIND, selection)
        if value is None:
            return None
        files: dict[str, str] = json.loads(zlib.decompress(base64.b64decode(value["packed"])))
        return files
