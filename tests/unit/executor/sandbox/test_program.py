"""Looking up a step's program as execvp(3) does, but inside the tree."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.executor.sandbox.program import NoProgramError, find_program
from buildkit_py.executor.sandbox.spec import DirectoryRoot, SandboxSpec


def elf(interpreter: bytes, wide: bool) -> bytes:
    layout, header, entry = ("<Q14xHH", 64, 56) if wide else ("<I10xHH", 52, 32)
    raw = bytearray(header)
    raw[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1])
    struct.pack_into(layout, raw, 32 if wide else 28, header, entry, 1)
    at = header + entry
    extent = (at, len(interpreter) + 1)
    program = struct.pack("<I4xQ16xQ16x", 3, *extent) if wide else struct.pack("<II8xI12x", 3, *extent)
    return bytes(raw) + program + interpreter + b"\0"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    for name in ("bin", "usr/bin", "work", "lib"):
        (tmp_path / name).mkdir(parents=True)
    files = {
        "bin/sh": b"",
        "usr/bin/tool": b"#! /bin/sh -e\n",
        "work/run": b"#!/bin/bash\n",
        "bin/text": b"text",
        "lib/ld.so": b"",
        "bin/linked": elf(b"/lib/ld.so", True),
        "bin/linked32": elf(b"/lib/ld.so", False),
        "bin/foreign": elf(b"/lib64/ld-musl.so", True),
        "bin/torn": b"\x7fELF\x02\x01",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o644 if name == "bin/text" else 0o755)
    (tmp_path / "bin/host").symlink_to("../" * 20 + "etc/passwd")
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


def find(root: int, name: str, **more: Any) -> str:
    values: dict[str, Any] = {"env": (("PATH", "/usr/bin:/bin"),), **more}
    return find_program(root, SandboxSpec(root=DirectoryRoot(path="/"), args=(name,), **values))


def test_by_path_and_by_name(root: int) -> None:
    assert find(root, "sh") == "/bin/sh"
    assert find(root, "tool") == "/usr/bin/tool"
    assert find(root, "/bin/sh") == "/bin/sh"
    assert find(root, "bin/sh") == "/bin/sh"
    assert find(root, "sh", env=(("PATH", "."),), cwd="/bin") == "/bin/sh"
    assert find(root, "sh", env=()) == "/bin/sh"


@pytest.mark.parametrize("name", ["linked", "linked32", "torn"])
def test_binaries_with_their_loader_or_without_need_of_one(root: int, name: str) -> None:
    assert find(root, name) == f"/bin/{name}"


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nothing", 127, "nothing: not found in PATH=/usr/bin:/bin"),
        ("text", 127, "text: not found in PATH"),
        ("host", 127, "host: not found in PATH"),
        ("/bin/nothing", 127, "/bin/nothing: no such file"),
        ("/bin/text", 126, "/bin/text: not an executable file"),
        ("/bin", 126, "/bin: not an executable file"),
        ("/work/run", 127, "/work/run: needs /bin/bash, which is not in the tree"),
        ("foreign", 127, "foreign: needs /lib64/ld-musl.so, which is not in the tree"),
    ],
)
def test_what_can_not_be_run(root: int, name: str, status: int, message: str) -> None:
    with pytest.raises(NoProgramError, match=message) as caught:
        find(root, name)
    assert caught.value.exit == status
