"""What all views share: a lock, the model, and the place to write to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from buildkit_py.progress.model import Model

if TYPE_CHECKING:
    from typing import TextIO

    from buildkit_py.events import Event


class View:
    """A view that shows nothing and keeps the model; the others extend it. Thread-safe."""

    def __init__(self) -> None:
        self.model = Model()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            step = self.model.take(event)
            self._show(event, step.number if step else 0)

    def _show(self, event: Event, number: int) -> None:
        """Show an event that the model has taken in; called under the lock."""

    def close(self) -> None:
        """Leave the terminal as it was found. Idempotent."""


class Sink:
    """A text stream that falls silent when nobody reads it any more: a build must not fail for its view."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._open = True

    def write(self, text: str) -> None:
        """Write and flush; what the stream's encoding can't say is escaped."""
        if not self._open:
            return
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self._open = False
