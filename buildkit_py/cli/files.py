"""Writing the files that a command line names: whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

from buildkit_py.errors import OutputError


def replace_file(path: str | Path, text: str) -> None:
    """Write `text` under a temporary name beside `path`, then rename; the mode of a file that was there is kept.

    A symbolic link is followed, so that what it points to is replaced. Raises `OutputError`.
    """
    real = Path(os.path.realpath(path))
    try:
        number, name = mkstemp(prefix=f".{real.name}.", dir=real.parent)
        try:
            with open(number, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fchmod(number, _mode(real))
                os.fsync(number)
            Path(name).replace(real)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        # The umask can only be read by setting it, which other threads would see.
        return 0o644
