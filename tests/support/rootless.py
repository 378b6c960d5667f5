"""An ordinary user with ranges of numbers, who exists only in a mount namespace of the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import ROOT, Pybuild

UID = 54321
RANGES = "tester:700000:65536\n"

needs_maps = pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (package uidmap)")

ENTER = """
for name in passwd subuid subgid; do mount --bind "$1/$name" "/etc/$name"; done; shift
exec setpriv --reuid 54321 --regid 54321 --clear-groups --inh-caps=-all "$@"
"""


@dataclass(frozen=True, kw_only=True)
class User:
    """A user who exists only in a mount namespace of the test; `area` is a directory that is theirs."""

    area: Path
    python: str

    def __call__(self, *args: str, ranges: str = RANGES, others: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command as that user, in their project."""
        self.prepare(ranges)
        command = [self.python, "-m", "buildkit_py.cli", *args]
        return subprocess.run(
            ["unshare", "-m", "sh", "-ec", ENTER, "sh", str(self.area), *command],
            cwd=self.project,
            env={**self.variables(), "PYBUILD_ADDITIONAL_STORES": others},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    @property
    def project(self) -> Path:
        """Where their Buildfile is."""
        return self.area / "project"

    def variables(self) -> dict[str, str]:
        """The environment of the command."""
        return {
            "HOME": str(self.area / "home"),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": f"{ROOT}:{Path(pytest.__file__).parents[1]}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def prepare(self, ranges: str = RANGES) -> None:
        """Write what stands in the place of the machine's lists of users and ranges, and have the area be theirs."""
        for name, text in (
            ("passwd", Path("/etc/passwd").read_text() + f"tester:x:{UID}:{UID}::/:/bin/sh\n"),
            ("subuid", ranges),
            ("subgid", ranges),
        ):
            (self.area / name).write_text(text)
        for path in (self.area, self.area / "home"):
            os.chown(path, UID, UID)

    def pybuild(self) -> Pybuild:
        """The command by that user."""
        enter = ENTER.replace("shift\n", "python=$2; shift 3\n").replace('"$@"', '"$python" "$@"')
        return Pybuild(
            home=self.area / "home",
            store=self.area / "home/store",
            environment={**self.variables(), "PYTHONWARNINGS": "default"},
            wrapper=("unshare", "-m", "sh", "-ec", enter, "sh", str(self.area), self.python),
        )

    def ok(self, *args: str) -> str:
        """Run, which must succeed; gives standard output."""
        ran = self(*args)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def interpreter() -> str:
    """A Python that any user can execute; the one of the tests may be in a private home."""
    check = f"import sys; assert sys.version_info[:2] == {sys.version_info[:2]}"
    for path in (sys.executable, "/usr/bin/python3"):
        command = ["setpriv", "--reuid", str(UID), "--clear-groups", path, "-c", check]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return path
    pytest.skip("no Python of this version that another user can execute")


@contextmanager
def new_user() -> Iterator[User]:
    """A user with an area outside pytest's private one."""
    with tempfile.TemporaryDirectory(prefix="pybuild-user-") as name:
        area = Path(name)
        area.chmod(0o755)
        for part in ("home", "project"):
            (area / part).mkdir()
        user = User(area=area, python=interpreter())
        user.prepare()
        yield user
