"""How long work goes on that is worth its end, when who asked for it wants to stop."""

from __future__ import annotations

import time
from threading import Event


class Grace:
    """`seconds` that begin when it is first seen that `stopped` is set. For one thread."""

    __slots__ = ("_seconds", "_stopped", "_until")

    def __init__(self, stopped: Event, seconds: float) -> None:
        self._stopped = stopped
        self._seconds = seconds
        self._until: float | None = None

    def over(self) -> bool:
        """Whether to stop now."""
        if not self._stopped.is_set():
            return False
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        return now >= self._until
