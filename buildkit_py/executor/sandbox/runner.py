"""Runs sandboxed processes from any thread, through the supervisor (see `supervisor`)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import Cancelled, InfrastructureError, SandboxError, StoreError
from buildkit_py.executor.sandbox.runtime import Runtime
from buildkit_py.executor.sandbox.spec import SandboxSpec
from buildkit_py.executor.sandbox.supervisor import READY, fork_supervisor
from buildkit_py.store.faults import advice, guard

if TYPE_CHECKING:
    from buildkit_py.executor.sandbox.console import Console

Output = Callable[[str, bytes], None]
"""Takes ("stdout" or "stderr", bytes) as they come, on the thread that called `run`."""

_PIPE_SIZE = 1 << 18
_CANCEL_INTERVAL_MS = 50
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What no step asked for: the disk that its tree lies on is full. (EIO is also what overlayfs says of a disk that
it can't be laid on.)"""


class CancelFlag(Protocol):
    """What `threading.Event` is, read only."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Limits:
    """What a step is held to: its time, and control groups."""

    seconds: float | None = None
    entrances: Sequence[int] = ()


_NO_LIMITS = _Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a step ended. `exit` is its status, 128+N after signal N, 126 or 127 where it could not be started; `refused`
    then says why.

    `stubs` are paths of the root (relative, parents first) that were made only to mount on. `times` are seconds:
    `prepare` for the file system and network, `run` for the runtime and the step. One that `timed_out` was killed.
    """

    exit: int
    stubs: tuple[str, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    refused: str = ""
    timed_out: bool = False


class Runner:
    """A supervisor and the way to it. Make it on a thread that outlives it, while others may run; `run` may then be
    called from all.

    `state` is a directory (made if missing) to mount on; nothing is ever written to it.
    """

    def __init__(self, runtime: Runtime, state: Path) -> None:
        self.runtime = runtime
        self._lock = threading.Lock()
        with guard("making a directory to mount on", state):
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._keeper, self._requests = fork_supervisor(runtime, state)
        except OSError as error:
            raise SandboxError(f"can't start the supervisor of steps: {error.strerror}") from error
        word = self._requests.recv(4096)
        if word != READY:
            self.close()
            reason = word.decode(errors="replace") or "the supervisor of steps ended at once"
            raise SandboxError(reason, hint="run as root, or as a user with ranges in /etc/subuid and /etc/subgid")

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the supervisor, and with it every step that still runs. Idempotent."""
        self._requests.close()
        if self._keeper:
            with suppress(ChildProcessError):
                os.waitpid(self._keeper, 0)
            self._keeper = 0

    def run(
        self,
        spec: SandboxSpec,
        on_output: Output,
        cancel: CancelFlag | None = None,
        *,
        seconds: float | None = None,
        entrances: Sequence[int] = (),
    ) -> RunResult:
        """Run one process to its end, but no longer than `seconds`, in the control groups that `entrances` lead into.

        Raises `SandboxError` where the sandbox can't be made (`StoreError` where that is the disk's fault), `Cancelled`
        once `cancel` is set and all processes of the step are dead, and `InfrastructureError` where the supervisor is
        gone.
        """
        spec.check()
        self.runtime.check(spec)
        limits = _Limits(seconds, entrances)
        return self._ask({"spec": spec.to_plain()}, on_output, cancel, limits=limits)

    def attach(self, spec: SandboxSpec, console: Console) -> RunResult:
        """Run one process to its end, connected with a console that was entered; raises as `run` does."""
        spec = replace(spec, stdin="terminal" if console.terminal else "pipe")
        spec.check()
        self.runtime.check(spec)
        return self._ask({"spec": spec.to_plain()}, console.write, None, console)

    def overlay_refusal(self, directory: Path, *, userxattr: bool = False) -> str | None:
        """Why overlayfs can't be used on the file system of `directory`, or None if it can."""
        with tempfile.TemporaryDirectory(dir=directory, prefix="overlay-") as name:
            for part in ("lower/directory", "upper", "work"):
                Path(name, part).mkdir(parents=True)
            Path(name, "lower/file").touch()
            try:
                self._ask({"probe": {"directory": name, "userxattr": userxattr}}, lambda *_: None, None)
            except SandboxError as error:
                return error.message
        return None

    def _ask(
        self,
        request: Mapping[str, Any],
        on_output: Output,
        cancel: CancelFlag | None,
        console: Console | None = None,
        limits: _Limits = _NO_LIMITS,
    ) -> RunResult:
        conversation = _Conversation(console)
        try:
            with conversation.theirs() as fds:
                pidfd = self._clone_worker(fds)
            answer = conversation.hold(pidfd, request, on_output, cancel, limits)
        finally:
            conversation.close()
        return _result(answer)

    def _clone_worker(self, fds: list[int]) -> int:
        try:
            with self._lock:
                socket.send_fds(self._requests, [b"s"], fds)
                word, received, _, _ = socket.recv_fds(self._requests, 4096, 1)
        except OSError as error:
            raise InfrastructureError("the supervisor of steps is gone") from error
        if word == READY and received:
            return received[0]
        raise InfrastructureError(word.decode(errors="replace") or "the supervisor of steps is gone")


