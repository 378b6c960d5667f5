"""Call scripts are executed for real on the machine that they are made for."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from pathlib import Path

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import aarch64
from buildkit_py.executor.sandbox.callscript import BASE, FAILED, Absolute, Call, Data, Fork, Item, assemble

MACHINE = os.uname().machine
native = pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason="no call scripts here")


def run(calls: list[Item], data: Data, path: Path) -> subprocess.CompletedProcess[bytes]:
    path.write_bytes(assemble(calls, data, 2, MACHINE))
    path.chmod(stat.S_IRWXU)
    return subprocess.run([path], capture_output=True)


@native
def test_calls_are_made_in_order(tmp_path: Path) -> None:
    data = Data()
    calls: list[Item] = [Call("write", (1, data.add(text), len(text))) for text in (b"one ", b"two\n")]
    ran = run([*calls, Call("exit_group", (9,))], data, tmp_path / "script")
    assert (ran.returncode, ran.stdout, ran.stderr) == (9, b"one two\n", b"")


@native
def test_a_failed_call_is_told_with_its_index_and_errno(tmp_path: Path) -> None:
    data = Data()
    calls: list[Item] = [Call("write", (1, data.add(b"x"), 1)), Call("execve", (data.add(b"/no/such\0"), 0, 0))]
    ran = run(calls, data, tmp_path / "script")
    assert (ran.returncode, ran.stdout) == (FAILED, b"x")
    assert struct.unpack("<II", ran.stderr) == (1, 2)


@native
@pytest.mark.parametrize(("path", "code"), [(b"/", 0), (b"/a", 0), (b"(unreachable)/a", FAILED)])
def test_a_path_that_leads_out_of_the_root_is_a_failure(path: bytes, code: int, tmp_path: Path) -> None:
    page = 0x20000000
    calls: list[Item] = [
        Call("mmap", (page, 4096, 3, 0x32, -1, 0)),
        Call("read", (0, page, 4096)),
        Absolute(page),
        Call("exit_group", (0,)),
    ]
    (tmp_path / "script").write_bytes(assemble(calls, Data(), 2, MACHINE))
    (tmp_path / "script").chmod(stat.S_IRWXU)
    ran = subprocess.run([tmp_path / "script"], input=path, capture_output=True)
    assert ran.returncode == code
    assert ran.stderr[:4] == (struct.pack("<I", 2) if code else b"")


@native
def test_it_becomes_another_program_with_arguments_and_environment(tmp_path: Path) -> None:
    data = Data()
    script = b'echo "$0|$1|$A|$(env | wc -l)"'
    arguments = data.add_array([b"sh", b"-c", script, b"zero", b"a b"])
    environment = data.add_array([b"A=1", b"PATH=/usr/bin:/bin"])
    ran = run([Call("execve", (data.add(b"/bin/sh\0"), arguments, environment))], data, tmp_path / "script")
    assert ran.stdout.startswith(b"zero|a b|1|")


@native
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 200", 200),
        ("kill -TERM $$", 143),
        ("kill -9 $$", 137),
        ("(sleep 0.05; exit 9) & exit 4", 4),
    ],
)
def test_the_parent_ends_as_its_child(script: str, code: int, tmp_path: Path) -> None:
    data = Data()
    arguments = data.add_array([b"sh", b"-c", script.encode()])
    calls = [Fork(), Call("execve", (data.add(b"/bin/sh\0"), arguments, data.add_array([])))]
    assert run(calls, data, tmp_path / "script").returncode == code


@native
def test_the_parents_own_calls_and_those_of_the_child(tmp_path: Path) -> None:
    data = Data()
    words = [data.add(word) for word in (b"parent", b"child")]
    calls = [
        Fork((Call("write", (99, words[0], 6)), Call("write", (1, words[0], 6)))),
        Call("write", (2, words[1], 5)),
        Call("exit_group", (3,)),
    ]
    ran = run(calls, data, tmp_path / "script")
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, b"parent", b"child")


@native
def test_a_failure_of_the_child_has_the_index_of_its_call(tmp_path: Path) -> None:
    data = Data()
    ran = run([Fork(), Call("execve", (data.add(b"/no/such\0"), 0, 0))], data, tmp_path / "script")
    assert (ran.returncode, struct.unpack("<II", ran.stderr)) == (FAILED, (1, 2))


@native
def test_large_data_is_addressed(tmp_path: Path) -> None:
    data = Data()
    data.add(b"\0" * 100_001)
    ran = run([Call("write", (1, data.add(b"far"), 3)), Call("exit_group", (0,))], data, tmp_path / "script")
    assert ran.stdout == b"far"


def test_the_code_for_aarch64_is_what_an_assembler_gives() -> None:
    program = assemble([Call("exit_group", (7,))], Data(), 3, "aarch64")
    assert program[18:20] == struct.pack("<H", 183)
    assert struct.unpack_from("<Q", program, 24)[0] == BASE + 120
    words = struct.unpack_from("<10I", program, 120)
    assert words[:4] == (0xD28000E0, 0xF2A00000, 0xF2C00000, 0xF2E00000)  # x0 = 7
    assert words[4:8] == (0xD2800BC8, 0xF2A00008, 0xF2C00008, 0xF2E00008)  # x8 = 94
    assert words[8] == 0xD4000001  # svc #0
    assert words[9] & 0xFFF8001F == 0xB6F80000  # tbz x0, #63


def test_the_look_at_a_path_for_aarch64_is_what_an_assembler_gives() -> None:
    words = struct.unpack("<6I", aarch64.absolute(0x20000000))
    assert words[:2] == (0xD2800000, 0xF2A40000)  # x0 = 0x20000000
    assert words[4:] == (0x39400000, 0xD100BC00)  # ldrb w0, [x0]; sub x0, x0, #47


def test_another_machine_is_refused() -> None:
    with pytest.raises(SandboxError, match="steps can't be run on riscv64"):
        assemble([], Data(), 3, "riscv64")


def test_the_fork_for_aarch64_is_what_an_assembler_gives() -> None:
    """Compared with a disassembler's reading, once: the words that no other call has."""
    words = struct.unpack("<96I", aarch64.unless_child(b"", 125)[: 96 * 4].ljust(96 * 4, b"\0"))
    assert words[:2] == (0xB4000560, 0xAA0003F3)  # cbz x0, past; mov x19, x0
    assert words[30:40] == (
        0x6B13001F,  # cmp w0, w19
        0x54FFFC61,  # b.ne reap
        0xB94003E9,  # ldr w9, [sp]
        0x12001920,  # and w0, w9, #127
        0x35000060,  # cbnz w0, signalled
        0x53083D20,  # ubfx w0, w9, #8, #8
        0x14000002,  # b leave
        0x11020000,  # signalled: add w0, w0, #128
        0xD2800BC8,  # leave: x8 = 94
        0xF2A00008,
    )
