"""A few transfers at a time; the first failure stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import TypeVar

from buildkit_py.errors import Cancelled

JOBS = 4
T = TypeVar("T")
R = TypeVar("R")


def run_all(action: Callable[[T, Event], R], items: Sequence[T], jobs: int = JOBS) -> list[R]:
    """`action(item, stop)` for all items, in threads; results in the items' order.

    `stop` is set once one of them failed, or the waiting thread was interrupted; that failure is raised when all ended.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    stop = Event()
    if len(items) < 2:
        return [action(item, stop) for item in items]
    with ThreadPoolExecutor(max_workers=min(jobs, len(items)), thread_name_prefix="transfer") as pool:
        futures = [pool.submit(action, item, stop) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and future.exception() is None for future in futures):
                stop.set()
                for future in futures:
                    future.cancel()
    failures = [error for future in futures if not future.cancelled() and (error := future.exception())]
    for failure in sorted(failures, key=lambda error: isinstance(error, Cancelled)):
        raise failure
    return [future.result() for future in futures]
