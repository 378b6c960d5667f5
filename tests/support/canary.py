"""Looking for a secret where none may be, however it was written."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

VALUE = "correct-horse-battery-staple-%7"


def shapes(value: str) -> Iterator[bytes]:
    """How the value may have been written; base64 without what depends on its neighbours."""
    raw = value.encode()
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode())
    for offset in range(3):
        yield base64.b64encode(b"x" * offset + raw)[4:-4]


def found_in(directory: Path, value: str = VALUE) -> list[Path]:
    """The files below a directory, and names in it, that hold the value in any shape."""
    found = []
    for folder, folders, names in os.walk(directory):
        for name in (*folders, *names):
            path = Path(folder, name)
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            target = os.fsencode(path.readlink()) if path.is_symlink() else b""
            if any(shape in data + target + os.fsencode(name) for shape in shapes(value)):
                found.append(path)
    return found
