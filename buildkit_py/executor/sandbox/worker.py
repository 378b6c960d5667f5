"""The first process of one sandbox: makes the file system and the network, starts the runtime, and answers."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import bwrap, kernel, oci, program
from buildkit_py.executor.sandbox.accounts import check_accounts
from buildkit_py.executor.sandbox.limits import raise_hard
from buildkit_py.executor.sandbox.overlay import Overlays
from buildkit_py.executor.sandbox.rootfs import Rootfs, RootfsBuilder
from buildkit_py.executor.sandbox.runtime import Prepared, Runtime, Start
from buildkit_py.executor.sandbox.spec import SandboxSpec

_START: dict[str, Start] = {"runc": oci.start, "crun": oci.start, "bwrap": bwrap.start}
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441


class Worker:
    """Answers one request: `{"spec": …}` runs a step, `{"probe": …}` tries an overlay."""

    def __init__(self, runtime: Runtime, state: Path, link: socket.socket, entrances: tuple[int, ...]) -> None:
        self._runtime = runtime
        self._state = state
        self._link = link
        self._entrances = entrances

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """`{"exit", "refused", "stubs", "times"}`, or `{"error": {"message", "hint", "errno"}}`; 0 is no call's."""
        try:
            self._enter()
            if "probe" in request:
                return _probe(self._state, **request["probe"])
            return self._run(SandboxSpec.from_plain(request["spec"]))
        except SandboxError as error:
            return _failed(error.message, error.hint, error.__cause__)
        except OSError as error:
            what = f" ({error.filename})" if error.filename else ""
            return _failed(f"can't make the sandbox: {error.strerror}{what}", None, error)

    def _enter(self) -> None:
        """Private mounts, /proc of this pid namespace, and a scratch directory in memory."""
        kernel.stop_propagation()
        os.umask(0o022)
        for kind, path in (("proc", "/proc"), ("tmpfs", str(self._state))):
            mount = kernel.new_mount(kind, kernel.NOSUID | kernel.NODEV | (kernel.NOEXEC if kind == "proc" else 0))
            target = os.open(path, os.O_PATH | os.O_CLOEXEC)
            kernel.attach(mount, target)
            os.close(mount)
            os.close(target)

    def _run(self, spec: SandboxSpec) -> dict[str, Any]:
        spec.check()
        self._runtime.check(spec)
        began = time.monotonic()
        if spec.network == "none":
            kernel.unshare(kernel.CLONE_NEWNET)
            _loopback_up()
        kernel.set_hostname(spec.hostname)
        raise_hard(spec.limits)
        rootfs = RootfsBuilder(spec, self._state).build()
        if spec.stdin == "terminal":
            _take_terminal(rootfs.path, self._link)
        _own_outputs(spec)
        ready = time.monotonic()
        status, refused = self._start(spec, rootfs)
        times = {"prepare": ready - began, "run": time.monotonic() - ready}
        return {"exit": status, "refused": refused, "stubs": rootfs.stubs, "times": times}

    def _start(self, spec: SandboxSpec, rootfs: Rootfs) -> tuple[int, str]:
        """The exit status, and why the program could not be started."""
        root = os.open(rootfs.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            check_accounts(root)
            found = program.find_program(root, spec)
            step = Prepared(spec, rootfs, found, _environment(spec), self._state, self._entrances)
            return _START[self._runtime.name](self._runtime, step), ""
        except program.NoProgramError as error:
            os.write(2, f"{error}\n".encode(errors="surrogateescape"))
            return error.exit, str(error)
        finally:
            os.close(root)


def _failed(message: str, hint: str | None, cause: BaseException | None) -> dict[str, Any]:
    number = cause.errno if isinstance(cause, OSError) else None
    return {"error": {"message": message, "hint": hint, "errno": number or 0}}


def _environment(spec: SandboxSpec) -> tuple[tuple[str, str], ...]:
    """With a HOME, because runc and crun add one where it is missing."""
    if any(name == "HOME" and value for name, value in spec.env):
        return spec.env
    others = tuple(pair for pair in spec.env if pair[0] != "HOME")
    return (*others, ("HOME", "/root" if spec.uid == 0 else "/"))


def _take_terminal(root: Path, link: socket.socket) -> None:
    """Make a new terminal of the sandbox's own /dev/pts stdin, stdout and stderr, and send its other end."""
    master = os.open(root / "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    terminal = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    socket.send_fds(link, [b" "], [master])
    os.close(master)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)
    os.close(terminal)


def _own_outputs(spec: SandboxSpec) -> None:
    """Let the step open what it is connected to again by name, as `/dev/stdout`."""
    for fd in (1, 2) if spec.stdin == "null" else (0, 1, 2):
        with suppress(OSError):
            os.fchown(fd, spec.uid, -1)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _probe(scratch: Path, directory: str, userxattr: bool) -> dict[str, Any]:
    """Whether an overlay over `directory` (with lower, upper and work) can be mounted, written and deleted in."""
    lower, upper, work = (f"{directory}/{name}" for name in ("lower", "upper", "work"))
    at = Overlays(scratch).writable((lower,), upper, work, userxattr=userxattr)
    (at / "file").unlink()
    (at / "directory").rmdir()
    (at / "directory").mkdir()
    return {"exit": 0, "refused": "", "stubs": (), "times": {}}
