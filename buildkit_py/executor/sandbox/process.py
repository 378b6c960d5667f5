"""Starting a runtime from the first process of a sandbox, which is also the reaper of all others."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from buildkit_py.executor.sandbox import kernel


def spawn(args: Sequence[str], fds: Mapping[int, int] | None = None) -> int:
    """Start `args[0]` with an empty environment, stdin from /dev/null, stdout and stderr as they are, and `fds`
    (number there → descriptor here, all numbers from 3 without a gap); returns the pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(args, fds or {})
    finally:
        os._exit(127)


def _become(args: Sequence[str], fds: Mapping[int, int]) -> None:
    for default in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
        signal.signal(default, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDONLY)
    high = {number: os.dup(fd) for number, fd in fds.items()}
    os.dup2(null, 0)
    for number, fd in high.items():
        if fd <= max(high):
            raise OSError("descriptors overlap")
        os.dup2(fd, number)
    kernel.close_from(3 + len(high))
    os.execve(args[0], list(args), {})


class Reaper:
    """Collects the children of this process, its own and those that it inherits."""

    def __init__(self) -> None:
        self._statuses: dict[int, int] = {}

    def wait(self, pid: int) -> int:
        """Wait for `pid`; returns its exit status, 128+N for signal N."""
        while pid not in self._statuses:
            with suppress(InterruptedError):
                done, status = os.waitpid(-1, 0)
                self._statuses[done] = status
        code = os.waitstatus_to_exitcode(self._statuses[pid])
        return code if code >= 0 else 128 - code
