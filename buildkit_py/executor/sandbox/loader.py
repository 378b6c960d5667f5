"""What a program needs to be loaded: the interpreter of a script (execve(2)) or of an ELF file (elf(5))."""

from __future__ import annotations

import os
import struct

_HEAD = 4096
_PT_INTERP = 3


def interpreter(fd: int) -> str | None:
    """The path that an open program names as its interpreter, or None where it names none that can be read."""
    head = os.pread(fd, _HEAD, 0)
    if head.startswith(b"#!"):
        words = head[2:].partition(b"\n")[0].split()
        return os.fsdecode(words[0]) if words else None
    if head.startswith(b"\x7fELF"):
        try:
            return _elf_interpreter(fd, head)
        except struct.error:
            return None
    return None


def _elf_interpreter(fd: int, head: bytes) -> str | None:
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    table, size, count = (
        struct.unpack_from(f"{order}Q14xHH", head, 32) if wide else struct.unpack_from(f"{order}I10xHH", head, 28)
    )
    for index in range(count):
        entry = os.pread(fd, size, table + index * size)
        kind = struct.unpack_from(f"{order}I", entry)[0]
        if kind == _PT_INTERP:
            offset, length = _extent(entry, order, wide)
            return os.fsdecode(os.pread(fd, min(length, _HEAD), offset).rstrip(b"\0"))
    return None


def _extent(entry: bytes, order: str, wide: bool) -> tuple[int, int]:
    """Where in the file the segment is, and its length there."""
    layout = f"{order}8xQ16xQ" if wide else f"{order}4xI8xI"
    offset, length = struct.unpack_from(layout, entry)
    return offset, length
