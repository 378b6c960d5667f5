"""Machine code of x86_64 for call scripts (see `callscript`).

The kernel takes a call's number in rax and its arguments in rdi rsi rdx r10 r8 r9; a result of -1 … -4095 is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

ELF_MACHINE = 62
NUMBERS = {
    "read": 0,
    "write": 1,
    "mmap": 9,
    "ioctl": 16,
    "clone": 56,
    "execve": 59,
    "wait4": 61,
    "getcwd": 79,
    "setsid": 112,
    "setgroups": 116,
    "setresuid": 117,
    "setresgid": 119,
    "capset": 126,
    "prctl": 157,
    "exit_group": 231,
    "openat": 257,
    "prlimit64": 302,
    "seccomp": 317,
    "close_range": 436,
    "mount_setattr": 442,
}
_MOVE = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")


def call(name: str, values: Sequence[int]) -> bytes:
    """One call."""
    moves = b"".join(move + struct.pack("<Q", value) for move, value in zip(_MOVE, values, strict=False))
    return moves + b"\xb8" + struct.pack("<I", NUMBERS[name]) + b"\x0f\x05"  # mov eax, number; syscall


def absolute(address: int) -> bytes:
    """As a call that fails where the path at an address does not begin with `/`: the kernel begins what leads out of
    the root with `(`, which is less."""
    return b"\x0f\xb6\x04\x25" + struct.pack("<I", address) + b"\x48\x83\xe8/"  # movzx eax, [address]; sub rax, '/'


def unless_failed(index: int, descriptor: int, status: int) -> bytes:
    """After a call: where it failed, write its index and the errno to a descriptor, and exit."""
    tell = (
        b"\x50"  # push rax
        + b"\xf7\x1c\x24"  # neg dword [rsp]
        + b"\x8b\x04\x24"  # mov eax, [rsp]
        + b"\x89\x44\x24\x04"  # mov [rsp+4], eax
        + b"\xc7\x04\x24"
        + struct.pack("<I", index)  # mov dword [rsp], index
        + b"\xbf"
        + struct.pack("<I", descriptor)  # mov edi, descriptor
        + b"\x48\x89\xe6"  # mov rsi, rsp
        + b"\xba"
        + struct.pack("<I", 8)  # mov edx, 8
        + call("write", ())
    )
    failure = tell + call("exit_group", (status,))
    return b"\x48\x85\xc0" + b"\x79" + bytes([len(failure)]) + failure  # test rax, rax; jns past the failure


def unless_child(parent: bytes, status: int) -> bytes:
    """After a clone: in the parent make the calls of `parent`, then wait for the child and exit as it did."""
    code = b"\x89\xc3" + parent + _wait(status)  # mov ebx, eax
    return b"\x48\x85\xc0" + b"\x0f\x84" + struct.pack("<i", len(code)) + code  # test rax, rax; jz past


def _wait(status: int) -> bytes:
    leave = call("exit_group", ())
    end = (
        b"\x8b\x04\x24"  # mov eax, [rsp]
        + b"\x89\xc7"  # mov edi, eax
        + b"\x83\xe7\x7f"  # and edi, 127
        + b"\x75\x05"  # jnz signalled
        + b"\x0f\xb6\xfc"  # movzx edi, ah
        + b"\xeb\x06"  # jmp leave
        + b"\x81\xc7\x80\x00\x00\x00"  # signalled: add edi, 128
        + leave
    )
    reap = (
        b"\xbf\xff\xff\xff\xff"  # mov edi, -1
        + b"\x48\x89\xe6"  # mov rsi, rsp
        + b"\x31\xd2"  # xor edx, edx
        + b"\x45\x31\xd2"  # xor r10d, r10d
        + call("wait4", ())
    )
    failed = b"\xbf" + struct.pack("<I", status) + leave  # mov edi, status
    check = b"\x85\xc0" + b"\x79" + bytes([len(failed)]) + failed  # test eax, eax; jns past
    again = b"\x39\xd8" + b"\x75" + struct.pack("<b", -(len(reap) + len(check) + 4))  # cmp eax, ebx; jne reap
    return reap + check + again + end