class _Conversation:
    """One request: the descriptors of both sides, and what comes back.

    A console's pipe is there from the beginning; the other end of a terminal comes with the answer.
    """

    def __init__(self, console: Console | None) -> None:
        self._link, self._their_link = socket.socketpair()
        self._pipes = {name: _pipe() for name in ("stdout", "stderr")}
        self._console = console
        self._terminals: list[int] = []
        self._answer = bytearray()
        self._pidfd = -1

    def theirs(self) -> _Theirs:
        fds = [self._their_link.detach(), *(write for _, write in self._pipes.values())]
        if self._console is not None and not self._console.terminal:
            read, write = _pipe()
            self._console.connect(write)
            os.close(write)
            fds.append(read)
        return _Theirs(fds)

    def hold(
        self,
        pidfd: int,
        request: Mapping[str, Any],
        on_output: Output,
        cancel: CancelFlag | None,
        limits: _Limits,
    ) -> dict[str, Any]:
        self._pidfd = pidfd
        raw = json.dumps(request).encode()
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._link, [struct.pack("=Q", len(raw))], limits.entrances)
            self._link.sendall(raw)
        in_time = self._pump(on_output, cancel, limits.seconds)
        if not self._answer.strip():
            if not in_time:
                return {"exit": 128 + signal.SIGKILL, "times": {"run": limits.seconds}, "timed_out": True}
            raise InfrastructureError("the process that held the step was killed")
        answer: dict[str, Any] = json.loads(bytes(self._answer))
        return answer

    def close(self) -> None:
        """Kill the worker if it is still there, wait until it is gone, and close all."""
        if self._pidfd >= 0:
            self._end()
            os.close(self._pidfd)
        self._link.close()
        for fd in (*(read for read, _ in self._pipes.values()), *self._terminals):
            os.close(fd)

    def _pump(self, on_output: Output, cancel: CancelFlag | None, seconds: float | None) -> bool:
        """Pass on output until both pipes and the answer have ended; False if the step was killed for its time."""
        until = None if seconds is None else time.monotonic() + seconds
        in_time = True
        sources = {read: name for name, (read, _) in self._pipes.items()} | {self._link.fileno(): ""}
        poll = select.poll()
        for fd in sources:
            poll.register(fd, select.POLLIN)
        while sources:
            if cancel is not None and cancel.is_set():
                self._end()
                raise Cancelled("the step was stopped")
            if until is not None and time.monotonic() >= until:
                self._end()
                until, in_time = None, False
            for fd, _ in poll.poll(_patience(cancel, until)):
                came = self._hear() if not sources[fd] else self._read(fd, sources[fd], on_output)
                if came is None:
                    poll.unregister(fd)
                    del sources[fd]
                for terminal in came or ():
                    poll.register(terminal, select.POLLIN)
                    sources[terminal] = "stdout"
        return in_time

    def _read(self, fd: int, stream: str, on_output: Output) -> tuple[int, ...] | None:
        """Pass on output; None at its end, which a terminal tells by an error."""
        try:
            data = os.read(fd, _PIPE_SIZE)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None
        if not data:
            return None
        on_output(stream, data)
        return ()

    def _hear(self) -> tuple[int, ...] | None:
        """Take in a piece of the answer, and a terminal that comes with it; None at its end."""
        try:
            data, fds, _, _ = socket.recv_fds(self._link, _PIPE_SIZE, 1, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        if not data:
            return None
        self._answer += data
        self._terminals += fds
        if self._console is not None:
            for terminal in fds:
                self._console.connect(terminal)
        return tuple(fds)

    def _end(self) -> None:
        """Kill the first process of the sandbox; the kernel kills all others of its pid namespace before it is gone."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        gone = select.poll()
        gone.register(self._pidfd, select.POLLIN)
        gone.poll()


class _Theirs:
    """The supervisor's ends of a conversation, closed here once they are sent."""

    def __init__(self, fds: list[int]) -> None:
        self._fds = fds

    def __enter__(self) -> list[int]:
        return self._fds

    def __exit__(self, *exc: object) -> None:
        for fd in self._fds:
            os.close(fd)


def _patience(cancel: CancelFlag | None, until: float | None) -> float | None:
    """Milliseconds until there is something to look at besides what comes."""
    left = [] if until is None else [max(0.0, until - time.monotonic()) * 1000]
    return min([*left, *([] if cancel is None else [_CANCEL_INTERVAL_MS])], default=None)


def _pipe() -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    with suppress(OSError):
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return read, write


def _result(answer: Mapping[str, Any]) -> RunResult:
    if "error" in answer:
        error = answer["error"]
        if error.get("errno") in _OF_THE_DISK:
            raise StoreError(error["message"], hint=advice(error["errno"]))
        raise SandboxError(error["message"], hint=error["hint"])
    return RunResult(
        exit=answer["exit"],
        stubs=tuple(answer.get("stubs", ())),
        times=answer["times"],
        refused=answer.get("refused", ""),
        timed_out=answer.get("timed_out", False),
    )
