"""Connects a sandboxed process with the terminal or the pipes of whoever runs it.

With a terminal, the process gets one of its own, which lies in the sandbox: nothing in there holds the person's. What
is typed goes there byte by byte, so that Ctrl-C, Ctrl-Z and job control are those of the shell inside; size and
settings are handed over. Without one, its stdin is a pipe, and so are stdout and stderr.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import threading
import tty
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

_BLOCK = 1 << 16


class Console:
    """This process's stdin, stdout and stderr, as one sandboxed process uses them; a context manager.

    To be made before anything is opened, which could get the number of one that is closed; to be entered on the main
    thread. The terminal is as it was before when it is left.
    """

    def __init__(self, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> None:
        for fd in range(3):
            _open_if_closed(fd)
        self._stdin = stdin
        self._outputs = {"stdout": stdout, "stderr": stderr}
        self.terminal = os.isatty(stdin) and os.isatty(stdout)
        """Whether there is a person at both ends."""
        self._settings: list[Any] | None = None
        self._resized: Any = None
        self._inside = -1
        self._feeder: _Feeder | None = None

    def __enter__(self) -> Console:
        if self.terminal:
            self._settings = termios.tcgetattr(self._stdin)
            self._resized = signal.signal(signal.SIGWINCH, self._resize)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settings is not None:
            signal.signal(signal.SIGWINCH, self._resized)
            termios.tcsetattr(self._stdin, termios.TCSADRAIN, self._settings)
        if self._feeder is not None:
            self._feeder.stop()
        self._inside = -1

    def write(self, stream: str, data: bytes) -> None:
        """Take output of the process."""
        fd = self._outputs[stream]
        while data:
            data = data[os.write(fd, data) :]

    def connect(self, inside: int) -> None:
        """Let what comes in go to a pipe, or to the other end of the terminal inside; `inside` stays the caller's, to
        be closed when the process has ended."""
        if self._settings is not None:
            self._inside = inside
            termios.tcsetattr(inside, termios.TCSANOW, self._settings)
            self._resize()
            tty.setraw(self._stdin, termios.TCSADRAIN)
        self._feeder = _Feeder(self._stdin, os.dup(inside))
        self._feeder.start()

    def _resize(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        if self._inside >= 0:
            with suppress(OSError):
                size = fcntl.ioctl(self._stdin, termios.TIOCGWINSZ, struct.pack("4H", 0, 0, 0, 0))
                fcntl.ioctl(self._inside, termios.TIOCSWINSZ, size)


def _open_if_closed(fd: int) -> None:
    """The lowest number that is free is what open(2) gives."""
    try:
        os.fstat(fd)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


class _Feeder(threading.Thread):
    """Copies what can be read to where it goes, until one of the two ends or it is stopped; blocks nobody else."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(name="stdin", daemon=True)
        self._source = source
        self._target = target
        self._told, self._end = os.pipe()

    def run(self) -> None:
        """Copy; the target is closed at the end."""
        ready = select.poll()
        for fd in (self._source, self._told):
            ready.register(fd, select.POLLIN)
        with suppress(OSError):
            while self._told not in dict(ready.poll()):
                data = os.read(self._source, _BLOCK)
                if not data:
                    break
                while data:
                    data = data[os.write(self._target, data) :]
        os.close(self._target)
        os.close(self._told)

    def stop(self) -> None:
        """Read nothing more."""
        os.close(self._end)
