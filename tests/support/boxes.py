"""A sandbox without a build: a tree of busybox, a runner, and what a script says in it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildkit_py.executor.sandbox import OverlayRoot, Runner, RunResult, SandboxSpec

BUSYBOX = shutil.which("busybox")
RUNTIMES = ("runc", "crun", "bwrap")
PATH = (("PATH", "/bin"),)


def make_tree(path: Path) -> Path:
    for name in ("bin", "etc", "dev", "proc", "sys", "tmp"):
        (path / name).mkdir(parents=True)
    assert BUSYBOX is not None
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for name in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            (path / "bin" / name).symlink_to("busybox")
    return path


@dataclass
class Ran:
    result: RunResult
    out: str
    err: str


@dataclass
class Box:
    """A runner, a tree, and a fresh upper directory for each run."""

    runner: Runner
    tree: Path
    area: Path
    runs: int = 0
    upper: Path = field(default_factory=Path)

    def root(self, *lowers: Path) -> OverlayRoot:
        self.runs += 1
        place = self.area / str(self.runs)
        self.upper = place / "upper"
        for name in ("upper", "work"):
            (place / name).mkdir(parents=True)
        stack = tuple(str(path) for path in (self.tree, *lowers))
        return OverlayRoot(lowers=stack, upper=str(self.upper), work=str(place / "work"))

    def spec(self, script: str, **more: Any) -> SandboxSpec:
        values: dict[str, Any] = {"args": ("sh", "-c", script), "env": PATH, **more}
        return SandboxSpec(**({"root": self.root()} | values))

    def run(self, script: str, **more: Any) -> Ran:
        return self.run_spec(self.spec(script, **more))

    def run_spec(self, spec: SandboxSpec) -> Ran:
        heard: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        result = self.runner.run(spec, lambda stream, data: heard[stream].append(data))
        return Ran(result, *(b"".join(heard[name]).decode() for name in ("stdout", "stderr")))

    def lines(self, script: str, **more: Any) -> list[str]:
        ran = self.run(script, **more)
        assert ran.result.exit == 0, ran.err
        return ran.out.splitlines()


def status(box: Box, **more: Any) -> dict[str, str]:
    lines = box.lines("cat /proc/self/status", **more)
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def descendants_of(pid: int) -> set[int]:
    """Every process that a process started, or one of those."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            child = int(path.parent.name)
            found |= {child} | descendants_of(child)
    return found
