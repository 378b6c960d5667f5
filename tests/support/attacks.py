"""What the tests of the sandbox attack with: projects, calls made without a libc, and directories that are swapped."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from buildkit_py.executor.sandbox import aarch64, bpf, x86_64
from buildkit_py.executor.sandbox.callscript import BASE, Call, Data, assemble
from tests.support import layouts
from tests.support.command import Pybuild
from tests.support.project import Built, Project

# --- builds


def attacked(pybuild: Pybuild, area: Path, way: Sequence[str]) -> Project:
    """A new project that builds that way; `oci:base` is a busybox."""
    directory = area / f"project{len(list(area.glob('project*')))}"
    directory.mkdir()
    project = Project(pybuild=pybuild, directory=directory, arguments=tuple(way))
    project.base()
    return project


def dockerfile(project: Project, text: str, *, base: str = "base") -> Built:
    """Build a Dockerfile, whose `base` is a layout of the project; never raises for an exit code."""
    project.write({"Dockerfile": text})
    words = ("build", ".", "-f", "Dockerfile", "--build-context", f"base=oci-layout://{base}", "--progress", "json")
    return Built(project.pybuild(*words, *project.arguments, cwd=project.directory), project)


def ran(built: Built) -> list[str]:
    """What the steps of a build that succeeded printed."""
    assert built.code == 0, built.result.output
    return built.printed()


def image(project: Project, name: str, *entries: layouts.Entry) -> None:
    """Have `oci:NAME` be the project's base with these entries above it."""
    base = layouts.layers_of(project.directory / "base")
    layouts.write_layout(project.directory / name, [*base, layouts.layer(entries)], {"Env": ["PATH=/bin"]})


@contextmanager
def canary(path: Path, text: str) -> Iterator[Path]:
    """A file of the machine that must be the same afterwards."""
    path.write_text(text)
    try:
        yield path
        assert path.read_text() == text, "the canary was changed"
    finally:
        path.unlink(missing_ok=True)


_IDENTITY = """
import os, sys
from buildkit_py.executor.sandbox import kernel

ready, go = os.pipe()
if os.fork() == 0:
    os.read(ready, 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{os.getppid()}/{name}", "w") as file:
            file.write("0 0 4294967295")
    os._exit(0)
kernel.unshare(kernel.CLONE_NEWUSER)
os.write(go, b"g")
os.wait()
os.execv(sys.argv[1], sys.argv[1:])
"""
IDENTICAL = (sys.executable, "-c", _IDENTITY)
"""Starts a command as root of a user namespace whose numbers are the machine's."""


# --- calls

MACHINE = os.uname().machine
_UNTOLD = {
    "x86_64": {"pivot_root": 155, "swapon": 167, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250},
    "aarch64": {"pivot_root": 41, "swapon": 224, "kexec_load": 104, "add_key": 217, "request_key": 218, "keyctl": 219},
}
_UNTOLD["x86_64"] |= {"userfaultfd": 323, "io_uring_setup": 425}
_UNTOLD["aarch64"] |= {"userfaultfd": 282, "io_uring_setup": 425}
"""System calls that no profile names, so that no table of ours has them."""


def call(name: str, *arguments: int) -> bytes:
    """A program that makes one system call, and writes 0 and the errno (two 32-bit numbers) where that fails."""
    machine = {"x86_64": x86_64, "aarch64": aarch64}[MACHINE]
    with mock.patch.dict(machine.NUMBERS, {**bpf.numbers(MACHINE), **_UNTOLD[MACHINE]}):
        return assemble([Call(name, arguments), Call("exit_group", (0,))], Data(), 1, MACHINE)


def call_of_32_bits(number: int, *arguments: int) -> bytes:
    """A program of x86_64 that makes one call of i386, by its old gate, and ends with the errno."""
    load = b"".join(
        bytes([opcode]) + struct.pack("<I", value)
        for opcode, value in zip((0xB8, 0xBB, 0xB9, 0xBA), (number, *arguments), strict=False)  # mov eax|ebx|ecx|edx
    )
    end = b"\xf7\xd8\x89\xc7\xb8\x3c\x00\x00\x00\x0f\x05"  # neg eax; mov edi, eax; mov eax, 60; syscall
    code = load + b"\xcd\x80" + end  # int 0x80
    size = 64 + 56 + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf = struct.pack("<HHIQQQIHHHHHH", 2, x86_64.ELF_MACHINE, 1, BASE + 120, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return identity + elf + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x1000) + code


def place_programs(directory: Path, programs: Mapping[str, bytes]) -> None:
    """Write programs to a new directory."""
    directory.mkdir()
    for name, data in programs.items():
        (directory / name).write_bytes(data)
        (directory / name).chmod(0o755)


# --- races

_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def swapping(path: Path, target: str) -> Iterator[None]:
    """A directory and a link to `target` change places for as long as the block runs."""
    link = path.with_name("link")
    link.symlink_to(target)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            _libc.renameat2(-100, os.fsencode(path), -100, os.fsencode(link), _EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if path.is_symlink():
            _libc.renameat2(-100, os.fsencode(path), -100, os.fsencode(link), _EXCHANGE)
        link.unlink()
