"""A terminal with a program on it, as a person at a keyboard has it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

_PATIENCE = 120.0
_LAST = "\0that was all\0"


class Terminal:
    """Starts a program as the leader of a new session on a new terminal; a context manager that leaves no process."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *, rows: int = 30, columns: int = 90) -> None:
        self._keyboard, screen = os.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command], stdin=screen, stdout=screen, stderr=screen, env=dict(env)
        )
        self._screen = screen
        self.seen = ""
        self._read = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)
        os.close(self._keyboard)

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def settings(self) -> list[Any]:
        """What `stty -a` shows of the terminal."""
        return termios.tcgetattr(self._screen)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._keyboard, text.encode())

    def expect(self, text: str) -> str:
        """Wait until the screen shows a text after what was waited for before; gives all up to its end."""
        self._wait(lambda: text in self.seen[self._read :], f"to see {text!r}")
        start = self._read
        self._read = self.seen.index(text, self._read) + len(text)
        return self.seen[start : self._read]

    def end(self) -> int:
        """Wait until the program has ended, and all that it wrote was seen; gives its exit status."""
        self._wait(lambda: self.process.poll() is not None, "for the end")
        # What is written goes through the terminal in its order, and may still be on its way.
        os.write(self._screen, _LAST.encode())
        self._wait(lambda: self.seen.endswith(_LAST), "for the last that was written")
        self.seen = self.seen.removesuffix(_LAST)
        return self.process.returncode

    def _wait(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {what}, and saw:\n{self.seen}")
            if select.select([self._keyboard], [], [], 0.05)[0]:
                self.seen += os.read(self._keyboard, 65536).decode(errors="replace")
