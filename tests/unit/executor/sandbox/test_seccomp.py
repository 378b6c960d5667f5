"""The filter: one profile, two encodings; an interpreter of BPF sees that the program says what the profile says."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import bpf
from buildkit_py.executor.sandbox.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES
from buildkit_py.executor.sandbox.seccomp import Condition, Profile, profile, to_oci

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}


def interpret(program: bytes, number: int, architecture: str, arguments: tuple[int, ...] = ()) -> int:
    padded = (*arguments, *itertools.repeat(0, 6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, ARCHITECTURES[architecture], 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, true, false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, value)[0]
            case 0x54:
                accumulator &= value
            case 0x15:
                at += true if accumulator == value else false
            case 0x25:
                at += true if accumulator > value else false
            case 0x35:
                at += true if accumulator >= value else false
            case 0x05:
                at += value
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def holds(condition: Condition, arguments: tuple[int, ...]) -> bool:
    value = arguments[condition.argument]
    match condition.test:
        case "equal":
            return value == condition.value
        case "unequal":
            return value & 0xFFFFFFFF != condition.value
        case "without":
            return not value & condition.value


def expected(rules: Profile, name: str, arguments: tuple[int, ...]) -> int:
    if name in rules.allowed:
        return ALLOW
    if name in rules.absent:
        return ENOSYS
    conditions = dict(rules.conditional).get(name, ())
    return ALLOW if any(holds(condition, arguments) for condition in conditions) else EPERM


interesting = st.sampled_from(
    [0, 1, 2, 10, 16, 17, 38, 40, 0x5412, 0x10000000, 0x20000, 0xFFFFFFFF, 1 << 32, (1 << 32) | 0x5412]
)


@given(st.lists(interesting | st.integers(0, 2**64 - 1), min_size=6, max_size=6).map(tuple), st.data())
@pytest.mark.parametrize("architecture", ["x86_64", "i386", "aarch64"])
def test_the_program_decides_as_the_profile_does(
    architecture: str, arguments: tuple[int, ...], data: st.DataObject
) -> None:
    granted = data.draw(st.sampled_from([DEFAULT_CAPABILITIES, (), ("SYS_ADMIN",), ("NET_RAW", "SYS_TIME")]))
    rules = profile(granted)
    numbers = bpf.numbers(architecture)
    name = data.draw(st.sampled_from(sorted(numbers)) | st.sampled_from(["clone", "ioctl", "socket", "personality"]))
    program = bpf.compile_profile(rules, "aarch64" if architecture == "aarch64" else "x86_64")
    assert interpret(program, numbers[name], architecture, arguments) == expected(rules, name, arguments)


def test_every_number_below_the_highest_is_decided_by_name() -> None:
    rules = profile(DEFAULT_CAPABILITIES)
    numbers = bpf.numbers("x86_64")
    names = {number: name for name, number in numbers.items()}
    program = bpf.compile_profile(rules, "x86_64")
    for number in range(max(names) + 1):
        allowed = names.get(number) in rules.allowed
        assert (interpret(program, number, "x86_64", (1 << 63,) * 6) == ALLOW) or not allowed
        if names.get(number) is None:
            assert interpret(program, number, "x86_64") == EPERM


def test_calls_newer_than_the_table_do_not_exist() -> None:
    assert interpret(bpf.compile_profile(profile(()), "x86_64"), 5000, "x86_64") == ENOSYS


def test_the_x32_numbers_are_refused() -> None:
    program = bpf.compile_profile(profile(()), "x86_64")
    assert interpret(program, 0x40000000 | 1, "x86_64") != ALLOW


def test_a_foreign_architecture_is_killed() -> None:
    assert interpret(bpf.compile_profile(profile(()), "x86_64"), 0, "aarch64") == KILL


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(SandboxError, match="no table of system calls for mips") as caught:
        bpf.compile_profile(profile(()), "mips")
    assert caught.value.hint == "use --runtime runc"


REFUSED = (
    "add_key keyctl request_key bpf mount umount2 pivot_root unshare setns init_module finit_module kexec_load reboot "
    "swapon userfaultfd perf_event_open open_by_handle_at settimeofday io_uring_setup fsopen move_mount open_tree"
)


@pytest.mark.parametrize("name", REFUSED.split())
def test_what_reaches_out_of_a_sandbox_is_not_allowed(name: str) -> None:
    rules = profile(DEFAULT_CAPABILITIES)
    assert name not in rules.allowed
    assert name not in dict(rules.conditional)


def test_every_allowed_call_is_one_that_some_machine_has() -> None:
    known = {name for architecture in ARCHITECTURES for name in bpf.numbers(architecture)}
    rules = profile(CAPABILITIES)
    assert rules.allowed | rules.absent | dict(rules.conditional).keys() <= known


def test_oci_says_the_same() -> None:
    rules = profile(("NET_RAW",))
    plain = to_oci(rules, "x86_64")
    assert (plain["defaultAction"], plain["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert plain["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    whole, *others = plain["syscalls"]
    assert whole == {"names": sorted(rules.allowed), "action": "SCMP_ACT_ALLOW"}
    families = [item["args"][0]["value"] for item in others if item["names"] == ["socket"]]
    assert families == [1, 2, 10, 16, 17]
    clone = next(item for item in others if item["names"] == ["clone"])
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    assert others[-1] == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}


@given(interesting | st.integers(0, 2**64 - 1))
def test_oci_compares_the_request_of_an_ioctl_as_the_kernel_takes_it(request: int) -> None:
    rules = [item["args"][0] for item in to_oci(profile(()), "x86_64")["syscalls"] if item["names"] == ["ioctl"]]
    assert all(rule["op"] == "SCMP_CMP_MASKED_EQ" and rule["index"] == 1 for rule in rules)
    allowed = any(request & rule["value"] == rule["valueTwo"] for rule in rules)
    assert allowed == (request & 0xFFFFFFFF != 0x5412)
