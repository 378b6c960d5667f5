"""Control groups that hold steps to their limits: one below pybuild's own for each step that has any, in each hierarchy
that carries a controller for it.

A step's init enters them before it forks the step (see `init`). The runtime, which needs memory and threads of its own,
is never in them. A group is locked (flock(2) on its directory) as long as the pybuild lives that made it; one that
nobody locks was left by a pybuild that was killed, and who makes groups next removes it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import select
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.executor.cgroup import OWN, Controller, find, is_first, numbers, words
from buildkit_py.graph.resources import Limits, controllers_of

_STEP = "pybuild-step-"
_PERIOD = 100_000
"""Microseconds in which a step may use its share of the processors."""
_PATIENCE = 5.0
_KILLED = "oom_kill"
_SWAPS = Path("/proc/swaps")


@dataclass(frozen=True, slots=True)
class StepGroup:
    """The groups of one step. `entrances` are open files, one a hierarchy: who writes a 0 there enters the group."""

    groups: Mapping[str, tuple[Controller, Path]]
    entrances: tuple[int, ...]

    def met(self) -> str | None:
        """The limit that the step met: `memory`, where a process of it was killed for that, or `pids`."""
        if self._count("memory", {1: "memory.oom_control", 2: "memory.events"}, _KILLED):
            return "memory"
        return "pids" if self._count("pids", {1: "pids.events", 2: "pids.events"}, "max") else None

    def _count(self, name: str, files: Mapping[int, str], row: str) -> int:
        if name not in self.groups:
            return 0
        controller, group = self.groups[name]
        said = words(group / files[controller.version])
        return int(dict(zip(said[::2], said[1::2], strict=False)).get(row, "0"))


class Groups:
    """Makes the groups of the steps of a build. `controllers` are those that some step needs; made before any other
    process is forked, as with version 2 this one may have to leave its group first."""

    def __init__(self, controllers: Collection[str]) -> None:
        found = find()
        self._controllers = {name: found[name] for name in controllers}
        for controller in self._controllers.values():
            controller.check(controller.name)
        for group in {each.group for each in found.values() if not each.refusal}:
            _reclaim(group)
        unified = [controller for controller in self._controllers.values() if controller.version == 2]
        self._left = _hand_down(unified[0].group, [each.name for each in unified]) if unified else None

    def close(self) -> None:
        """Bring this process back into the group that it was started in, if it had to leave that."""
        if self._left is not None:
            _come_back(*self._left)

    @contextmanager
    def step(self, limits: Limits) -> Iterator[StepGroup]:
        """Groups with these limits, which are gone with everything in them at the end. Raises `SandboxError`."""
        with ExitStack() as stack:
            made: dict[Path, Path] = {}
            groups = {}
            for name in sorted(controllers_of(limits)):
                controller = self._controllers[name]
                if controller.group not in made:
                    made[controller.group] = stack.enter_context(_group(controller.group))
                group = made[controller.group]
                groups[name] = controller, group
                for file, value in _SETTINGS[name, controller.version](limits, group):
                    _write(group / file, value)
                if name == "cpuset":
                    _check_processors(str(limits["cpuset"]), group)
            yield StepGroup(groups, tuple(stack.enter_context(_entrance(group)) for group in made.values()))


def _hand_down(group: Path, names: Collection[str]) -> tuple[Path, int] | None:
    """Let groups below one of version 2 have controllers. Only the first of all may have processes then: any other this
    process leaves for one of its own, which is returned with its lock."""
    enabled = words(group / "cgroup.subtree_control")
    lacking = [name for name in names if name not in enabled]
    if not lacking:
        return None
    left = None if is_first(group) else _make(group, OWN)
    if left is not None:
        _write(left[0] / "cgroup.procs", 0)
    _write(group / "cgroup.subtree_control", " ".join(f"+{name}" for name in lacking))
    return left


def _come_back(own: Path, lock: int) -> None:
    """Leave the group `own` for the one above. Where that can't be, it stays locked: who reclaimed it would kill us."""
    above = own.parent
    with suppress(OSError):
        if not any(above.glob(f"{_STEP}*")):
            (above / "cgroup.subtree_control").write_text(
                " ".join(f"-{name}" for name in words(above / "cgroup.subtree_control"))
            )
            (above / "cgroup.procs").write_text("0")
            own.rmdir()
            os.close(lock)


