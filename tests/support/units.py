"""Units without systemd: `systemd-analyze` reads them, and what they start is started as systemd would."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLOSED_CGROUPS = """
mount --make-rprivate /
for place in $(findmnt -R -n -l -o TARGET /sys/fs/cgroup); do mount -o remount,bind,ro "$place"; done
exec "$@"
"""
"""What ProtectControlGroups= does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit file: its sections, each key with its values in order."""

    name: str
    values: dict[tuple[str, str], list[str]]

    @classmethod
    def read(cls, path: Path) -> Unit:
        """Read one as systemd.syntax(7) says, as far as these units go."""
        values: dict[tuple[str, str], list[str]] = {}
        section = ""
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and line[0] not in "#;":
                key, _, value = line.partition("=")
                values.setdefault((section, key), []).append(value)
        return cls(name=path.name, values=values)

    def one(self, key: str, section: str = "Service") -> str:
        """The value that counts."""
        return self.values[section, key][-1]

    @property
    def command(self) -> list[str]:
        """The words of ExecStart=."""
        (line,) = self.values["Service", "ExecStart"]
        return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]

    @property
    def stop(self) -> int:
        """The number of the signal that stops it."""
        name, _, more = self.one("KillSignal").partition("+")
        return int(getattr(signal, name)) + int(more or 0)


def verify(*units: Path) -> None:
    """Have systemd say that these units are right."""
    directories = ":".join(dict.fromkeys(str(unit.parent) for unit in units))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{directories}:/usr/lib/systemd/system", "SYSTEMD_LOG_LEVEL": "info"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr


@contextmanager
def started(unit: Unit, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start what a unit starts, with the directory and the control groups that the unit asks for; end it at the end."""
    directory = Path("/run") / unit.one("RuntimeDirectory")
    directory.mkdir(mode=int(unit.one("RuntimeDirectoryMode"), 8))
    words = ["unshare", "--mount", "sh", "-ec", _CLOSED_CGROUPS, "sh", *unit.command]
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"], **(environment or {})},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                runc = [*unit.command[:4], "kill", unit.command[-1], "KILL"]
                subprocess.run(runc, capture_output=True, check=False)
                process.kill()
                process.communicate()
        shutil.rmtree(directory)


def output(unit: Unit, environment: dict[str, str] | None = None) -> str:
    """What it prints until it ends."""
    with started(unit, environment) as process:
        text, _ = process.communicate(timeout=120)
    return text
