"""A place for the files of targets that read files: in memory where there is one, gone with the process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@cache
def scratch() -> Path:
    """This process's directory."""
    directory = Path(tempfile.mkdtemp(prefix="pybuild-fuzz-", dir=None if "TMPDIR" in os.environ else MEMORY))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def written(name: str, data: bytes) -> Path:
    """A file of that name with these bytes."""
    path = scratch() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
