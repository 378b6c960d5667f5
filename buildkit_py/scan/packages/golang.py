"""What Go's linker writes into an executable: the version of Go, and the modules that it was built of.

The section `.go.buildinfo` begins with 32 bytes, at a multiple of 16 in the file:

    "\\xff Go buildinf:" │ pointer size u8 │ flags u8 │ …
    flags & 2 (Go 1.18)   the two texts follow, each after its length as a varint
    else                  two addresses of the pointer size follow, each of a pair (address, length); flags & 1:
                          big-endian

(`debug/buildinfo` of Go's library.) The modules' text is between two markers of 16 bytes.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from buildkit_py.scan.packages.language import Described
from buildkit_py.scan.packages.spool import Spool
from buildkit_py.store.faults import guard

MAGIC = b"\xff Go buildinf:"
ELF = b"\x7fELF"
LEAST = 1 << 17
"""No Go program is smaller, in bytes."""
_HEADER = 32
_MAX_TEXT = 1 << 22
MAX_MODULES = 10_000
"""The most of one program that are told; none has as many."""
_MARKER = 16
_VERSION = re.compile(r"go(\d[0-9A-Za-z.]*)")
_MAX_SEGMENTS = 256
_LOAD = 1

Bytes = mmap.mmap | bytes


def go_modules(file: BinaryIO) -> tuple[Described, ...]:
    """The main module, those that it needs, and `stdlib` with the version of Go; none where it is no Go program."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return tuple(islice(modules_in(data), MAX_MODULES))


def modules_in(data: Bytes) -> Iterator[Described]:
    """The same of bytes."""
    version, text = _build_info(data)
    match = _VERSION.match(version)
    if match is None:
        return
    yield Described(kind="golang", name="stdlib", version=match[1])
    pending: Described | None = None
    for line in text.splitlines():
        word, *fields = line.split("\t")
        if word in ("mod", "dep") and len(fields) >= 2:
            if pending is not None:
                yield pending
            pending = _module(fields)
        elif word == "=>" and len(fields) >= 2:
            # What was put in a module's place is what was built.
            pending = _module(fields)
    if pending is not None:
        yield pending


def _module(fields: list[str]) -> Described | None:
    path, version = fields[0], fields[1]
    local = path.startswith((".", "/")) or not path or len(path) > 500
    return None if local else Described(kind="golang", name=path, version=version if version != "(devel)" else "")


def _build_info(data: Bytes) -> tuple[str, str]:
    at = _place(data)
    if at is None:
        return "", ""
    size, flags = data[at + 14], data[at + 15]
    if flags & 2:
        version, end = _inline(data, at + _HEADER)
        text, _ = _inline(data, end)
    else:
        order = ">" if flags & 1 else "<"
        version, text = (_pointed(data, at + 16 + place * size, size, order) for place in (0, 1))
    is_whole = len(text) > 2 * _MARKER and text[-_MARKER - 1 : -_MARKER] == b"\n"
    text = text[_MARKER:-_MARKER] if is_whole else b""
    return version.decode("utf-8", "replace"), text.decode("utf-8", "replace")


def _place(data: Bytes) -> int | None:
    at = data.find(MAGIC)
    while at >= 0:
        if at % 16 == 0 and at + _HEADER <= len(data) and data[at + 14] in (0, 4, 8):
            return at
        at = data.find(MAGIC, at + 1)
    return None


def _inline(data: Bytes, at: int) -> tuple[bytes, int]:
    """A text after its length, and where it ends."""
    length = shift = 0
    for _ in range(10):
        if at >= len(data):
            return b"", at
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if length > _MAX_TEXT:
        return b"", at
    return data[at : at + length], at + length


def _pointed(data: Bytes, at: int, size: int, order: str) -> bytes:
    """The text that a pointer at a place leads to."""
    if size not in (4, 8):
        return b""
    word = f"{order}{'Q' if size == 8 else 'I'}"
    pair = _offset(data, _number(data, at, word))
    if pair is None:
        return b""
    start, length = _offset(data, _number(data, pair, word)), _number(data, pair + size, word)
    return data[start : start + length] if start is not None and length <= _MAX_TEXT else b""


def _number(data: Bytes, at: int, word: str) -> int:
    try:
        return int(struct.unpack_from(word, data, at)[0])
    except (struct.error, OverflowError):
        return 0


def _offset(data: Bytes, address: int) -> int | None:
    """Where in an ELF file an address of its memory lies (ELF, "Program Header")."""
    wide, order = data[4:5] == b"\2", ">" if data[5:6] == b"\2" else "<"
    try:
        table = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", data, 32 if wide else 28)[0]
        size, count = struct.unpack_from(f"{order}HH", data, 54 if wide else 42)
        for number in range(min(count, _MAX_SEGMENTS)):
            start = table + number * size
            if wide:
                kind, _, offset, begin, _, held = struct.unpack_from(f"{order}IIQQQQ", data, start)
            else:
                kind, offset, begin, _, held = struct.unpack_from(f"{order}IIIII", data, start)
            if kind == _LOAD and begin <= address < begin + held:
                return int(offset + address - begin)
    except (struct.error, OverflowError):
        return None
    return None


class Program:
    """Takes an executable's bytes: an ELF file is spooled until its end shows whether Go made it."""

    def __init__(self, spool: Spool, told: Callable[[str, tuple[Described, ...]], None]) -> None:
        self._spool = spool
        self._told = told
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._size = 0
        self._tail = b""
        self._is_go = False

    def feed(self, block: bytes) -> None:
        """The next bytes."""
        if self._size == 0 and block.startswith(ELF):
            self._path, self._file = self._spool.new()
        self._size += len(block)
        if self._file is not None and self._path is not None:
            with guard("writing into a work area", self._path):
                self._file.write(block)
            if not self._is_go:
                self._is_go = MAGIC in self._tail + block[: len(MAGIC)] or MAGIC in block
                self._tail = (self._tail + block)[-len(MAGIC) :]

    def end(self, digest: str) -> None:
        """That was all."""
        if self._file is None or self._path is None:
            return
        with self._file as file, guard("writing into a work area", self._path):
            file.flush()
            self._path.unlink()
            found = go_modules(file) if self._is_go and self._size >= LEAST else ()
        if found:
            self._told(digest, found)
