"""Looking for a secret where none may be, however it was written and packed.

The forms are written down here once more, and not taken from the engine, whose search they judge.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import secrets
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

VALUE = "correct-horse-battery-staple-%7"
_GZIP, _ZSTD, _USTAR = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", slice(257, 262)


def planted() -> str:
    """A random secret, which each of the encodings changes."""
    return f"{secrets.token_hex(6)}/+%7:~{secrets.token_hex(6)}"


def shapes(value: str) -> Iterator[bytes]:
    """How the value may have been written; base64 without what depends on its neighbours."""
    raw = value.encode()
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode())
    yield from (quote(value, safe="").encode(), quote(value).encode(), quote_plus(value).encode())
    yield json.dumps(value)[1:-1].encode()
    for offset in range(3):
        yield base64.b64encode(b"x" * offset + raw)[4:-4]
        yield base64.urlsafe_b64encode(b"x" * offset + raw)[4:-4]


def holds(data: bytes, *values: str) -> bool:
    """Whether one of the values is in there, also in what is packed in it."""
    wanted = {shape for value in values for shape in shapes(value)}
    return any(shape in view for view in _views(data) for shape in wanted)


def found_in(directory: Path, *values: str) -> list[Path]:
    """The files below a directory, and names in it, that hold one of the values (by default `VALUE`)."""
    found = []
    for folder, folders, names in os.walk(directory):
        for name in (*folders, *names):
            path = Path(folder, name)
            if any(holds(data, *(values or (VALUE,))) for data in _parts(path)):
                found.append(path)
    return found


def _parts(path: Path) -> Iterator[bytes]:
    yield os.fsencode(path.name) + _attributes(path)
    yield _content(path)
    if path.name.endswith(".db"):
        yield _rows(path)


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return path.read_bytes() if path.is_file() else b""


def _attributes(path: Path) -> bytes:
    names = os.listxattr(path, follow_symlinks=False)
    return b"".join(name.encode() + os.getxattr(path, name, follow_symlinks=False) for name in names)


def _rows(path: Path) -> bytes:
    """All cells of a database: a long one does not lie in one piece in its file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables for row in base.execute(f'SELECT * FROM "{name}"')]
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


def _views(data: bytes) -> Iterator[bytes]:
    """The bytes, and what is packed in them: in compressed streams, and in those that are members of archives."""
    yield data
    if data.startswith(_GZIP):
        with suppress(EOFError, gzip.BadGzipFile):
            yield from _views(gzip.decompress(data))
    elif data.startswith(_ZSTD):
        import zstandard

        with suppress(zstandard.ZstdError):
            yield from _views(zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read())
    elif data[_USTAR] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None and (inner := content.read()).startswith((_GZIP, _ZSTD)):
                    yield from _views(inner)
