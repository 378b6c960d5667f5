"""A few transfers at a time; the first failure stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from buildkit_py.errors import Cancelled

JOBS = 4
T = TypeVar("T")
R = TypeVar("R")


def run_all(action: Callable[[T, Event], R], items: Sequence[T], jobs: int = JOBS) -> list[R]:
    """`action(item, stop)` for all items, in threads; results in the items' order.

    `stop` is set once one of them failed, or the waiting thread was interrupted; that failure is raised when all ended.
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
            thread = Thread(target=work, name=f"transfer_{number}")
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()
    finally:
        if len(results) < len(items):
            stop.set()
        for thread in threads:
            thread.join()
    for failure in sorted(failures, key=lambda error: isinstance(error, Cancelled)):
        raise failure
    return [results[number] for number in range(len(items))]
