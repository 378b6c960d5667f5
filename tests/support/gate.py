"""A command whose chosen system calls, of all its threads, wait for an answer in one order.

`when=N` of strace counts the calls of each thread by themselves, and a build has a thread for every step: "the 40th
commit of this build" can't be said to it. The kernel can be told to ask instead (seccomp_unotify(2)): a call waits
until it may be made or has to fail, and a process that is killed meanwhile has not made it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from buildkit_py.executor.sandbox.bpf import numbers
from tests.support.command import Pybuild, Result

SYNCS = ("fsync", "fdatasync", "syncfs")
COMMITS = ("rename", "renameat", "renameat2", "link", "linkat", "pwrite64", *SYNCS)
"""What makes something durable or known. Of `pwrite64` only those count that commit a transaction of SQLite."""
NAMES = ("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat")
"""What changes names besides."""

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_REQUEST, _RESPONSE = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_GO_ON = 1
_PATIENCE = 120_000
_FRAME_HEADER = 24
_LAUNCHER = """
import array, ctypes, os, socket, sys
link, program, number = socket.socket(fileno=int(sys.argv[1])), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]
call = ctypes.CDLL(None, use_errno=True).syscall
filter = Program(len(program) // 8, program)
listener = call(ctypes.c_long(number), ctypes.c_long(1), ctypes.c_long(8 | 32), ctypes.byref(filter))
if listener < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
socket.send_fds(link, [b"."], [listener])
os.close(listener)
link.close()
os.execv(sys.argv[4], sys.argv[4:])
"""
# Which arguments are paths, each with the directory that it begins in if there is one.
_PATHS: dict[str, tuple[tuple[int | None, int], ...]] = {
    **dict.fromkeys(("rename", "link"), ((None, 0), (None, 1))),
    **dict.fromkeys(("renameat", "renameat2", "linkat"), ((0, 1), (2, 3))),
    **dict.fromkeys(("unlink", "rmdir", "mkdir"), ((None, 0),)),
    **dict.fromkeys(("unlinkat", "mkdirat"), ((0, 1),)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that waits: its place in the order, from 1; what it is about; and its descriptor, if that is one."""

    number: int
    name: str
    paths: tuple[str, ...]
    fd: int = -1

    def __str__(self) -> str:
        return f"{self.number}: {self.name}({', '.join(self.paths)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """How a command ended, and the calls that it asked for."""

    result: Result
    calls: tuple[Call, ...]


Answer = Callable[[int, Call], int]
"""Given the command's pid and what it is about to do: 0 to let it, or the errno to fail with."""


def run(
    pybuild: Pybuild,
    *words: str | os.PathLike[str],
    cwd: Path,
    below: Path,
    answer: Answer = lambda pid, call: 0,
    asked: Iterable[str] = COMMITS,
) -> Gated:
    """Run the command; `answer` is asked before each call of those names about something at or `below` a directory.

    Calls of its children, as in the sandbox of a step, are made without being asked for.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = [sys.executable, "-m", "buildkit_py.cli", *map(os.fspath, words)]
        ours, theirs = socket.socketpair()
        machine = os.uname().machine
        launch = [sys.executable, "-I", "-S", "-B", "-c", _LAUNCHER, str(theirs.fileno())]
        process = subprocess.Popen(
            [*launch, _program(machine, asked).hex(), str(numbers(machine)["seccomp"]), *command],
            cwd=cwd,
            env=pybuild.variables(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        try:
            calls = tuple(_Gate(process.pid, _listener(ours, process), below).serve(answer))
        finally:
            process.kill()
            code = process.wait()
            ours.close()
        return Gated(result=Result(code=code, stdout=_text_of(out), stderr=_text_of(err)), calls=calls)


class _Gate:
    """Answers the kernel until nobody is left who would ask."""

    def __init__(self, pid: int, listener: int, below: Path) -> None:
        self._pid = pid
        self._listener = listener
        self._below = str(below)
        self._names = {number: name for name, number in numbers(os.uname().machine).items()}
        self._ours: dict[int, bool] = {}
        self._count = 0

    def serve(self, answer: Answer) -> Iterator[Call]:
        """Give each call that was asked for, in the order in which they are made."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        try:
            while True:
                ready = poll.poll(_PATIENCE)
                assert ready, "the command neither ends nor does anything"
                if not ready[0][1] & select.POLLIN:
                    return
                request = bytearray(_REQUEST.size)
                try:
                    fcntl.ioctl(self._listener, _RECEIVE, request)
                except FileNotFoundError:
                    # Killed before it was heard.
                    continue
                number, thread, _, which, _, _, *arguments = _REQUEST.unpack(request)
                call = self._call(thread, self._names[which], arguments)
                error = answer(self._pid, call) if call is not None else 0
                reply = _RESPONSE.pack(number, 0, -error, 0 if error else _GO_ON)
                with suppress(FileNotFoundError):
                    fcntl.ioctl(self._listener, _SEND, reply)
                if call is not None:
                    yield call
        finally:
            os.close(self._listener)

    def _call(self, thread: int, name: str, arguments: list[int]) -> Call | None:
        with suppress(FileNotFoundError, ProcessLookupError):
            if not self._is_ours(thread):
                return None
            paths = tuple(_paths(thread, name, arguments))
            inside = any(path == self._below or path.startswith(f"{self._below}/") for path in paths)
            if inside and (name != "pwrite64" or _commits(thread, paths[0], arguments)):
                self._count += 1
                fd = -1 if name in _PATHS else ctypes.c_int(arguments[0]).value
                return Call(number=self._count, name=name, paths=paths, fd=fd)
        return None

    def _is_ours(self, thread: int) -> bool:
        if thread not in self._ours:
            lines = Path(f"/proc/{thread}/status").read_text().splitlines()
            self._ours[thread] = f"Tgid:\t{self._pid}" in lines
        return self._ours[thread]


def _listener(ours: socket.socket, process: subprocess.Popen[bytes]) -> int:
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    assert fds, f"the kernel takes no filter that asks: exit code {process.wait()}"
    return fds[0]


def _program(machine: str, asked: Iterable[str]) -> bytes:
    """The filter: these calls wait for an answer, all others are made."""
    known = numbers(machine)
    wanted = sorted(known[name] for name in asked if name in known)
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _AUDIT[machine]), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, 0)]
    lines += [(_EQUAL, len(wanted) - place, 0, number) for place, number in enumerate(wanted)]
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _paths(thread: int, name: str, arguments: list[int]) -> Iterator[str]:
    if name not in _PATHS:
        yield os.readlink(f"/proc/{thread}/fd/{ctypes.c_int(arguments[0]).value}")
    for directory, place in _PATHS.get(name, ()):
        text = os.fsdecode(_memory(thread, arguments[place], 4096).partition(b"\0")[0])
        start = ctypes.c_int(arguments[directory]).value if directory is not None else -1
        yield text if text.startswith("/") else f"{_directory(thread, start)}/{text}"


def _directory(thread: int, fd: int) -> str:
    return os.readlink(f"/proc/{thread}/cwd" if fd < 0 else f"/proc/{thread}/fd/{fd}")


def _memory(thread: int, address: int, size: int) -> bytes:
    """What stands at an address, up to the end of what can be read."""
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        found = b""
        while len(found) < size:
            memory.seek(address + len(found))
            try:
                found += memory.read(min(size - len(found), 4096 - (address + len(found)) % 4096))
            except OSError:
                break
    return found


def _commits(thread: int, path: str, arguments: list[int]) -> bool:
    """Whether it writes the header of the frame that ends a transaction (https://sqlite.org/walformat.html)."""
    header = arguments[2] == _FRAME_HEADER and path.endswith("-wal")
    return header and any(_memory(thread, arguments[1], _FRAME_HEADER)[4:8])


def _text_of(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    return file.read().decode(errors="replace")  # type: ignore[attr-defined, no-any-return]
