"""Starts a step by bubblewrap, and a small program of ours inside that finishes what bubblewrap can't.

bubblewrap makes the pid and mount namespaces and /proc. It then executes the step's init (see `init`), which here also
drops the bounding set, sets groups, gid, uid and capabilities, and installs the filter of system calls. A step without
no_new_privs is started without bubblewrap (see `direct`).
"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from pathlib import Path

from buildkit_py.executor.sandbox import bpf, capabilities, direct, seccomp, system
from buildkit_py.executor.sandbox.callscript import Call, Data, Pointer
from buildkit_py.executor.sandbox.init import PROGRAM, Init
from buildkit_py.executor.sandbox.process import Reaper
from buildkit_py.executor.sandbox.runtime import Prepared, Runtime
from buildkit_py.executor.sandbox.spec import SandboxSpec

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _CLEAR_ALL = 24, 38, 47, 4
_CAPSET_VERSION = 0x20080522
_FILTER_MODE = 1


def start(runtime: Runtime, step: Prepared) -> int:
    """Run the step to its end; see `runtime.Start`."""
    data = Data()
    init = Init(step, _privileges(step.spec, data), data)
    bound = step.spec.no_new_privs
    code = Reaper().wait(init.spawn((runtime.path, *_arguments(step))) if bound else direct.spawn(step, init))
    init.judge()
    return code


def _arguments(step: Prepared) -> list[str]:
    root = str(step.rootfs.path)
    return [
        *("--dev-bind", root, "/", "--proc", "/proc"),
        *_covers(root, step.scratch),
        *("--unshare-pid", "--as-pid-1", "--die-with-parent", "--new-session"),
        *("--chdir", step.spec.cwd, "--", PROGRAM),
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


def _privileges(spec: SandboxSpec, data: Data) -> list[Call]:
    held = capabilities.mask(spec.capabilities)
    moving = held | capabilities.mask(("SETUID", "SETGID"))
    locked = [Call("prctl", (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))] if spec.no_new_privs else []
    filtered = [] if spec.insecure else [Call("seccomp", (_FILTER_MODE, 0, _filter(data, spec.capabilities)))]
    return [
        # Who may still gain privileges may only filter calls while it is privileged itself.
        *([] if locked else filtered),
        Call("prctl", (_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)),
        *(Call("prctl", (_PR_CAPBSET_DROP, bit, 0, 0, 0)) for bit in _dropped(held)),
        _capset(data, moving),
        Call("setgroups", (len(spec.groups), data.add(struct.pack(f"<{len(spec.groups)}I", *spec.groups)))),
        Call("setresgid", (spec.gid,) * 3),
        Call("setresuid", (spec.uid,) * 3),
        _capset(data, held if spec.uid == 0 else 0),
        *locked,
        *(filtered if locked else []),
    ]


def _dropped(held: int) -> list[int]:
    return [bit for bit in range(capabilities.last_capability() + 1) if not held >> bit & 1]


def _capset(data: Data, held: int) -> Call:
    """Effective and permitted are `held`, nothing is inheritable (capset(2), version 3)."""
    low, high = held & 0xFFFFFFFF, held >> 32
    header = data.add(struct.pack("<II", _CAPSET_VERSION, 0))
    return Call("capset", (header, data.add(struct.pack("<6I", low, low, 0, high, high, 0))))


def _filter(data: Data, granted: tuple[str, ...]) -> Pointer:
    program = filter_for(seccomp.opening(granted))
    at = data.add(program)
    where = data.add(struct.pack("<HHI", len(program) // 8, 0, 0) + bytes(8))
    data.pointers.append((where.offset + 8, at.offset))
    return where


@lru_cache(maxsize=8)
def filter_for(granted: tuple[str, ...]) -> bytes:
    """The filter of system calls as a BPF program."""
    return bpf.compile_profile(seccomp.profile(granted), os.uname().machine)
