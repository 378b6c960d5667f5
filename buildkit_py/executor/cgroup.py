"""Which limits of steps control groups (cgroups(7)) can keep here: what carries each controller, a hierarchy of
version 1 or that of version 2, and whether pybuild may make groups below the one it is in itself.

On the path of a cached build: nothing of the sandbox is imported here.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.paths import STARTED_AS_ROOT
from buildkit_py.store.mounts import lines, plain

NAMES = ("memory", "pids", "cpu", "cpuset")
OWN = "pybuild-own-"
"""How a group of version 2 is called that pybuild moved itself to, out of the one that it was started in."""
_ONLINE = Path("/sys/devices/system/cpu/online")
_DELEGATED = ("user.delegate", "trusted.delegate")
"""Attributes by which systemd marks the group of a unit with Delegate=yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One controller on this machine: the version of the hierarchy that carries it (0: none does), and the group there
    that groups of steps are made below. `refusal` says why none can be, `remedy` what to do about it."""

    name: str
    version: Literal[0, 1, 2] = 0
    group: Path = Path()
    refusal: str = ""
    remedy: str = ""

    def check(self, limit: str) -> None:
        """Raise `SandboxError` where nothing can be limited by it; `limit` is what was asked for."""
        if not self.refusal:
            return
        where = f"version {self.version} of cgroups carries the controller {self.name} here, but {self.refusal}"
        raise SandboxError(
            f"the limit of {limit} can't be kept: {where if self.version else self.refusal}", hint=self.remedy
        )

    def check_processors(self, wanted: str) -> None:
        """Raise `SandboxError` where a step is to run on processors that there are none of for groups below this one: a
        kernel takes some such lists, and the step runs on what is left of them."""
        files = (self.group / "cpuset.cpus.effective", self.group / "cpuset.effective_cpus", _ONLINE)
        there = next((found[0] for file in files if (found := words(file))), "")
        if there and not numbers(wanted) <= numbers(there):
            raise SandboxError(
                f"the step can't be limited to the processors {wanted}: there is only {there} here",
                hint="`--cpuset-cpus` takes those, or some of them",
            )


def numbers(text: str) -> set[int]:
    """The numbers of a list as 0-2,4."""
    ranges = ([int(end) for end in part.split("-")] for part in text.split(","))
    return {number for ends in ranges for number in range(ends[0], ends[-1] + 1)}


@dataclass(frozen=True, slots=True)
class _Mount:
    """A line of mountinfo (proc_pid_mountinfo(5)): which group is shown where, of which hierarchy."""

    root: str
    point: Path
    kind: str
    options: frozenset[str]


def find(proc: Path = Path("/proc/self")) -> dict[str, Controller]:
    """The controllers that limits need, as the process of `proc` has them."""
    own, mounts = dict(_own_groups(proc)), tuple(_mounts(proc))
    return {name: _find(name, own, mounts) for name in NAMES}


def _find(name: str, own: Mapping[str, str], mounts: Sequence[_Mount]) -> Controller:
    if name in own:
        group = _place(own[name], [mount for mount in mounts if mount.kind == "cgroup" and name in mount.options])
        return _first(name, group)
    unified = [mount for mount in mounts if mount.kind == "cgroup2"]
    group = _place(own[""], unified) if "" in own else None
    if group is None or not any(name in words(top / "cgroup.controllers") for top in (group, unified[-1].point)):
        return Controller(
            name=name,
            refusal=f"no control group of this machine carries the controller {name}",
            remedy="boot a kernel that has it, and whose command line does not disable it (cgroup_disable)",
        )
    return _second(name, group.parent if group.name.startswith(OWN) else group)


def _first(name: str, group: Path | None) -> Controller:
    refusal, remedy = "", ""
    if group is None:
        refusal, remedy = "that hierarchy is not mounted where pybuild sees it", "mount it below /sys/fs/cgroup"
    elif not os.access(group, os.W_OK):
        refusal = f"{group} can't be written"
        remedy = "build as root, or on a machine whose hierarchy is that of version 2 alone"
    return Controller(name=name, version=1, group=group or Path(), refusal=refusal, remedy=remedy)


def _second(name: str, group: Path) -> Controller:
    refusal = ""
    if name not in words(group / "cgroup.controllers"):
        refusal = f"it is not handed down to {group}"
    elif not os.access(group, os.W_OK):
        refusal = f"{group} can't be written"
    elif is_first(group) or name in words(group / "cgroup.subtree_control"):
        refusal = ""
    elif not _is_delegated(group):
        refusal = f"{group} is not delegated to pybuild"
    elif set(words(group / "cgroup.procs")) - {str(os.getpid())}:
        refusal = f"{group} holds other processes too, and a group that does can't have limited groups below it"
    return Controller(name=name, version=2, group=group, refusal=refusal, remedy=_scope() if refusal else "")


def _scope() -> str:
    user = "" if STARTED_AS_ROOT else "--user "
    return f"start it in a group of its own: systemd-run {user}--scope -p Delegate=yes pybuild …"


def is_first(group: Path) -> bool:
    """Whether a group of version 2 is the first of all, which may hold processes beside groups."""
    return not (group / "cgroup.type").exists()


def _is_delegated(group: Path) -> bool:
    for name in _DELEGATED:
        with suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def words(file: Path) -> list[str]:
    """The words of a file of a group; none where it is not there."""
    try:
        return file.read_text().split()
    except OSError:
        return []


def _own_groups(proc: Path) -> Iterator[tuple[str, str]]:
    """The path of the process's group by controller; that of version 2 by the empty name."""
    for line in _lines(proc / "cgroup"):
        _, names, path = line.split(":", 2)
        yield from ((name, path) for name in names.split(","))


def _mounts(proc: Path) -> Iterator[_Mount]:
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = map(plain, before.split(" ")[3:5])
            yield _Mount(root, Path(point), kind, frozenset(options.split(",")))


def _lines(file: Path) -> list[str]:
    try:
        return lines(file.read_bytes())
    except OSError:
        return []


def _place(path: str, mounts: Sequence[_Mount]) -> Path | None:
    """Where a group is seen; None where no mount shows it, as one outside the process's namespace."""
    for mount in reversed(mounts):
        relative = posixpath.relpath(path, mount.root)
        group = mount.point / relative
        if ".." not in (*path.split("/"), *relative.split("/")) and (group / "cgroup.procs").exists():
            return group
    return None
