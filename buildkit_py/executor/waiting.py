"""Waiting for a lock of the store, so that a step that is cancelled meanwhile stops waiting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Event
from typing import TypeVar

from buildkit_py.errors import Cancelled, StoreBusyError

T = TypeVar("T")
LOOK_SECONDS = 0.2


def enter_patiently(stack: ExitStack, take: Callable[[float], AbstractContextManager[T]], cancelled: Event) -> T:
    """Enter what `take` makes, which gives up with `StoreBusyError` after the seconds that it is called with.

    Tried until it works, or until `cancelled` is set: then `Cancelled`.
    """
    while True:
        if cancelled.is_set():
            raise Cancelled("the step was stopped")
        try:
            return stack.enter_context(take(LOOK_SECONDS))
        except StoreBusyError:
            continue
