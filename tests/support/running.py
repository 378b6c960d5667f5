"""A command that is under way, and what it says meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.command import Pybuild

_PATIENCE = 120.0


@contextmanager
def started(pybuild: Pybuild, *words: str | os.PathLike[str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command with its output in pipes; it is killed at the end."""
    process = subprocess.Popen(
        [*pybuild.wrapper, sys.executable, "-m", "buildkit_py.cli", *map(os.fspath, words)],
        cwd=cwd,
        env=pybuild.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(stream: IO[bytes] | None, *texts: str) -> str:
    """The first line that holds all these texts; fails where the stream ends before."""
    assert stream is not None
    seen = []
    for line in stream:
        seen.append(line.decode(errors="replace"))
        if all(text in seen[-1] for text in texts):
            return seen[-1]
    raise AssertionError(f"no {' '.join(texts)} in:\n{''.join(seen)}")


def interrupted(pybuild: Pybuild, *words: str | os.PathLike[str], cwd: Path, at: str) -> int:
    """Stop a build, as Ctrl-C does, once a step printed a text; gives the exit status."""
    with started(pybuild, "build", ".", "--progress", "json", *words, cwd=cwd) as process:
        heard(process.stdout, '"Log"', at)
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=_PATIENCE)
