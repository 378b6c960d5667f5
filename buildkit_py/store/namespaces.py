"""The mount tables of this machine: of every mount namespace that this process may look into (mount_namespaces(7)).

A namespace is found by a process that lives in it, or, from Linux 6.12 on, by walking from one to the next
(ioctl_nsfs(2)): a file that is bound to one keeps it alive without any process.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.store.mounts import Mounts

_NEXT, _PREVIOUS = 0x8010B70B, 0x8010B70C
_INFO = struct.pack("=IIQ", 16, 0, 0)
_CLONE_NEWNS = 0x20000
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of the pid namespace that the kernel made first, in which every process is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A mount namespace: its inode number, the processes that were found in it, and what is mounted in it."""

    inode: int
    pids: tuple[int, ...]
    mounts: Mounts


def namespaces() -> Iterator[Namespace]:
    """Every mount namespace that can be found but that of this process."""
    found: dict[int, list[int]] = {}
    for pid in processes():
        with suppress(OSError):
            found.setdefault(_inode(f"/proc/{pid}/ns/mnt", pid), []).append(pid)
    found.pop(own_namespace(), None)
    for inode, pids in found.items():
        for pid in pids:
            # A process that ends meanwhile has no table any more; another one of the same namespace has.
            with suppress(OSError), open(f"/proc/{pid}/mountinfo", "rb") as file:
                yield Namespace(inode=inode, pids=tuple(pids), mounts=Mounts(file.read()))
                break
    yield from _without_processes({own_namespace(), *found})


def processes() -> Iterator[int]:
    """Every process that this one sees."""
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def process_name(pid: int) -> str:
    """What a process is called, empty where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    return ""


def users_of(point: str) -> Iterator[tuple[int, str]]:
    """The processes that keep a mount busy by an open file, a mapped one, their working directory or their root, each
    with what it uses."""
    for pid in processes():
        with suppress(OSError):
            used = next((path for path in _used(pid) if path == point or path.startswith(f"{point}/")), None)
            if used is not None:
                yield pid, used


def own_namespace() -> int:
    """The inode number of the mount namespace of this process."""
    return Path("/proc/self/ns/mnt").stat().st_ino


def pid_namespace() -> int:
    """The inode number of the pid namespace of this process."""
    return Path("/proc/self/ns/pid").stat().st_ino


def sees_all_of(pid_namespace_of_another: int) -> bool:
    """Whether this process sees every process that one in that pid namespace could have started."""
    return pid_namespace() in (_FIRST_PID_NAMESPACE, pid_namespace_of_another)


def _inode(path: str, pid: int) -> int:
    """The number of a process's mount namespace; one of its own where that may not be asked."""
    try:
        return Path(path).stat().st_ino
    except PermissionError:
        return -pid


def _used(pid: int) -> Iterator[str]:
    base = f"/proc/{pid}"
    for name in ("cwd", "root", "exe"):
        with suppress(OSError):
            yield os.readlink(f"{base}/{name}")
    for name in os.listdir(f"{base}/fd"):
        with suppress(OSError):
            yield os.readlink(f"{base}/fd/{name}")
    with open(f"{base}/maps", errors="surrogateescape") as file:
        yield from (line.split(None, 5)[5].rstrip("\n") for line in file if "/" in line)


def _without_processes(known: set[int]) -> Iterator[Namespace]:
    """Those that only a walk finds; nothing on an older kernel, or without the right to walk."""
    for direction in (_NEXT, _PREVIOUS):
        fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while True:
                after = fcntl.ioctl(fd, direction, bytearray(_INFO), True)
                os.close(fd)
                fd = after
                inode = os.fstat(fd).st_ino
                if inode not in known and (table := _table_of(fd)):
                    yield Namespace(inode=inode, pids=(), mounts=Mounts(table))
        except OSError:
            continue
        finally:
            os.close(fd)


def _table_of(namespace: int) -> bytes:
    """What is mounted in an open namespace, as a child that enters it sees; empty where it may not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _tell_table(namespace, write)
    os.close(write)
    with open(read, "rb") as file:
        table = file.read()
    os.waitpid(pid, 0)
    return table


def _tell_table(namespace: int, write: int) -> None:
    import ctypes

    try:
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        if ctypes.CDLL(None).setns(namespace, _CLONE_NEWNS) == 0:
            table = os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc)
            while data := os.read(table, 1 << 16):
                os.write(write, data)
    finally:
        os._exit(0)
