"""Starts a step by an OCI runtime: runc or crun (OCI runtime specification 1.0.2).

The root arrives with everything mounted but /proc, so the configuration only asks for what a runtime must do itself:
a pid and a mount namespace, /proc, the identity, capabilities and the filter of system calls. They make no cgroup:
to both runtimes this looks like a machine where they may not. Those that limit a step are pybuild's own (see `groups`).
"""

from __future__ import annotations

import json
import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import kernel, seccomp, system
from buildkit_py.executor.sandbox.callscript import Call, Data, assemble
from buildkit_py.executor.sandbox.init import PROGRAM, Init
from buildkit_py.executor.sandbox.process import Reaper
from buildkit_py.executor.sandbox.runtime import Prepared, Runtime
from buildkit_py.executor.sandbox.spec import MemoryRoot

_UMASK = 0o022
_OPTIONS = {"runc": ("--rootless", "true"), "crun": ("--cgroup-manager", "disabled")}
_AT_FDCWD = -100
_BUFFER, _BUFFER_SIZE, _READ_WRITE, _PRIVATE_FIXED_ANONYMOUS = 0x20000000, 1 << 16, 3, 0x32
_QUIET = ["nosuid", "noexec", "nodev"]


def start(runtime: Runtime, step: Prepared) -> int:
    """Run the step to its end; see `runtime.Start`."""
    bundle, log, pid_file = (step.scratch / name for name in ("bundle", "log", "pid"))
    bundle.mkdir(mode=0o700)
    config = configuration(step)
    if runtime.name == "crun" and _attributes(step):
        config["hooks"] = {"createContainer": [{"path": str(_root_hook(step))}]}
    (bundle / "config.json").write_text(json.dumps(config))
    init = Init(step, (), Data())
    reaper = Reaper()
    status = reaper.wait(
        init.spawn(
            (
                runtime.path,
                *_OPTIONS[runtime.name],
                *("--root", str(step.scratch / "state"), "--log", str(log), "--log-format", "json"),
                *("run", "--detach", "--preserve-fds", str(init.descriptors)),
                *("--bundle", str(bundle), "--pid-file", str(pid_file), "step"),
            )
        )
    )
    if status:
        raise SandboxError(f"{runtime.name} could not start the step: {_last_error(log) or 'it gave no reason'}")
    code = reaper.wait(int(pid_file.read_text()))
    init.judge()
    return code


def configuration(step: Prepared) -> dict[str, Any]:
    """The `config.json` of a step."""
    root = str(step.rootfs.path)
    insecure = step.spec.insecure
    devices = [option for option in _QUIET if option != "nodev" or not insecure]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": root},
        "process": _process(step),
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": _QUIET},
            {"destination": "/dev", "type": "bind", "source": f"{root}/dev", "options": ["rbind", *devices]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}],
            **({} if insecure else _covers(step)),
        },
    }


def _covers(step: Prepared) -> dict[str, Any]:
    return {
        "maskedPaths": list(system.MASKED),
        "readonlyPaths": list(system.READ_ONLY),
        "seccomp": filter_for(seccomp.opening(step.spec.capabilities)),
    }


def _attributes(step: Prepared) -> int:
    """Those of the root."""
    read_only = step.spec.read_only or isinstance(step.spec.root, MemoryRoot)
    return (kernel.READ_ONLY if read_only else 0) | (0 if step.spec.insecure else kernel.NODEV)


def _root_hook(step: Prepared) -> Path:
    """A program that gives the root its attributes again: crun mounts it anew with none at all.

    It first takes the container's state from its stdin, because crun fails when no one reads that.
    """
    data = Data()
    path = data.add(os.fsencode(step.rootfs.path) + b"\0")
    attributes = data.add(struct.pack("<4Q", _attributes(step), 0, 0, 0))
    calls = [
        Call("mmap", (_BUFFER, _BUFFER_SIZE, _READ_WRITE, _PRIVATE_FIXED_ANONYMOUS, -1, 0)),
        Call("read", (0, _BUFFER, _BUFFER_SIZE)),
        Call("mount_setattr", (_AT_FDCWD, path, 0, attributes, 32)),
        Call("exit_group", (0,)),
    ]
    hook = step.scratch / "hook"
    hook.write_bytes(assemble(calls, data, 2, os.uname().machine))
    hook.chmod(0o500)
    return hook


@lru_cache(maxsize=8)
def filter_for(capabilities: tuple[str, ...]) -> dict[str, Any]:
    """The filter of system calls as OCI JSON."""
    return seccomp.to_oci(seccomp.profile(capabilities), os.uname().machine)


def _process(step: Prepared) -> dict[str, Any]:
    spec = step.spec
    held = [f"CAP_{name}" for name in spec.capabilities]
    user = held if spec.uid == 0 else []
    return {
        "terminal": False,
        "user": {"uid": spec.uid, "gid": spec.gid, "additionalGids": list(spec.groups), "umask": _UMASK},
        "args": [PROGRAM],
        "env": ["HOME=/"],
        "cwd": spec.cwd,
        "capabilities": {"bounding": held, "permitted": user, "effective": user, "inheritable": [], "ambient": []},
        "noNewPrivileges": spec.no_new_privs,
    }


def _last_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    messages = [line for line in lines if '"level":"error"' in line.replace(" ", "")]
    if not messages:
        return lines[-1] if lines else ""
    try:
        return str(json.loads(messages[-1])["msg"])
    except (ValueError, KeyError):
        return messages[-1]
