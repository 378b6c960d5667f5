"""Blobs that come in while those that are there already are worked on."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Event, Thread
from types import TracebackType

Fetch = Callable[[Callable[[str], None], Event], None]
"""Fetches all; calls its first argument with the digest of each that is there, and stops once the event is set."""


class Arrivals:
    """Runs `fetch` on a thread. A context manager: when it is left, nothing is under way any more."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._stop = Event()
        self._changed = Condition()
        self._there: set[str] = set()
        self._failure: BaseException | None = None
        self._ended = False
        self._thread = Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, digest: str) -> None:
        """Return when that blob is there; raises what `fetch` raised."""
        with self._changed:
            self._changed.wait_for(lambda: digest in self._there or self._ended)
        if digest not in self._there:
            raise self._failure or LookupError(digest)

    def _run(self) -> None:
        try:
            self._fetch(self._note, self._stop)
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _note(self, digest: str) -> None:
        with self._changed:
            self._there.add(digest)
            self._changed.notify_all()
