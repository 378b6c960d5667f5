"""Waiting for a lock of the store, so that a step that is cancelled meanwhile stops waiting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Event
from typing import TypeVar

from buildkit_py.errors import Cancelled, StoreBusyError
from buildkit_py.store.locks import Patience, named

T = TypeVar("T")
LOOK_SECONDS = 0.2


def enter_patiently(
    stack: ExitStack,
    take: Callable[[float], AbstractContextManager[T]],
    cancelled: Event,
    tell: Callable[[str], None],
) -> T:
    """Enter what `take` makes, which gives up with `StoreBusyError` after the seconds that it is called with.

    Tried until it works, or until `cancelled` is set: then `Cancelled`. `tell` is told once who is waited for; a
    process that is stopped is not waited for long.
    """
    told, patience = False, Patience()
    while True:
        if cancelled.is_set():
            raise Cancelled("the step was stopped")
        try:
            return stack.enter_context(take(LOOK_SECONDS))
        except StoreBusyError as busy:
            if not told:
                tell(named(busy.pid))
            told = True
            if patience.ended(busy.pid):
                raise
