"""Adding up what several transfers have moved, and telling of it only in steps worth telling."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor

_STEP = 1 << 20


class Meter:
    """Takes how many bytes of each blob are done, from any thread; tells of all of them together.

    `tell` gets the bytes done and, where it is known, the `total`.
    """

    def __init__(self, tell: Callable[[int, int | None], None], total: int | None = None) -> None:
        self._tell = tell
        self._total = total
        self._step = max(total // 100, 1) if total is not None else _STEP
        self._done: dict[str, int] = {}
        self._told = 0
        self._lock = Lock()

    def __call__(self, blob: Descriptor, done: int) -> None:
        """Take in how far one blob is."""
        with self._lock:
            self._done[str(blob.digest)] = done
            moved = sum(self._done.values())
            if moved < self._told + self._step and moved != self._total:
                return
            self._told = moved
            self._tell(moved, self._total)
