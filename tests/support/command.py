"""The real command, run as a person runs it, in an environment that holds nothing of the person's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended, and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams, and the report of an internal error, for messages of tests."""
        report = re.search(r"a report is in (\S+\.txt)", self.stderr)
        text = Path(report[1]).read_text() if report else ""
        return f"exit code {self.code}\n{self.stdout}{self.stderr}{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pybuild:
    """Calls `pybuild` with its own home, store and registry configuration; `wrapper` is a command to start it by."""

    home: Path
    store: Path
    registries: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()

    def __call__(
        self, *args: str | os.PathLike[str], cwd: Path | None = None, timeout: float = 600, stdin: bytes = b""
    ) -> Result:
        """Run to the end, with `stdin` as standard input; never raises for an exit code."""
        done = subprocess.run(
            [*self.wrapper, sys.executable, "-m", "buildkit_py.cli", *map(os.fspath, args)],
            cwd=cwd or self.home,
            env=self.variables(),
            input=stdin,
            capture_output=True,
            timeout=timeout,
        )
        return Result(
            code=done.returncode,
            stdout=done.stdout.decode(errors="replace"),
            stderr=done.stderr.decode(errors="replace"),
        )

    def ok(self, *args: str | os.PathLike[str], cwd: Path | None = None, stdin: bytes = b"") -> Result:
        """Run, and fail the test where the exit code is not 0."""
        result = self(*args, cwd=cwd, stdin=stdin)
        assert result.code == 0, f"pybuild {' '.join(map(str, args))}: {result.output}"
        return result

    def having(self, **environment: str) -> Pybuild:
        """The same with further environment variables."""
        return replace(self, environment={**self.environment, **environment})

    def variables(self) -> dict[str, str]:
        """The whole environment of the command."""
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "PYBUILD_STORE": str(self.store),
            **({"PYBUILD_REGISTRIES": str(self.registries)} if self.registries else {}),
            **self.environment,
        }
