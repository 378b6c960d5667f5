"""Machine code of aarch64 for call scripts (see `callscript`).

The kernel takes a call's number in x8 and its arguments in x0 … x5; the result in x0 is an error from -1 to -4095.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

ELF_MACHINE = 183
NUMBERS = {
    "getcwd": 17,
    "ioctl": 29,
    "openat": 56,
    "read": 63,
    "write": 64,
    "capset": 91,
    "exit_group": 94,
    "setresuid": 147,
    "setresgid": 149,
    "setsid": 157,
    "setgroups": 159,
    "prctl": 167,
    "clone": 220,
    "execve": 221,
    "mmap": 222,
    "wait4": 260,
    "prlimit64": 261,
    "seccomp": 277,
    "close_range": 436,
    "mount_setattr": 442,
}


def call(name: str, values: Sequence[int]) -> bytes:
    """One call."""
    loads = b"".join(_load(register, value) for register, value in enumerate(values))
    return loads + _load(8, NUMBERS[name]) + _word(0xD4000001)  # svc #0


def absolute(address: int) -> bytes:
    """As a call that fails where the path at an address does not begin with `/`: the kernel begins what leads out of
    the root with `(`, which is less."""
    return _load(0, address) + struct.pack("<II", 0x39400000, 0xD100BC00)  # ldrb w0, [x0]; sub x0, x0, #'/'


def unless_failed(index: int, descriptor: int, status: int) -> bytes:
    """After a call: where it failed, write its index and the errno to a descriptor, and exit."""
    store = struct.pack(
        "<IIII",
        0xCB0003E9,  # neg x9, x0
        0xD2800000 | index << 5 | 10,  # movz x10, index
        0xAA09814A,  # orr x10, x10, x9, lsl #32
        0xF81F0FEA,  # str x10, [sp, #-16]!
    )
    tell = _load(0, descriptor) + _word(0x910003E1) + _load(2, 8) + call("write", ())  # mov x1, sp
    failure = store + tell + call("exit_group", (status,))
    return _word(0xB6F80000 | _past(failure) << 5) + failure  # tbz x0, #63, past


def unless_child(parent: bytes, status: int) -> bytes:
    """After a clone: in the parent make the calls of `parent`, then wait for the child and exit as it did."""
    code = _word(0xAA0003F3) + parent + _wait(status)  # mov x19, x0
    return _word(0xB4000000 | _past(code) << 5) + code  # cbz x0, past


def _wait(status: int) -> bytes:
    end = struct.pack(
        "<IIIIII",
        0xB94003E9,  # ldr w9, [sp]
        0x12001920,  # and w0, w9, #127
        0x35000060,  # cbnz w0, signalled
        0x53083D20,  # ubfx w0, w9, #8, #8
        0x14000002,  # b leave
        0x11020000,  # signalled: add w0, w0, #128
    ) + call("exit_group", ())
    reap = _load(0, 2**64 - 1) + _word(0x910003E1) + _load(2, 0) + _load(3, 0) + call("wait4", ())  # mov x1, sp
    failed = call("exit_group", (status,))
    check = _word(0xB6F80000 | _past(failed) << 5) + failed  # tbz x0, #63, past
    back = -(len(reap) + len(check) + 4) // 4
    again = struct.pack("<II", 0x6B13001F, 0x54000001 | (back & 0x7FFFF) << 5)  # cmp w0, w19; b.ne reap
    return reap + check + again + end


def _past(code: bytes) -> int:
    """The distance over `code`, in instructions, for a jump right before it."""
    return len(code) // 4 + 1


def _load(register: int, value: int) -> bytes:
    """movz and three movk: any 64-bit number."""
    words = [(value >> shift) & 0xFFFF for shift in (0, 16, 32, 48)]
    code = _word(0xD2800000 | words[0] << 5 | register)
    return code + b"".join(
        _word(0xF2800000 | half << 21 | word << 5 | register) for half, word in enumerate(words[1:], 1)
    )


def _word(instruction: int) -> bytes:
    return struct.pack("<I", instruction)
