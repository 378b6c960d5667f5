"""The processes between pybuild and a step.

    pybuild ──fork──▶ keeper ──fork──▶ supervisor (pid 1 of its own pid namespace, own mounts)
                                          └─clone─▶ worker, one a step (pid 1 again; own mounts, network, ipc, uts)
                                                       └──▶ runc │ crun │ bwrap ──▶ the step (pid 1 again)

The kernel kills each when the one to its left is gone, and with a pid namespace's first process all others; mounts
go with the last process of their namespace. So `kill -9` of pybuild leaves nothing, and killing a worker ends its
step whole. The supervisor does nothing but clone workers, and holds no data.

Other threads may be alive when it is forked, and hold any lock at that moment; their locks are held for ever in the
child. So all these processes use only modules that are imported before the fork (even what the standard library
imports late), write by descriptors and never through `sys.stdout`, log nothing, take no lock that they have not made,
and collect no garbage, which could run what belongs to objects of the parent.

Wire: one byte and three or four descriptors (a socket, stdout, stderr, stdin if it is not /dev/null) a request; the
answer is the worker's pidfd. On the step's socket: 8 bytes of length (with the entrances of its control groups, if it
has any) and JSON one way, JSON until the end of file the other way. A step with a terminal sends a blank before that,
with the descriptor of the terminal's other end.
"""

from __future__ import annotations

import array  # noqa: F401  (socket.recv_fds imports it late)
import gc
import json
import os
import signal
import socket
import struct
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from buildkit_py.executor.sandbox import bwrap, kernel, oci, seccomp
from buildkit_py.executor.sandbox.capabilities import DEFAULT_CAPABILITIES
from buildkit_py.executor.sandbox.runtime import Runtime
from buildkit_py.executor.sandbox.worker import Worker
from buildkit_py.store.mounts import Mounts

READY = b"ready"
_STEP_NAMESPACES = (
    kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)
_CGROUPS = "/sys/fs/cgroup"
_HIERARCHIES = 4
"""In as many there may be a group of a step: memory, pids, cpu and cpuset of version 1."""


def fork_supervisor(runtime: Runtime, state: Path) -> tuple[int, socket.socket]:
    """Start the keeper and the supervisor; returns the keeper's pid and the socket for requests.

    The first message on the socket is `READY`, or says in plain words why there is no supervisor.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bound_to_thread = threading.current_thread() is threading.main_thread()
    _warm(runtime)
    pid = _fork_without_collector()
    if pid == 0:
        ours.close()
        _never_return(lambda: _keep(runtime, state, theirs, bound_to_thread))
    theirs.close()
    return pid, ours


def _fork_without_collector() -> int:
    """fork(2), with the collector of garbage off from before the child's first instruction."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        pid = os.fork()
        was_on = was_on and pid != 0
        return pid
    finally:
        if was_on:
            gc.enable()


def _warm(runtime: Runtime) -> None:
    """Have what every step needs, and the modules that come with it, before the fork."""
    filter_for = bwrap.filter_for if runtime.name == "bwrap" else oci.filter_for
    filter_for(seccomp.opening(DEFAULT_CAPABILITIES))


def _never_return(work: Callable[[], None]) -> NoReturn:
    try:
        work()
    except BaseException:
        with suppress(BaseException):
            os.write(2, traceback.format_exc().encode(errors="replace"))
        os._exit(1)
    os._exit(0)


def _keep(runtime: Runtime, state: Path, requests: socket.socket, bound_to_thread: bool) -> None:
    """The keeper: it exists because a process can't itself enter the pid namespace that it makes."""
    _detach(requests)
    if bound_to_thread:
        kernel.die_with_parent(signal.SIGKILL)
    try:
        kernel.unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWNS)
    except OSError as error:
        requests.send(f"can't make namespaces for steps: {error.strerror}".encode())
        return
    pid = os.fork()
    if pid == 0:
        _never_return(lambda: _supervise(runtime, state, requests))
    requests.close()
    os.waitpid(pid, 0)


def _detach(requests: socket.socket) -> None:
    """Leave the terminal's process group, close what is not ours, and take signals as a fresh process does."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if requests.fileno() > 3:
        kernel.close_from(3, requests.fileno() - 1)
    kernel.close_from(requests.fileno() + 1)


def _supervise(runtime: Runtime, state: Path, requests: socket.socket) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        _shape(runtime)
    except OSError as error:
        requests.send(f"can't prepare mounts for steps: {error.strerror} ({error.filename})".encode())
        return
    requests.send(READY)
    while True:
        message, fds, _, _ = socket.recv_fds(requests, 1, 4)
        if not message:
            return
        _serve(runtime, state, requests, fds)


def _shape(runtime: Runtime) -> None:
    """Private mounts, without the images that are mounted on this machine; no writable cgroups; the runtime's program
    on a read-only mount, out of reach of any step."""
    kernel.stop_propagation()
    for view in Mounts().views():
        # A copy that nobody looks at would hold the image for as long as this build runs.
        with suppress(OSError):
            kernel.unmount(view, lazy=True)
    if runtime.name == "crun":
        _mount_over("tmpfs", _CGROUPS)
    elif Path(_CGROUPS).is_dir():
        kernel.set_attributes(_CGROUPS, kernel.READ_ONLY, recursive=True)
    _protect(runtime.path)


def _mount_over(kind: str, path: str) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mount = kernel.new_mount(kind, kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)
    kernel.attach(mount, target)
    os.close(mount)
    os.close(target)


def _protect(path: str) -> None:
    program = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mount = kernel.clone_tree(program, kernel.READ_ONLY)
    kernel.attach(mount, program)
    os.close(mount)
    os.close(program)


def _serve(runtime: Runtime, state: Path, requests: socket.socket, fds: list[int]) -> None:
    try:
        pid, pidfd = kernel.fork_into(_STEP_NAMESPACES)
    except OSError as error:
        requests.send(f"can't make namespaces for a step: {error.strerror}".encode())
    else:
        if pid == 0:
            requests.close()
            _never_return(lambda: _work(runtime, state, fds))
        socket.send_fds(requests, [READY], [pidfd])
        os.close(pidfd)
    for fd in fds:
        os.close(fd)


def _work(runtime: Runtime, state: Path, fds: list[int]) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    link = socket.socket(fileno=fds[0])
    os.dup2(fds[1], 1)
    os.dup2(fds[2], 2)
    for stdin in fds[3:]:
        os.dup2(stdin, 0)
    kernel.close_from(3, link.fileno() - 1) if link.fileno() > 3 else None
    kernel.close_from(link.fileno() + 1)
    request, entrances = _receive(link)
    answer = Worker(runtime, state, link, entrances).answer(request)
    os.close(1)
    os.close(2)
    link.sendall(json.dumps(answer).encode())


def _receive(link: socket.socket) -> tuple[dict[str, object], tuple[int, ...]]:
    head, entrances, _, _ = socket.recv_fds(link, 8, _HIERARCHIES)
    (length,) = struct.unpack("=Q", head)
    with link.makefile("rb") as file:
        request: dict[str, object] = json.loads(file.read(length))
        return request, tuple(entrances)
