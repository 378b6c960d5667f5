"""Lets an ordinary user build: this process becomes root of a user namespace of its own.

Root in there is the user outside, and the numbers from 1 on are the user's ranges of /etc/subuid and /etc/subgid
(user_namespaces(7), newuidmap(1)). Must be called while the process has one thread.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from buildkit_py.errors import MissingToolError, SandboxError
from buildkit_py.executor.sandbox import kernel

_INITIAL = 0xEFFFFFFD
"""The inode of the machine's own user namespace (PROC_USER_INIT_INO), the same in every kernel."""
_LEAST = 65536
_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=10000"),
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
}


def in_user_namespace() -> bool:
    """Whether this process lives in a user namespace, where overlays need `userxattr`; its map may be the identity."""
    try:
        return Path("/proc/self/ns/user").stat().st_ino != _INITIAL
    except FileNotFoundError:
        return False


def enter_user_namespace() -> None:
    """Become root of a new user namespace; the process keeps its pid, environment and open files.

    Raises `MissingToolError` without newuidmap, and `SandboxError` that says what the administrator has to do.
    """
    tools = {name: _tool(name) for name in ("newuidmap", "newgidmap")}
    user = _user_name()
    maps = {
        "newuidmap": _map(os.getuid(), Path("/etc/subuid"), user),
        "newgidmap": _map(os.getgid(), Path("/etc/subgid"), user),
    }
    commands = [[tools[name], str(os.getpid()), *maps[name]] for name in tools]
    helper = _MapWriter(commands)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError as error:
        helper.abandon()
        raise SandboxError(f"this user can't make a user namespace: {error.strerror}", hint=_switch()) from error
    helper.write()
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])


class _MapWriter:
    """A child outside the new namespace, which alone may write the maps; it waits for a word."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        go, self._go = os.pipe()
        self._said, said = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._go)
            _write_maps(commands, go, said)
        os.close(go)
        os.close(said)

    def abandon(self) -> None:
        os.close(self._go)
        os.close(self._said)
        os.waitpid(self._pid, 0)

    def write(self) -> None:
        os.write(self._go, b"g")
        with os.fdopen(self._said, "rb") as file:
            said = file.read().decode(errors="replace").strip()
        os.close(self._go)
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise SandboxError(
                f"can't map the numbers of /etc/subuid and /etc/subgid: {said}",
                hint="newuidmap and newgidmap must be set-user-id root: apt-get install --reinstall uidmap",
            )


def _write_maps(commands: Sequence[Sequence[str]], go: int, said: int) -> None:
    try:
        if os.read(go, 1):
            os.dup2(said, 2)
            failed = [command for command in commands if os.spawnve(os.P_WAIT, command[0], list(command), {})]
            os._exit(1 if failed else 0)
    finally:
        os._exit(1)


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingToolError(f"{name} is not installed, so only root can build", hint="apt-get install uidmap")
    return path


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _map(own: int, file: Path, user: str) -> list[str]:
    """Arguments of newuidmap: 0 is the user, 1 … the first range of at least 65,536 numbers in `file`."""
    lines = file.read_text().splitlines() if file.exists() else []
    for line in lines:
        name, _, numbers = line.partition(":")
        start, _, count = numbers.partition(":")
        if name in (user, str(os.getuid())) and start.isdigit() and count.isdigit() and int(count) >= _LEAST:
            return ["0", str(own), "1", "1", start, count]
    raise SandboxError(
        f"user {user} has no range of {_LEAST} numbers in {file}",
        hint=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
    )


def _switch() -> str | None:
    for path, (off, remedy) in _SWITCHES.items():
        file = Path(path)
        if file.exists() and file.read_text().strip() == off:
            return f"as root: {remedy}"
    return None
