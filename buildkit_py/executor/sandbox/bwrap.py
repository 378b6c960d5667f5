"""Starts a step by bubblewrap, and a small program of ours inside that finishes what bubblewrap can't.

bubblewrap makes the pid and mount namespaces and /proc. It then executes a *call script* (see `callscript`) from a
descriptor of a file that no mount in the sandbox shows. The script drops the bounding set, sets groups, gid, uid and
capabilities, closes its own descriptors, installs the filter of system calls, and becomes the step.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from functools import lru_cache
from pathlib import Path

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import bpf, capabilities, seccomp, system
from buildkit_py.executor.sandbox.callscript import Call, Data, Pointer, assemble
from buildkit_py.executor.sandbox.process import Reaper, spawn
from buildkit_py.executor.sandbox.program import NOT_EXECUTABLE, NOT_FOUND, NoProgramError
from buildkit_py.executor.sandbox.runtime import Prepared, Runtime
from buildkit_py.executor.sandbox.spec import SandboxSpec

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _CLEAR_ALL = 24, 38, 47, 4
_CAPSET_VERSION = 0x20080522
_FILTER_MODE = 1
_CLOSE_RANGE_CLOEXEC = 4

_STATUS, _SCRIPT = 3, 4
_STARTED = b"\xff" * 8


def start(runtime: Runtime, step: Prepared) -> int:
    """Run the step to its end; see `runtime.Start`."""
    calls, data = _script(step)
    script = _write(step.scratch / "script", assemble(calls, data, _STATUS, os.uname().machine))
    heard, status = os.pipe()
    pid = spawn((runtime.path, *_arguments(step)), {_STATUS: status, _SCRIPT: script})
    os.close(status)
    os.close(script)
    code = Reaper().wait(pid)
    with os.fdopen(heard, "rb") as file:
        _judge(step.spec, calls, file.read())
    return code


def _arguments(step: Prepared) -> list[str]:
    root = str(step.rootfs.path)
    return [
        *("--dev-bind", root, "/", "--proc", "/proc"),
        *_covers(root, step.scratch),
        *("--unshare-pid", "--as-pid-1", "--die-with-parent", "--new-session"),
        *("--chdir", step.spec.cwd, "--", f"/proc/self/fd/{_SCRIPT}"),
    ]


def _covers(root: str, scratch: Path) -> list[str]:
    """Options that hide and protect parts of /proc. bubblewrap itself protects bus, irq, sys and sysrq-trigger."""
    empty = scratch / "nothing"
    empty.mkdir()
    options: list[str] = []
    for path in system.MASKED:
        if Path(path).is_dir():
            options += ["--ro-bind", str(empty), path]
        elif Path(path).exists():
            options += ["--dev-bind", f"{root}/dev/null", path]
    for path in system.READ_ONLY:
        if Path(path).exists():
            options += ["--ro-bind", path, path]
    return options


def _script(step: Prepared) -> tuple[list[Call], Data]:
    spec, data = step.spec, Data()
    held = capabilities.mask(spec.capabilities)
    moving = held | capabilities.mask(("SETUID", "SETGID"))
    calls = [
        Call("write", (_STATUS, data.add(_STARTED), len(_STARTED))),
        Call("prctl", (_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)),
        *(Call("prctl", (_PR_CAPBSET_DROP, bit, 0, 0, 0)) for bit in _dropped(held)),
        _capset(data, moving),
        Call("setgroups", (len(spec.groups), data.add(struct.pack(f"<{len(spec.groups)}I", *spec.groups)))),
        Call("setresgid", (spec.gid,) * 3),
        Call("setresuid", (spec.uid,) * 3),
        _capset(data, held if spec.uid == 0 else 0),
        Call("close_range", (3, 2**32 - 1, _CLOSE_RANGE_CLOEXEC)),
        Call("prctl", (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
        Call("seccomp", (_FILTER_MODE, 0, _filter(data, spec.capabilities))),
        _execve(step, data),
    ]
    return calls, data


def _dropped(held: int) -> list[int]:
    return [bit for bit in range(capabilities.last_capability() + 1) if not held >> bit & 1]


def _capset(data: Data, held: int) -> Call:
    """Effective and permitted are `held`, nothing is inheritable (capset(2), version 3)."""
    low, high = held & 0xFFFFFFFF, held >> 32
    header = data.add(struct.pack("<II", _CAPSET_VERSION, 0))
    return Call("capset", (header, data.add(struct.pack("<6I", low, low, 0, high, high, 0))))


def _filter(data: Data, granted: tuple[str, ...]) -> Pointer:
    program = filter_for(granted)
    at = data.add(program)
    where = data.add(struct.pack("<HHI", len(program) // 8, 0, 0) + bytes(8))
    data.pointers.append((where.offset + 8, at.offset))
    return where


@lru_cache(maxsize=8)
def filter_for(granted: tuple[str, ...]) -> bytes:
    """The filter of system calls as a BPF program."""
    return bpf.compile_profile(seccomp.profile(granted), os.uname().machine)


def _execve(step: Prepared, data: Data) -> Call:
    arguments = data.add_array([os.fsencode(item) for item in step.spec.args])
    environment = data.add_array([os.fsencode(f"{name}={value}") for name, value in step.env])
    return Call("execve", (data.add(os.fsencode(step.program) + b"\0"), arguments, environment))


def _write(path: Path, content: bytes) -> int:
    """Write an executable file and open it for reading; nothing has it open for writing then."""
    path.write_bytes(content)
    path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _judge(spec: SandboxSpec, calls: list[Call], heard: bytes) -> None:
    """Raise for what the script told of; silence after the first word means that the step ran."""
    if not heard:
        raise SandboxError("bubblewrap could not make the sandbox (what it said is in the step's output)")
    if heard == _STARTED:
        return
    index, number = struct.unpack("<II", heard[8:16])
    if calls[index].name == "execve":
        status = NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE
        raise NoProgramError(f"{spec.args[0]}: can't be executed ({os.strerror(number).lower()})", status)
    raise SandboxError(
        f"bubblewrap can't give what the step asks for ({calls[index].name}: {os.strerror(number).lower()})",
        hint="use --runtime runc",
    )
