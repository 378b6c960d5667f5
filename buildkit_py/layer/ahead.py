"""Taking from a slow source on a thread of its own, a few blocks ahead of who uses them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from types import TracebackType

_DEPTH = 4


class Ahead:
    """Calls `take` on a thread until it gives nothing, and gives what it gave in turn. A context manager.

    What `take` raises is raised to who asks for the block. The thread has ended when the block is left.
    """

    def __init__(self, take: Callable[[], bytes]) -> None:
        self._take = take
        self._blocks: Queue[bytes | BaseException] = Queue(_DEPTH)
        self._stopped = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        while not self._ended:
            self._next()
        self._thread.join()

    def block(self) -> bytes:
        """The next block; empty at the end."""
        found = b"" if self._ended else self._next()
        if isinstance(found, BaseException):
            raise found
        return found

    def _next(self) -> bytes | BaseException:
        found = self._blocks.get()
        self._ended = not found or isinstance(found, BaseException)
        return found

    def _run(self) -> None:
        block: bytes | BaseException = b" "
        while block and not isinstance(block, BaseException):
            try:
                block = b"" if self._stopped else self._take()
            except BaseException as error:
                block = error
            self._blocks.put(block)
