"""A systemd of the test's own: process 1 of new namespaces, with units of a directory of the test alone."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = Path("/lib/systemd/systemd")
_TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "umount", "local-fs")
_BOOT = """
echo $$ > "$1/cgroup.procs"
exec unshare --fork --kill-child --pid --mount --cgroup --uts --ipc sh -ec '
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$0" --system --unit=test.target --log-target=null --show-status=no
' "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A machine that was booted with systemd; `units` is where its units are."""

    pid: int
    units: Path

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The words that start a command in there."""
        return (
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            "--cgroup",
            "--uts",
            "--ipc",
            f"--wd={Path.cwd()}",
        )

    def systemctl(self, *words: str) -> str:
        """What systemctl prints."""
        done = subprocess.run([*self.wrapper, "systemctl", *words], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)


def hierarchy() -> Path | None:
    """Where control groups of version 2 can be made."""
    places = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
    usable = (place for place in places if (place / "cgroup.procs").exists() and os.access(place, os.W_OK))
    return next((place for place in usable if (place / "cgroup.controllers").exists()), None)


def available() -> bool:
    """Whether one can be booted here."""
    tools = all(map(shutil.which, ("unshare", "nsenter", "systemctl")))
    return tools and os.geteuid() == 0 and _PROGRAM.exists() and hierarchy() is not None


@contextmanager
def booted(units: Path) -> Iterator[Booted]:
    """Boot one; whatever it started ends with it."""
    units.mkdir(parents=True)
    for name in _TARGETS:
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    (units / "test.target").write_text("[Unit]\nDefaultDependencies=no\nRequires=sysinit.target basic.target\n")
    top = hierarchy()
    assert top is not None
    group = top / f"pybuild-tests-{secrets.token_hex(4)}"
    group.mkdir()
    process = subprocess.Popen(
        ["sh", "-ec", _BOOT, "sh", str(group), str(_PROGRAM)],
        env={"PATH": os.environ["PATH"], "container": "other", "SYSTEMD_UNIT_PATH": str(units)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield _ready(process, units)
    finally:
        process.kill()
        process.wait()
        _remove(group)


def _ready(process: subprocess.Popen[bytes], units: Path) -> Booted:
    said = ""
    for _ in range(600):
        assert process.poll() is None, "systemd ended at once"
        with suppress(OSError, ValueError):
            child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            machine = Booted(pid=child, units=units)
            said = machine.systemctl("is-active", "test.target")
            if said == "active":
                return machine
        time.sleep(0.05)
    raise AssertionError(f"systemd does not come up: {said}")


def _remove(group: Path) -> None:
    """Remove control groups, the innermost first; their processes may take a moment to be gone."""
    for _ in range(200):
        for path in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
            with suppress(OSError):
                path.rmdir()
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
    raise AssertionError(f"{group} is still in use")
