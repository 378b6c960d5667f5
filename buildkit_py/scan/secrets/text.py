"""Searching a text of any length for secrets, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.dataclass import replace
from buildkit_py.scan.secrets.tokens import FINDERS
from buildkit_py.scan.secrets.values import Secret

OVERLAP = 1 << 17
"""No secret is longer."""
MAX_FOUND = 100
"""The most that are told of one file."""
_HEAD = 8192


class Search:
    """Takes blocks of one file; `found` then has each secret with its line.

    A file with a zero byte near its beginning is no text, and not searched.
    """

    def __init__(self) -> None:
        self.found: list[tuple[int, Secret]] = []
        self._kept = b""
        self._done = 0
        self._lines = 1
        self._begun = False
        self._is_text = True

    def feed(self, block: bytes) -> None:
        """The next bytes."""
        if not self._begun:
            self._begun, self._is_text = True, b"\0" not in block[:_HEAD]
        if self._is_text:
            data = self._kept + block if self._kept else block
            self._take(data, len(data) - OVERLAP)

    def finish(self) -> None:
        """That was all."""
        self._take(self._kept, len(self._kept))
        self.found.sort(key=lambda each: each[0])

    def _take(self, data: bytes, until: int) -> None:
        """Look for what begins before `until`, and keep the rest; one byte more, for who looks back."""
        for secret in secrets_in(data, self._done, until):
            if len(self.found) < MAX_FOUND:
                self.found.append((self._lines + data.count(b"\n", 0, secret.at), secret))
        start = max(0, until - 1)
        self._lines += data.count(b"\n", 0, start)
        self._kept, self._done = data[start:], max(self._done, until) - start


def secrets_in(data: bytes, start: int = 0, until: int | None = None) -> Iterator[Secret]:
    """The secrets of a text that begin between two places."""
    end = len(data) if until is None else until
    for needle, find in FINDERS:
        at = data.find(needle, start)
        while 0 <= at < end:
            secret = find(data, at)
            if secret is not None:
                yield replace(secret, at=at)
            at = data.find(needle, at + len(needle))
