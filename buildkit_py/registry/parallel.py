"""A few transfers at a time; the first failure stops the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from buildkit_py.errors import Cancelled

JOBS = 4
_LOOK_UP_SECONDS = 0.5
_GRACE = 1.0
"""Seconds that an interrupt gives to transfers under way, all in all."""
T = TypeVar("T")
R = TypeVar("R")


def run_all(action: Callable[[T, Event], R], items: Sequence[T], jobs: int = JOBS) -> list[R]:
    """`action(item, stop)` for all items, in threads; results in the items' order.

    `stop` is set once one of them failed, or the waiting thread was interrupted; that failure is raised when all ended.
    After an interrupt, what waits for a registry that says nothing is left to end with the process.
    """
    stop = Event()
    if len(items) < 2:
        return [action(item, stop) for item in items]
    results: dict[int, R] = {}
    failures: list[BaseException] = []
    todo = SimpleQueue[int]()
    for number in range(len(items)):
        todo.put(number)

    def work() -> None:
        while not stop.is_set():
            try:
                number = todo.get_nowait()
            except Empty:
                return
            try:
                results[number] = action(items[number], stop)
            except BaseException as error:
                failures.append(error)
                stop.set()

    threads: list[Thread] = []
    try:
        for number in range(min(jobs, len(items))):
            thread = Thread(target=work, name=f"transfer_{number}", daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            while thread.is_alive():
                # A signal may come on another thread; it is heard when this one next looks up.
                thread.join(_LOOK_UP_SECONDS)
    except KeyboardInterrupt:
        stop.set()
        until = time.monotonic() + _GRACE
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        raise
    except BaseException:
        stop.set()
        for thread in threads:
            thread.join()
        raise
    for failure in sorted(failures, key=lambda error: isinstance(error, Cancelled)):
        raise failure
    return [results[number] for number in range(len(items))]
