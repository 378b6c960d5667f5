"""The runtime's configuration of a service: what the image wants to run, locked down as a step is.

(OCI runtime specification 1.0.2, `config.json`.) The tree is read-only; what can be written is in memory or in the
service's state. Mount points are paths without links, made before the tree became read-only (`service.tree`).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import seccomp, system
from buildkit_py.executor.sandbox.capabilities import DEFAULT_CAPABILITIES
from buildkit_py.executor.sandbox.oci import filter_for
from buildkit_py.service.settings import Network

if TYPE_CHECKING:
    from buildkit_py.layer.owner import User
    from buildkit_py.oci import ImageConfigDoc

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUIET = ["nosuid", "noexec", "nodev"]
_UMASK = 0o022
_RUNC_MAX_ID = 2**31 - 1
_SIGNAL = re.compile(r"(?:SIG)?(RTMIN|RTMAX)(?:([+-])([0-9]{1,2}))?\Z")
_MASKED_SYS = ("/sys/firmware", "/sys/devices/virtual/powercap", "/sys/kernel/security", "/sys/fs/bpf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Paths inside the tree, without links: the working directory; directories in memory with their mount options;
    volumes with the directories of the machine that they are; files of the machine that are shown."""

    cwd: str
    memory: Mapping[str, Sequence[str]]
    volumes: Mapping[str, Path]
    shown: Sequence[str]


def configuration(
    config: ImageConfigDoc,
    *,
    name: str,
    user: User,
    env: Sequence[tuple[str, str]],
    network: Network,
    places: Places,
) -> dict[str, Any]:
    """The `config.json`. Raises `SandboxError` for what no service can be made of."""
    args = (*(config.entrypoint or ()), *(config.command or ()))
    if not args or not args[0]:
        raise SandboxError("the image names no program to run", hint="give it an entrypoint or a command")
    if max(user.uid, user.gid, *user.groups, 0) > _RUNC_MAX_ID:
        raise SandboxError(f"runc can't take numbers above {_RUNC_MAX_ID} for users and groups")
    namespaces = ["pid", "mount", "ipc", "uts", "cgroup", *(["network"] if network == "none" else [])]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "hostname": name.replace("_", "-"),
        "process": _process(args, user, _environment(config, user, env), places.cwd),
        "mounts": _mounts(places),
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": [*system.MASKED, *_MASKED_SYS],
            "readonlyPaths": list(system.READ_ONLY),
            "seccomp": filter_for(seccomp.opening(DEFAULT_CAPABILITIES)),
        },
    }


def _process(args: Sequence[str], user: User, env: Sequence[str], cwd: str) -> dict[str, Any]:
    for part in (*args, *env):
        if "\0" in part:
            raise SandboxError("an argument or variable of the image holds a NUL byte")
    held = [f"CAP_{name}" for name in DEFAULT_CAPABILITIES]
    own = held if user.uid == 0 else []
    return {
        "terminal": False,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups), "umask": _UMASK},
        "args": list(args),
        "env": list(env),
        "cwd": cwd,
        "capabilities": {"bounding": held, "permitted": own, "effective": own, "inheritable": [], "ambient": []},
        "noNewPrivileges": True,
    }


def _environment(config: ImageConfigDoc, user: User, env: Sequence[tuple[str, str]]) -> list[str]:
    values = {"PATH": _PATH, "HOME": user.home or "/", **dict(config.env), **dict(env)}
    return [f"{name}={value}" for name, value in values.items()]


def _mounts(places: Places) -> list[dict[str, Any]]:
    fixed = [
        _mount("/proc", "proc", "proc", _QUIET),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        _mount("/dev/shm", "tmpfs", "shm", [*_QUIET, "mode=1777", "size=65536k"]),
        _mount("/dev/mqueue", "mqueue", "mqueue", _QUIET),
        _mount("/sys", "sysfs", "sysfs", [*_QUIET, "ro"]),
    ]
    own = [_mount(path, "tmpfs", "tmpfs", ["nosuid", "nodev", *options]) for path, options in places.memory.items()]
    own += [_mount(path, "bind", str(at), ["bind", "rw", "nosuid", "nodev"]) for path, at in places.volumes.items()]
    own += [_mount(path, "bind", path, ["bind", "ro", *_QUIET]) for path in places.shown]
    return [*fixed, *sorted(own, key=lambda mount: mount["destination"].count("/"))]


def _mount(destination: str, kind: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def stop_signal(config: ImageConfigDoc) -> tuple[str, int]:
    """The signal that stops the service, as systemd writes it, and its number. Raises `SandboxError`."""
    written = (config.stop_signal or "SIGTERM").upper()
    if real := _SIGNAL.match(written):
        ends = {"RTMIN": signal.SIGRTMIN, "RTMAX": signal.SIGRTMAX}
        number = int(ends[real[1]]) + int(f"{real[2] or '+'}{real[3] or 0}")
    elif written.isascii() and written.isdigit() and len(written) < 3:
        number = int(written)
    else:
        named = getattr(signal, written if written.startswith("SIG") else f"SIG{written}", 0)
        number = int(named) if isinstance(named, signal.Signals) else 0
    if not 0 < number <= signal.SIGRTMAX:
        raise SandboxError(f"the image is stopped by something that is no signal: {written[:40]!r}")
    if number < signal.SIGRTMIN:
        return signal.Signals(number).name if number in signal.valid_signals() else f"{number}", number
    return f"SIGRTMIN+{number - signal.SIGRTMIN}", number