def _memory_1(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    memory, swap = int(limits["memory"]), int(limits.get("swap", 0))
    yield "memory.limit_in_bytes", memory
    if _counts_swap(group / "memory.memsw.limit_in_bytes", swap):
        yield "memory.memsw.limit_in_bytes", -1 if swap == -1 else memory + swap
    elif swap == 0:
        # What a group's own limit makes it give up is then never swapped (the kernel's cgroup-v1/memory).
        yield "memory.swappiness", 0


def _memory_2(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    swap = int(limits.get("swap", 0))
    yield "memory.max", limits["memory"]
    if _counts_swap(group / "memory.swap.max", swap):
        yield "memory.swap.max", "max" if swap == -1 else swap
    elif swap == 0 and _SWAPS.exists() and len(_SWAPS.read_text().splitlines()) > 1:
        raise SandboxError(
            "the limit of memory can't be kept: this kernel does not count the swap of a group",
            hint="boot it with swapaccount=1, turn swap off, or allow any of it with --memory-swap -1",
        )


def _counts_swap(file: Path, swap: int) -> bool:
    if not file.exists() and swap > 0:
        raise SandboxError(
            "the limit of swap can't be kept: this kernel does not count the swap of a group",
            hint="boot it with swapaccount=1, or leave --memory-swap out",
        )
    return file.exists()


def _pids(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    # The step's init is one more.
    yield "pids.max", int(limits["pids"]) + 1


def _cpu_1(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    if "cpus" in limits:
        yield "cpu.cfs_period_us", _PERIOD
        yield "cpu.cfs_quota_us", _quota(limits)
    if "cpu_shares" in limits:
        yield "cpu.shares", limits["cpu_shares"]


def _cpu_2(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    if "cpus" in limits:
        yield "cpu.max", f"{_quota(limits)} {_PERIOD}"
    if "cpu_shares" in limits:
        # From the range of the one to the range of the other, as all runtimes do it.
        yield "cpu.weight", 1 + (int(limits["cpu_shares"]) - 2) * 9999 // 262142


def _quota(limits: Limits) -> int:
    return int(limits["cpus"]) * _PERIOD // 1000


def _cpuset_1(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    # A new group has none of both, and nothing can enter it.
    yield "cpuset.mems", (group.parent / "cpuset.mems").read_text().strip()
    yield "cpuset.cpus", limits["cpuset"]


def _cpuset_2(limits: Limits, group: Path) -> Iterator[tuple[str, object]]:
    yield "cpuset.cpus", limits["cpuset"]


def _check_processors(wanted: str, group: Path) -> None:
    """Version 2 takes processors that the groups above lack, and gives all of theirs instead."""
    given = words(group / "cpuset.cpus.effective")
    if given and not numbers(given[0]) <= numbers(wanted):
        raise SandboxError(
            f"the step can't be limited to the processors {wanted}: pybuild's own are {given[0]}",
            hint="name some of these with --cpuset-cpus",
        )


_SETTINGS = {
    ("memory", 1): _memory_1,
    ("memory", 2): _memory_2,
    ("pids", 1): _pids,
    ("pids", 2): _pids,
    ("cpu", 1): _cpu_1,
    ("cpu", 2): _cpu_2,
    ("cpuset", 1): _cpuset_1,
    ("cpuset", 2): _cpuset_2,
}
"""What is written into the files of a new group, by controller and version."""


def _write(file: Path, value: object) -> None:
    try:
        file.write_text(str(value))
    except OSError as error:
        raise SandboxError(f"the step can't be limited: {file} does not take {value}: {error.strerror}") from error


@contextmanager
def _entrance(group: Path) -> Iterator[int]:
    fd = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _group(parent: Path) -> Iterator[Path]:
    group, lock = _make(parent, _STEP)
    try:
        yield group
    finally:
        _remove(group)
        os.close(lock)


def _make(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new group, and the descriptor that locks it."""
    for number in itertools.count(1):
        group = parent / f"{prefix}{os.getpid()}-{number}"
        with suppress(FileExistsError, FileNotFoundError, BlockingIOError):
            try:
                group.mkdir()
            except PermissionError as error:
                raise SandboxError(f"no control group can be made: {error.strerror} ({group})") from error
            if (lock := _lock(group)) is not None:
                return group, lock
    raise AssertionError("numbers do not end")


def _lock(group: Path) -> int | None:
    """Lock a group; None where it went away meanwhile. Raises `BlockingIOError` where another has locked it."""
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), group.stat()):
            return fd
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _reclaim(parent: Path) -> None:
    """Remove the groups that were left by those who were killed."""
    for group in (each for prefix in (_STEP, OWN) for each in parent.glob(f"{prefix}*")):
        with suppress(OSError):
            lock = _lock(group)
            if lock is not None:
                _remove(group)
                os.close(lock)


def _remove(group: Path) -> None:
    """Kill all that is in a group, and remove it. What can't be removed in a few seconds is left to the next one."""
    for below in [*group.glob("*/")]:
        _remove(below)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        _kill(group)
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # The last one is dead, and the kernel has not counted it out yet.
            time.sleep(0.01)
        else:
            return


def _kill(group: Path) -> None:
    """Kill every process of a group and wait until they are dead."""
    with suppress(OSError):
        (group / "cgroup.kill").write_text("1")
    for pid in map(int, words(group / "cgroup.procs")):
        with suppress(OSError):
            fd = os.pidfd_open(pid)
            try:
                # Now the number can't be given to another process.
                if str(pid) in words(group / "cgroup.procs"):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    gone = select.poll()
                    gone.register(fd, select.POLLIN)
                    gone.poll(_PATIENCE * 1000)
            finally:
                os.close(fd)
