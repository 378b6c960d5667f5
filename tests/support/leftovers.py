"""What a build must not leave behind: mounts, processes and loop devices that have to do with a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

_PATIENCE = 60.0


def leftovers(directory: Path) -> list[str]:
    """Everything on this machine that still uses `directory`, in words; the test's own process is left out."""
    name = str(directory)
    return [*_mounts(name), *_processes(name), *_loops(name)]


def _mounts(name: str) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if name in line:
            yield f"mounted: {line}"


def _processes(name: str) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            place = str((entry / "cwd").readlink())
            # A process of another test has this test's mounts in its own namespace if it began meanwhile.
            elsewhere = "/pytest-of-" in place and name not in place
            uses = name in words or name in place or (not elsewhere and name in (entry / "mountinfo").read_text())
        except OSError:
            continue
        if uses:
            yield f"running: {entry.name} {words}"


def _loops(name: str) -> Iterator[str]:
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = file.read_text().strip()
        except OSError:
            continue
        if name in backing:
            yield f"loop device: {file.parts[3]} {backing}"


def deserted(directory: Path) -> None:
    """Fail where something is left of those who used a directory; what dies takes the kernel a moment."""
    deadline = time.monotonic() + _PATIENCE
    while left := leftovers(directory):
        assert time.monotonic() < deadline, "\n".join(left)
        time.sleep(0.02)


def cgroups_of(pid: int) -> list[Path]:
    """The control groups that a pybuild of that pid made."""
    return list(Path("/sys/fs/cgroup").glob(f"**/pybuild-*-{pid}-*"))
