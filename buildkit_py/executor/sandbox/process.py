"""Starting a runtime from the first process of a sandbox, which is also the reaper of all others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from buildkit_py.executor.sandbox import kernel

_NAMESPACES = kernel.CLONE_NEWPID | kernel.CLONE_NEWNS


def spawn(
    args: Sequence[str],
    fds: Mapping[int, int] | None = None,
    enter: Callable[[], None] | None = None,
    *,
    stdin: bool = False,
) -> int:
    """Start `args[0]` with an empty environment, stdin from /dev/null unless this process's own `stdin` is to be kept,
    stdout and stderr as they are, and `fds` (number there → descriptor here, all numbers from 3 without a gap);
    returns the pid.

    With `enter`, the process is the first of a new pid and mount namespace, and calls that right before it becomes
    the other, when no directory of this process is open in it any more.
    """
    pid = os.fork() if enter is None else _fork_apart()
    if pid:
        return pid
    try:
        _arrange(fds or {}, stdin)
        if enter is not None:
            enter()
        os.execve(args[0], list(args), {})
    except OSError as error:
        os.write(2, f"{error.filename or 'the step'}: {error.strerror}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _fork_apart() -> int:
    pid, pidfd = kernel.fork_into(_NAMESPACES)
    if pid:
        os.close(pidfd)
    return pid


def _arrange(fds: Mapping[int, int], stdin: bool) -> None:
    for default in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(default, signal.SIG_DFL)
    null = 0 if stdin else os.open("/dev/null", os.O_RDONLY)
    high = {number: os.dup(fd) for number, fd in fds.items()}
    os.dup2(null, 0)
    for number, fd in high.items():
        if fd <= max(high):
            raise OSError("descriptors overlap")
        os.dup2(fd, number)
    kernel.close_from(3 + len(high))


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
