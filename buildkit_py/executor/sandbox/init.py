"""The first process of a step's pid namespace: a call script that forks the step, reaps what the step leaves, and
ends as the step does. The kernel then kills all that still runs.

It is there because signals that have no handler are void for the first process of a pid namespace: a shell in that
place could not kill itself. It has the step's own identity, capabilities and filter, so that it is worth nothing to
the step. A runtime executes it from a descriptor of a file that no mount of the sandbox shows.

    worker ──▶ runtime ──exec──▶ init: the privileges, fork ┬──▶ init: close all, say go, wait4 … exit as the step did
               descriptors 3 … 6                            └──▶ hear go, execve of the step

Where the step has limits that control groups keep, init first enters these, by descriptors from 7 on.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Sequence

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import kernel, limits
from buildkit_py.executor.sandbox.callscript import BASE, Absolute, Call, Data, Fork, Item, assemble
from buildkit_py.executor.sandbox.process import spawn
from buildkit_py.executor.sandbox.program import NOT_EXECUTABLE, NOT_FOUND, NoProgramError
from buildkit_py.executor.sandbox.runtime import Prepared

_STATUS, _SCRIPT, _HEAR, _SAY, _ENTRANCE = 3, 4, 5, 6, 7
PROGRAM = f"/proc/self/fd/{_SCRIPT}"
"""What a runtime has to execute."""
_CLOSE_RANGE_CLOEXEC = 4
_LAST = 2**32 - 1
_AT_FDCWD = -100
_STARTED = b"\xff" * 8
_TIOCSCTTY = 0x540E
_OWN_TERMINAL = (Call("setsid"), Call("ioctl", (0, _TIOCSCTTY, 0)))
"""The terminal's keys then reach the step and its jobs, and no other process."""
_PAGE, _PAGE_SIZE, _READ_WRITE, _PRIVATE_FIXED_ANONYMOUS = 0x20000000, 4096, 3, 0x32

_INSIDE = (Call("getcwd", (_PAGE, _PAGE_SIZE)), Absolute(_PAGE))
"""Whatever a runtime made of the working directory, a neighbour may have turned it into a link to one of a descriptor
that the runtime had open, from which the way up leads to the machine."""

_FORK = Fork(
    (
        Call("close_range", (_STATUS, _HEAR, 0)),
        Call("write", (_SAY, BASE, 1)),
        Call("close_range", (_SAY, _LAST, 0)),
    )
)
"""The step begins when its init holds no descriptor any more that the step could reach by /proc."""


class Init:
    """The init of one step. `privileges` are calls that it makes before it forks; their data is in `data`."""

    def __init__(self, step: Prepared, privileges: Sequence[Call], data: Data) -> None:
        self._step = step
        self._items: list[Item] = [
            Call("write", (_STATUS, data.add(_STARTED), len(_STARTED))),
            *_entering(step, data),
            *privileges,
            Call("close_range", (_STATUS, _LAST, _CLOSE_RANGE_CLOEXEC)),
            Call("mmap", (_PAGE, _PAGE_SIZE, _READ_WRITE, _PRIVATE_FIXED_ANONYMOUS, -1, 0)),
            *_INSIDE,
            *(_own_null(data) if step.spec.stdin == "null" else ()),
            _FORK,
            Call("read", (_HEAR, _PAGE, 1)),
            *limits.calls(step.spec.limits, data),
            *(_OWN_TERMINAL if step.spec.stdin == "terminal" else ()),
            _execve(step, data),
        ]
        self._data = data
        self._heard = -1

    @property
    def descriptors(self) -> int:
        """How many descriptors, from 3 on, a runtime has to pass on."""
        return _ENTRANCE - _STATUS + len(self._step.entrances)

    def spawn(self, args: Sequence[str], enter: Callable[[], None] | None = None) -> int:
        """Start a runtime that executes `PROGRAM`, or that itself (see `process.spawn`); returns the pid."""
        self._heard, status = os.pipe2(os.O_CLOEXEC)
        hear, say = os.pipe2(os.O_CLOEXEC)
        script = self._write()
        pid = spawn(
            args,
            {
                _STATUS: status,
                _SCRIPT: script,
                _HEAR: hear,
                _SAY: say,
                **dict(enumerate(self._step.entrances, _ENTRANCE)),
            },
            enter,
            stdin=self._step.spec.stdin != "null",
        )
        for fd in (status, hear, say, script):
            os.close(fd)
        return pid

    def judge(self) -> None:
        """Once all is dead: raise for what the script told of; silence after the first word means that the step ran."""
        with os.fdopen(self._heard, "rb") as file:
            heard = file.read()
        if not heard:
            raise SandboxError("the runtime could not make the sandbox (what it said is in the step's output)")
        if heard == _STARTED:
            return
        index, number = struct.unpack("<II", heard[8:16])
        item = self._items[index]
        if item in _INSIDE:
            raise SandboxError(f"the working directory {self._step.spec.cwd} is not in the sandbox")
        name = item.name if isinstance(item, Call) else "fork"
        if name == "execve":
            status = NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE
            wanted = self._step.spec.args[0]
            raise NoProgramError(f"{wanted}: can't be executed ({os.strerror(number).lower()})", status)
        if name == "write":
            raise SandboxError(f"the step could not enter its control group: {os.strerror(number).lower()}")
        raise SandboxError(
            f"the sandbox can't give what the step asks for ({name}: {os.strerror(number).lower()})",
            hint="try another --runtime",
        )

    def _write(self) -> int:
        """The script, open for reading, as `/init` of a file system in memory that is mounted nowhere."""
        memory = kernel.new_mount("tmpfs", kernel.NODEV | kernel.NOSUID, {"mode": "700"}, flags=("noswap",))
        try:
            made = os.open("init", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o555, dir_fd=memory)
            with open(made, "wb") as file:
                file.write(assemble(self._items, self._data, _STATUS, os.uname().machine))
            return os.open("init", os.O_RDONLY | os.O_CLOEXEC, dir_fd=memory)
        finally:
            os.close(memory)


def _entering(step: Prepared, data: Data) -> Iterator[Call]:
    """Enter the control groups; a 0 stands for who writes it."""
    for number, _ in enumerate(step.entrances, _ENTRANCE):
        yield Call("write", (number, data.add(b"0"), 1))
    if step.entrances:
        yield Call("close_range", (_ENTRANCE, _LAST, 0))


def _own_null(data: Data) -> tuple[Call, ...]:
    """Stdin from the sandbox's own /dev/null: by a descriptor of the machine's, a step could change its mode. A mount
    may have put something else there, at which nobody shall wait."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    return (Call("close_range", (0, 0, 0)), Call("openat", (_AT_FDCWD, data.add(b"/dev/null\0"), flags, 0)))


def _execve(step: Prepared, data: Data) -> Call:
    arguments = data.add_array([os.fsencode(item) for item in step.spec.args])
    environment = data.add_array([os.fsencode(f"{name}={value}") for name, value in step.env])
    return Call("execve", (data.add(os.fsencode(step.program) + b"\0"), arguments, environment))
