"""A list of system calls as a static executable, which runs in any root file system, even an empty one.

The program makes one call after the other; where one fails, it writes its index and the errno (two little-endian
32-bit numbers) to a descriptor and exits. It may fork once, and is then the init of the step: it reaps all children,
and ends as the step does. There is no other branch, no library and no memory that it writes to but its stack. Layout
of the file:

    ELF header │ one program header │ code │ data (strings, arrays)     loaded at BASE, read and execute
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import aarch64, x86_64

BASE = 0x10000000
_HEADERS = 64 + 56
FAILED = 125
"""The exit status after a failed call."""
_MACHINES = {"x86_64": x86_64, "aarch64": aarch64}
_SIGCHLD = 17


@dataclass(frozen=True, slots=True)
class Pointer:
    """The address of `data[offset:]`, as an argument of a call."""

    offset: int


Argument = int | Pointer


@dataclass(slots=True)
class Data:
    """What the calls point to; grows while the script is written, and knows its pointers that need an address."""

    raw: bytearray = field(default_factory=bytearray)
    pointers: list[tuple[int, int]] = field(default_factory=list)

    def add(self, value: bytes) -> Pointer:
        """Append bytes, aligned to 8."""
        self.raw += bytes(-len(self.raw) % 8)
        at = len(self.raw)
        self.raw += value
        return Pointer(at)

    def add_array(self, strings: Sequence[bytes]) -> Pointer:
        """Append NUL-terminated strings and the NULL-terminated array of pointers to them (argv, envp)."""
        targets = [self.add(item + b"\0") for item in strings]
        at = self.add(bytes(8 * (len(strings) + 1)))
        self.pointers += [(at.offset + 8 * index, target.offset) for index, target in enumerate(targets)]
        return at

    def at(self, base: int) -> bytes:
        """The bytes, with every pointer set for data that is loaded at `base`."""
        raw = bytearray(self.raw)
        for where, target in self.pointers:
            struct.pack_into("<Q", raw, where, base + target)
        return bytes(raw)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: its name, and at most six arguments."""

    name: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Fork:
    """A child goes on with the calls that follow. The parent makes those of `parent`, whether they fail or not, waits
    until the child is dead, and exits with its status, or 128+N after signal N."""

    parent: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Absolute:
    """Fails unless the path that getcwd(2) left at `address` begins at the root."""

    address: int


Item = Call | Absolute | Fork


def assemble(items: Sequence[Item], data: Data, failures: int, machine: str) -> bytes:
    """The executable. `failures` is the descriptor that hears of a failed call, by the index of its item. Raises
    `SandboxError`."""
    if machine not in _MACHINES:
        raise SandboxError(f"steps can't be run on {machine}", hint="use a machine of x86_64 or aarch64")
    size = len(_encode(items, failures, 0, machine))
    start = BASE + _HEADERS + size + (-(_HEADERS + size) % 8)
    code = _encode(items, failures, start, machine)
    body = code + bytes(start - BASE - _HEADERS - size) + data.at(start)
    return _headers(machine, len(body)) + body


def _headers(machine: str, size: int) -> bytes:
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    number = _MACHINES[machine].ELF_MACHINE
    elf = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    total = _HEADERS + size
    return identity + elf + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, total, total, 0x1000)


def _encode(items: Sequence[Item], failures: int, data_at: int, machine: str) -> bytes:
    encoder = _MACHINES[machine]
    code = b""
    for index, item in enumerate(items):
        code += _item(item, data_at, machine) + encoder.unless_failed(index, failures, FAILED)
        if isinstance(item, Fork):
            parent = b"".join(_call(each, data_at, machine) for each in item.parent)
            code += encoder.unless_child(parent, FAILED)
    return code


def _item(item: Item, data_at: int, machine: str) -> bytes:
    if isinstance(item, Absolute):
        code: bytes = _MACHINES[machine].absolute(item.address)
        return code
    return _call(item if isinstance(item, Call) else Call("clone", (_SIGCHLD, 0, 0, 0, 0)), data_at, machine)


def _call(call: Call, data_at: int, machine: str) -> bytes:
    values = [_value(argument, data_at) for argument in call.arguments]
    code: bytes = _MACHINES[machine].call(call.name, values)
    return code


def _value(argument: Argument, data_at: int) -> int:
    return data_at + argument.offset if isinstance(argument, Pointer) else argument & 0xFFFFFFFFFFFFFFFF
