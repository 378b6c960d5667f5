"""A seccomp profile as a classic BPF program (seccomp(2)), for a runtime that takes no profile as data.

The program reads `struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6]}`, finds the table of the
architecture that the call was made for, then walks ranges of numbers:

    arch = x86_64? ──▶ conditional calls ──▶ [lo, hi] ranges of allowed calls ──▶ unknown to us: ENOSYS
    arch = i386?   ──▶ …                                                          else: EPERM
    else: kill
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import resources

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox.seccomp import ENOSYS, EPERM, Condition, Profile

_LOAD, _AND, _EQUAL, _GREATER, _AT_LEAST, _JUMP, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x35, 0x05, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LIMIT = 4096

_AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}
_TABLES = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}

Instruction = tuple[int, int, int, int]


@lru_cache(maxsize=8)
def compile_profile(profile: Profile, machine: str) -> bytes:
    """The program's bytes, an array of `struct sock_filter`; raises `SandboxError` for an unknown machine."""
    if machine not in _TABLES:
        raise SandboxError(f"no table of system calls for {machine}", hint="use --runtime runc")
    program = [_load(_ARCHITECTURE)]
    for table in _TABLES[machine]:
        body = list(_table(profile, numbers(table)))
        program += [(_EQUAL, 1, 0, _AUDIT[table]), (_JUMP, 0, 0, len(body)), *body]
    program.append(_return(_KILL))
    if len(program) > _LIMIT:
        raise SandboxError("the profile of system calls is too long for the kernel")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


@lru_cache(maxsize=3)
def numbers(architecture: str) -> dict[str, int]:
    """System call name → number, of those that a profile may name."""
    column = ("x86_64", "i386", "aarch64").index(architecture) + 1
    text = resources.files(__package__).joinpath("syscalls.txt").read_text()
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _table(profile: Profile, known: dict[str, int]) -> Iterator[Instruction]:
    yield _load(_NUMBER)
    for name, conditions in profile.conditional:
        if name in known:
            body = list(_conditions(conditions))
            yield (_EQUAL, 0, len(body), known[name])
            yield from body
    for name in sorted(profile.absent & known.keys()):
        yield from ((_EQUAL, 0, 1, known[name]), _return(_ERRNO | ENOSYS))
    for low, high in _ranges(known[name] for name in profile.allowed if name in known):
        yield from ((_GREATER, 3, 0, high), (_AT_LEAST, 0, 1, low), _return(_ALLOW), _return(_ERRNO | EPERM))
    yield from ((_GREATER, 1, 0, max(known.values())), _return(_ERRNO | EPERM), _return(_ERRNO | ENOSYS))


def _conditions(conditions: Iterable[Condition]) -> Iterator[Instruction]:
    """Allow where one holds, else refuse; each is tried on the low, and for equality on the high word as well."""
    for condition in conditions:
        low = _ARGUMENTS + 8 * condition.argument
        yield _load(low)
        if condition.test == "unequal":
            yield from ((_EQUAL, 1, 0, condition.value), _return(_ALLOW))
        elif condition.test == "without":
            yield from ((_AND, 0, 0, condition.value), (_EQUAL, 0, 1, 0), _return(_ALLOW))
        else:
            yield from ((_EQUAL, 0, 3, condition.value), _load(low + 4), (_EQUAL, 0, 1, 0), _return(_ALLOW))
    yield _return(_ERRNO | EPERM)


def _ranges(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    ordered = sorted(set(values))
    start = previous = ordered[0]
    for value in ordered[1:]:
        if value != previous + 1:
            yield start, previous
            start = value
        previous = value
    yield start, previous


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _return(value: int) -> Instruction:
    return (_RETURN, 0, 0, value)
