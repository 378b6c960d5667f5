"""One measurement: a client's commands from start to exit, and what the daemons behind it did meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where everything that is measured looks for programs."""
_LAUNCHER = Path(__file__).with_name("launcher.py")


class FailedError(Exception):
    """A measured command did not do its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Commands that are one piece of work, in order; `environment` is the whole of it."""

    commands: Sequence[Sequence[str]]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a piece of work took.

    `wall` and `cpu` are seconds, of the client and what it started. `peak` is the memory of its largest process and
    `daemons` the sum of the daemons' peaks, in bytes. `written` are the bytes that client and daemons gave to the
    file system. `started` counts the processes and threads that began on the machine.
    """

    wall: float
    cpu: float
    peak: int
    daemons: int
    written: int
    started: int


def measure(work: Work, log: Path, daemons: Sequence[int] = ()) -> Sample:
    """Do the work. Raises `FailedError` with the end of what it printed."""
    log.unlink(missing_ok=True)
    os.sync()
    for pid in daemons:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, started = _written(daemons), _started()
    wall, cpu, peak, blocks, code = _launch(work, log)
    begun, after = _started() - started, _written(daemons)
    if code:
        raise FailedError(
            f"{' '.join(work.commands[0][:4])} … ended with {code}:\n{log.read_text(errors='replace')[-3000:]}"
        )
    return Sample(
        wall=wall,
        cpu=cpu,
        peak=peak * 1024,
        daemons=sum(_peak(pid) for pid in daemons),
        written=blocks * 512 + after - before,
        started=begun,
    )


def _launch(work: Work, log: Path) -> tuple[float, float, int, int, int]:
    variables = "\n".join(f"{name}={value}" for name, value in work.environment.items())
    fields = (os.fspath(work.directory), os.fspath(log), variables, *("\n".join(words) for words in work.commands))
    read, write = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(write)],
            input="\0".join(fields).encode(),
            pass_fds=(write,),
            check=True,
        )
        wall, cpu, peak, blocks, code = os.read(read, 4096).split()
    finally:
        os.close(read)
        os.close(write)
    return float(wall), float(cpu), int(peak), int(blocks), int(code)


def _started() -> int:
    return next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line[:9] == "processes")


def _written(daemons: Sequence[int]) -> int:
    return sum(_number(Path(f"/proc/{pid}/io"), "write_bytes:") for pid in daemons)


def _peak(pid: int) -> int:
    return _number(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024


def _number(file: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(name))
