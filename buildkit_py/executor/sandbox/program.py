"""Finds a step's program inside its root, before any runtime starts, so that every runtime fails alike without one."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import PurePosixPath

from buildkit_py.executor.sandbox import inroot
from buildkit_py.executor.sandbox.loader import interpreter
from buildkit_py.executor.sandbox.spec import SandboxSpec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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
        if not _is_program(root, path):
            _refuse(root, name, path)
    else:
        path = _search(root, spec, name)
    _check_interpreter(root, name, path)
    return path


def _search(root: int, spec: SandboxSpec, name: str) -> str:
    directories = dict(spec.env).get("PATH", DEFAULT_PATH)
    for directory in directories.split(":"):
        path = str(PurePosixPath(spec.cwd, directory, name))
        if _is_program(root, path):
            return path
    raise NoProgramError(f"{name}: not found in PATH={directories}", NOT_FOUND)


def _refuse(root: int, name: str, path: str) -> None:
    try:
        os.close(inroot.find(root, path))
    except OSError as error:
        raise NoProgramError(f"{name}: no such file", NOT_FOUND) from error
    raise NoProgramError(f"{name}: not an executable file", NOT_EXECUTABLE)


def _is_program(root: int, path: str) -> bool:
    try:
        fd = inroot.find(root, path)
    except OSError:
        return False
    try:
        mode = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _check_interpreter(root: int, name: str, path: str) -> None:
    needed = None
    with suppress(OSError):
        fd = inroot.find(root, path, readable=True)
        try:
            needed = interpreter(fd)
        finally:
            os.close(fd)
    if needed is None:
        return
    try:
        os.close(inroot.find(root, str(PurePosixPath("/", needed))))
    except OSError as error:
        raise NoProgramError(f"{name}: needs {needed}, which is not in the tree", NOT_FOUND) from error
