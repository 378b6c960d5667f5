"""Things that take long to make and never change: made once a machine, kept outside the checkout, shared by processes.

<cache>/<name>-<hash of the recipe>/       whole, or not there
<cache>/<name>-<hash of the recipe>.lock   held while it is being made
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def directory() -> Path:
    """Where they are kept: $XDG_CACHE_HOME/pybuild-tests, else /var/tmp/pybuild-tests-<uid>."""
    home = os.environ.get("XDG_CACHE_HOME")
    path = Path(home, "pybuild-tests") if home else Path(f"/var/tmp/pybuild-tests-{os.geteuid()}")
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    return path


def once(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The directory that `make` fills, made where nobody has made it by that recipe."""
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    made = directory() / f"{name}-{digest}"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            scratch = Path(tempfile.mkdtemp(dir=directory(), prefix=f".{name}-"))
            try:
                make(scratch)
                scratch.chmod(0o755)
                scratch.rename(made)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return made


def run(*args: str | os.PathLike[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a tool and give its standard output; a failure shows what it said."""
    import subprocess

    search = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": search, "LC_ALL": "C.UTF-8", **(env or {})}
    done = subprocess.run(
        [os.fspath(arg) for arg in args], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{' '.join(map(str, args))} ended with {done.returncode}:\n{output[-4000:]}")
    return done.stdout.decode(errors="replace")
