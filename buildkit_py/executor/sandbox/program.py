"""Finds a step's program inside its root, before any runtime starts."""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath

from buildkit_py.executor.sandbox import inroot
from buildkit_py.executor.sandbox.spec import SandboxSpec

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit statuses that shells use for a program that can't be started."""


class NoProgramError(Exception):
    """There is nothing to run; `exit` is what a shell would end with."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit = exit_status


def find_program(root: int, spec: SandboxSpec) -> str:
    """The path in the root of `args[0]`, looked up as execvp(3) does; raises `NoProgramError`."""
    name = spec.args[0]
    if "/" in name:
        path = str(PurePosixPath(spec.cwd, name))
        _check(root, name, path)
        return path
    search = dict(spec.env).get("PATH", _DEFAULT_PATH)
    for directory in search.split(":"):
        path = str(PurePosixPath(spec.cwd, directory, name))
        if _is_program(root, path):
            return path
    raise NoProgramError(f"{name}: not found in PATH={search}", NOT_FOUND)


def _check(root: int, name: str, path: str) -> None:
    if _status(root, path) is None:
        raise NoProgramError(f"{name}: no such file", NOT_FOUND)
    if not _is_program(root, path):
        raise NoProgramError(f"{name}: not an executable file", NOT_EXECUTABLE)


def _is_program(root: int, path: str) -> bool:
    status = _status(root, path)
    return status is not None and stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)


def _status(root: int, path: str) -> os.stat_result | None:
    try:
        fd = inroot.find(root, path)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)
