"""When to try again, and how long to wait before it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import Cancelled
from buildkit_py.registry.faults import TransferError

T = TypeVar("T")
Cancel = Callable[[], bool]
_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Up to `attempts` tries; the wait doubles from `first` seconds, with jitter, and is no less than asked for."""

    attempts: int = 5
    first: float = 0.5
    sleep: Callable[[float], None] = time.sleep

    def wait(self, attempt: int, fault: TransferError, cancel: Cancel | None = None) -> None:
        """Wait after try number `attempt` (from 1) failed; raises `fault` itself where no other try is due."""
        check(cancel)
        if not fault.retry or attempt >= self.attempts:
            raise fault
        backoff = self.first * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        self.sleep(min(max(backoff, fault.after or 0.0), _MOST_SECONDS))
        check(cancel)

    def call(self, action: Callable[[], T], cancel: Cancel | None = None) -> T:
        """Do it until it succeeds or no other try is due."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return action()
            except TransferError as fault:
                self.wait(attempt, fault, cancel)


def check(cancel: Cancel | None) -> None:
    """Raise `Cancelled` if the work is not wanted any more."""
    if cancel is not None and cancel():
        raise Cancelled("the transfer was stopped")


def either(stop: Event, cancel: Cancel | None) -> Cancel:
    """Whether one or the other wants an end."""
    return lambda: stop.is_set() or (cancel is not None and cancel())


def seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; a date counts from now."""
    if not header:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip()[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
