"""Tar headers by hand: USTAR, with a PAX header before it where a field does not fit (POSIX.1-2001)."""

from __future__ import annotations

import os
from functools import lru_cache

from buildkit_py.layer.entry import Entry

PADDING = bytes(1024)
_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}
_MAX_OCTAL = 0o7777777
_MAX_SIZE = 0o77777777777


def header(entry: Entry, epoch: int) -> bytes:
    """The blocks that stand before an entry's content. A whiteout is an empty file `.wh.NAME`."""
    name, kind = os.fsencode(entry.path), _TYPES.get(entry.type, b"0")
    mode = entry.mode
    if entry.type == "file" and len(name) <= 100 and _fits(entry):
        return _block(name, kind, mode, entry.uid, entry.gid, entry.size, epoch, b"", (0, 0))
    if entry.type == "whiteout":
        parent, slash, last = name.rpartition(b"/")
        name, mode = parent + slash + b".wh." + last, 0
    elif entry.type == "dir":
        name = name + b"/" if name else b"./"
    link = os.fsencode(entry.target or "")
    size = entry.size if entry.type == "file" else 0
    records = _records(entry, name, link, size)
    made = b""
    if records:
        body = b"".join(records)
        made = _block(b"PaxHeader", b"x", 0o644, 0, 0, len(body), epoch, b"", (0, 0))
        made += body + PADDING[: -len(body) % 512]
    return made + _block(name[:100], kind, mode, entry.uid, entry.gid, size, epoch, link[:100], entry.device or (0, 0))


def _fits(file: Entry) -> bool:
    """Whether a header without records has room for everything but, perhaps, the name."""
    small = file.size <= _MAX_SIZE and file.uid <= _MAX_OCTAL and file.gid <= _MAX_OCTAL
    return small and file.path.isascii() and not file.xattrs and not file.target


def _records(entry: Entry, name: bytes, link: bytes, size: int) -> list[bytes]:
    found: list[tuple[bytes, bytes]] = []
    if len(name) > 100 or _odd(name):
        found.append((b"path", name))
    if len(link) > 100 or _odd(link):
        found.append((b"linkpath", link))
    if size > _MAX_SIZE:
        found.append((b"size", str(size).encode()))
    if entry.uid > _MAX_OCTAL:
        found.append((b"uid", str(entry.uid).encode()))
    if entry.gid > _MAX_OCTAL:
        found.append((b"gid", str(entry.gid).encode()))
    found += [(b"SCHILY.xattr." + os.fsencode(key), value) for key, value in entry.xattrs]
    return [_record(key, value) for key, value in found]


def _odd(text: bytes) -> bool:
    return not text.isascii()


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _block(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes,
    device: tuple[int, int],
) -> bytes:
    before, after, tail, rest = _frame(kind, mode, uid, gid, mtime, link, device)
    length = b"%011o" % min(size, _MAX_SIZE)
    checksum = sum(name) + sum(length) + rest
    return b"".join((name.ljust(100, b"\0"), before, length, after, b"%06o\0 " % checksum, tail))


@lru_cache(maxsize=1024)
def _frame(
    kind: bytes, mode: int, uid: int, gid: int, mtime: int, link: bytes, device: tuple[int, int]
) -> tuple[bytes, bytes, bytes, int]:
    """What a block has around its name, size and checksum, and what that adds to the checksum; the same for many."""
    before = b"%07o\0%07o\0%07o\0" % (mode, min(uid, _MAX_OCTAL), min(gid, _MAX_OCTAL))
    after = b"\0%011o\0" % max(mtime, 0)
    tail = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(64)
    tail += b"%07o\0%07o\0" % device if kind in (b"3", b"4") else bytes(16)
    tail = tail.ljust(356, b"\0")
    return before, after, tail, sum(before) + sum(after) + sum(tail) + 8 * 32
