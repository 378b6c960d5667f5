"""A list of system calls as a static executable, which runs in any root file system, even an empty one.

The program makes one call after the other; where one fails, it writes its index and the errno (two little-endian
32-bit numbers) to a descriptor and exits. There are no branches, no stack and no library. Layout of the file:

    ELF header │ one program header │ code │ data (strings, arrays)     loaded at BASE, read and execute
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from buildkit_py.errors import SandboxError

BASE = 0x10000000
_HEADERS = 64 + 56
FAILED = 125
"""The exit status after a failed call."""


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


_NUMBERS = {
    "x86_64": {
        "read": 0,
        "write": 1,
        "mmap": 9,
        "execve": 59,
        "exit_group": 231,
        "setgroups": 116,
        "setresuid": 117,
        "setresgid": 119,
        "capset": 126,
        "prctl": 157,
        "seccomp": 317,
        "close_range": 436,
        "mount_setattr": 442,
    },
    "aarch64": {
        "read": 63,
        "write": 64,
        "mmap": 222,
        "execve": 221,
        "exit_group": 94,
        "setgroups": 159,
        "setresuid": 147,
        "setresgid": 149,
        "capset": 91,
        "prctl": 167,
        "seccomp": 277,
        "close_range": 436,
        "mount_setattr": 442,
    },
}
_ELF_MACHINE = {"x86_64": 62, "aarch64": 183}


def assemble(calls: Sequence[Call], data: Data, failures: int, machine: str) -> bytes:
    """The executable. `failures` is the descriptor that hears of a failed call. Raises `SandboxError`."""
    if machine not in _NUMBERS:
        raise SandboxError(f"bubblewrap can't be used on {machine}", hint="use --runtime runc")
    encode = _x86_64 if machine == "x86_64" else _aarch64
    size = len(encode(calls, failures, 0))
    start = BASE + _HEADERS + size + (-(_HEADERS + size) % 8)
    code = encode(calls, failures, start)
    body = code + bytes(start - BASE - _HEADERS - size) + data.at(start)
    return _headers(machine, len(body)) + body


def _headers(machine: str, size: int) -> bytes:
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf = struct.pack("<HHIQQQIHHHHHH", 2, _ELF_MACHINE[machine], 1, BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    total = _HEADERS + size
    return identity + elf + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, total, total, 0x1000)


def _value(argument: Argument, data_at: int) -> int:
    return data_at + argument.offset if isinstance(argument, Pointer) else argument & 0xFFFFFFFFFFFFFFFF


# x86_64: number in rax, arguments in rdi rsi rdx r10 r8 r9; a result of -1 … -4095 is an error.
_X86_MOVE = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")


def _x86_64(calls: Sequence[Call], failures: int, data_at: int) -> bytes:
    code = b""
    for index, call in enumerate(calls):
        code += _x86_call(_NUMBERS["x86_64"][call.name], [_value(item, data_at) for item in call.arguments])
        failure = _x86_failure(index, failures)
        code += b"\x48\x85\xc0" + b"\x79" + bytes([len(failure)]) + failure  # test rax, rax; jns past the failure
    return code


def _x86_call(number: int, arguments: Sequence[int]) -> bytes:
    moves = b"".join(move + struct.pack("<Q", value) for move, value in zip(_X86_MOVE, arguments, strict=False))
    return moves + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"  # mov eax, number; syscall


def _x86_failure(index: int, failures: int) -> bytes:
    numbers = _NUMBERS["x86_64"]
    store = (
        b"\x50"  # push rax
        + b"\xf7\x1c\x24"  # neg dword [rsp]
        + b"\x8b\x04\x24"  # mov eax, [rsp]
        + b"\x89\x44\x24\x04"  # mov [rsp+4], eax
        + b"\xc7\x04\x24"
        + struct.pack("<I", index)  # mov dword [rsp], index
    )
    write = (
        b"\xbf"
        + struct.pack("<I", failures)  # mov edi, failures
        + b"\x48\x89\xe6"  # mov rsi, rsp
        + b"\xba"
        + struct.pack("<I", 8)  # mov edx, 8
        + b"\xb8"
        + struct.pack("<I", numbers["write"])
        + b"\x0f\x05"
    )
    leave = b"\xbf" + struct.pack("<I", FAILED) + b"\xb8" + struct.pack("<I", numbers["exit_group"]) + b"\x0f\x05"
    return store + write + leave


# aarch64: number in x8, arguments in x0 … x5, result in x0.
def _aarch64(calls: Sequence[Call], failures: int, data_at: int) -> bytes:
    code = b""
    for index, call in enumerate(calls):
        values = [_value(item, data_at) for item in call.arguments]
        code += b"".join(_arm_load(register, value) for register, value in enumerate(values))
        code += _arm_load(8, _NUMBERS["aarch64"][call.name]) + _ARM_SVC
        failure = _arm_failure(index, failures)
        skip = (len(failure) // 4 + 1) << 5
        code += struct.pack("<I", 0xB6F80000 | skip) + failure  # tbz x0, #63, past the failure
    return code


_ARM_SVC = struct.pack("<I", 0xD4000001)


def _arm_load(register: int, value: int) -> bytes:
    """movz and three movk: any 64-bit number."""
    words = [(value >> shift) & 0xFFFF for shift in (0, 16, 32, 48)]
    code = struct.pack("<I", 0xD2800000 | words[0] << 5 | register)
    for half, word in enumerate(words[1:], 1):
        code += struct.pack("<I", 0xF2800000 | half << 21 | word << 5 | register)
    return code


def _arm_failure(index: int, failures: int) -> bytes:
    numbers = _NUMBERS["aarch64"]
    store = struct.pack(
        "<IIII",
        0xCB0003E9,  # neg x9, x0
        0xD2800000 | index << 5 | 10,  # movz x10, index
        0xAA09814A,  # orr x10, x10, x9, lsl #32
        0xF81F0FEA,  # str x10, [sp, #-16]!
    )
    write = _arm_load(0, failures) + struct.pack("<I", 0x910003E1) + _arm_load(2, 8)  # mov x1, sp
    write += _arm_load(8, numbers["write"]) + _ARM_SVC
    return store + write + _arm_load(0, FAILED) + _arm_load(8, numbers["exit_group"]) + _ARM_SVC
