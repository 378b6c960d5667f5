"""What every step finds at /dev and /sys, mounted before any runtime starts.

`/dev` is a fresh tmpfs; its devices are the machine's own nodes, bound read-only so that no step can change their
mode or owner. A node made elsewhere opens nothing, because all other mounts are `nodev`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import kernel

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_SHM_SIZE = "67108864"
_QUIET = kernel.NOSUID | kernel.NOEXEC | kernel.NODEV

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/pagetypeinfo",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
)
"""Files of /proc that tell or do too much, all that only the machine's root may read among them; those that exist are
covered by the runtime."""

READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""Parts of /proc that can't be written."""

_MASKED_SYS = ("firmware", "devices/virtual/powercap", "kernel/security", "fs/bpf")


def mount_dev(target: int, *, nodes: bool = False) -> None:
    """Fill an open, empty directory as /dev; with `nodes`, those that a step makes there open devices."""
    attributes = _QUIET & ~kernel.NODEV if nodes else _QUIET
    devices = kernel.new_mount("tmpfs", attributes, {"mode": "755", "size": "65536"})
    try:
        kernel.attach(devices, target)
        for name, number in _DEVICES.items():
            _bind_device(devices, name, number)
        for name, destination in _LINKS.items():
            os.symlink(destination, name, dir_fd=devices)
        _mount_below(devices, "pts", "devpts", kernel.NOSUID | kernel.NOEXEC, _pts_options())
        _mount_below(devices, "shm", "tmpfs", _QUIET, {"mode": "1777", "size": _SHM_SIZE})
        _mount_below(devices, "mqueue", "mqueue", _QUIET, {})
    finally:
        os.close(devices)


def mount_sys(target: int, *, own_network: bool, whole: bool = False) -> None:
    """Show /sys, read-only unless it is to be `whole`: the machine's, with all that is mounted there (cgroups, files
    for debugging), only to one that is `whole` and has the machine's network."""
    attributes = _QUIET if whole else _QUIET | kernel.READ_ONLY
    try:
        mount = _machine_sys(attributes) if whole and not own_network else _fresh_sys(attributes)
    except OSError as error:
        raise SandboxError(f"can't mount /sys: {error.strerror}") from error
    try:
        kernel.attach(mount, target)
        for path in () if whole else _MASKED_SYS:
            _cover(mount, path)
    finally:
        os.close(mount)


def hide(target: int) -> None:
    """Show an open directory as an empty one that can't be changed."""
    mount = _nothing()
    kernel.attach(mount, target)
    os.close(mount)


def mount_proc(target: int, null: int, *, whole: bool = False) -> None:
    """Show /proc of this pid namespace, parts of it covered, files by the open device `null`, unless it is to be
    `whole`."""
    mount = kernel.new_mount("proc", _QUIET)
    try:
        kernel.attach(mount, target)
        for path in () if whole else (*MASKED, *READ_ONLY):
            _restrict(mount, path.removeprefix("/proc/"), None if path in READ_ONLY else null)
    finally:
        os.close(mount)


def _restrict(proc: int, path: str, null: int | None) -> None:
    """Cover what is at a path, a file by `null`; without that, make it read-only."""
    try:
        target = kernel.openat2(proc, path, os.O_PATH, kernel.RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        return
    if null is None:
        mount = kernel.clone_tree(target, _QUIET | kernel.READ_ONLY)
    elif stat.S_ISDIR(os.fstat(target).st_mode):
        mount = _nothing()
    else:
        mount = kernel.clone_tree(null, kernel.READ_ONLY)
    kernel.attach(mount, target)
    os.close(mount)
    os.close(target)


def _fresh_sys(attributes: int) -> int:
    """A sysfs with nothing mounted in it. In a user namespace that does not own the network the kernel makes none; what
    is root's alone in the machine's can't be read there."""
    try:
        return kernel.new_mount("sysfs", attributes)
    except PermissionError:
        return _machine_sys(attributes)


def _machine_sys(attributes: int) -> int:
    source = os.open("/sys", os.O_PATH | os.O_CLOEXEC)
    try:
        return kernel.clone_tree(source, attributes)
    finally:
        os.close(source)


def _cover(root: int, path: str) -> None:
    try:
        target = kernel.openat2(root, path, os.O_PATH | os.O_DIRECTORY, kernel.RESOLVE_NO_SYMLINKS)
    except OSError:
        return
    hide(target)
    os.close(target)


def _nothing() -> int:
    return kernel.new_mount("tmpfs", _QUIET | kernel.READ_ONLY, {"size": "4096", "mode": "755"})


def _bind_device(devices: int, name: str, number: tuple[int, int]) -> None:
    source = os.open(f"/dev/{name}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(source)
    if not stat.S_ISCHR(status.st_mode) or (os.major(status.st_rdev), os.minor(status.st_rdev)) != number:
        raise SandboxError(f"/dev/{name} of this machine is not the device that it should be")
    mount = kernel.clone_tree(source, kernel.READ_ONLY | kernel.NOSUID | kernel.NOEXEC)
    target = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=devices)
    kernel.attach(mount, target)
    for fd in (source, mount, target):
        os.close(fd)


def _mount_below(parent: int, name: str, kind: str, attributes: int, options: dict[str, str]) -> None:
    os.mkdir(name, 0o755, dir_fd=parent)
    target = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=parent)
    mount = kernel.new_mount(kind, attributes, options)
    kernel.attach(mount, target)
    os.close(mount)
    os.close(target)


def _pts_options() -> dict[str, str]:
    options = {"ptmxmode": "0666", "mode": "0620"}
    tty_group = 5
    mapped = Path("/proc/self/gid_map").read_text().split()
    if any(int(mapped[at]) <= tty_group < int(mapped[at]) + int(mapped[at + 2]) for at in range(0, len(mapped), 3)):
        options["gid"] = str(tty_group)
    return options
