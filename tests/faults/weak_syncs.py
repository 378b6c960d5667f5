"""Commands that leave out a sync, for the proof that a loss of power shows it."""

from __future__ import annotations

import os
import stat


def no_sync_of_files() -> None:
    """Only directories are synced, and what SQLite does by itself."""
    _leave_out(stat.S_ISREG)


def no_sync_of_directories() -> None:
    """Only files are synced."""
    _leave_out(stat.S_ISDIR)


def _leave_out(kind: object) -> None:
    sync = os.fsync

    def weak(fd: int) -> None:
        if not kind(os.fstat(fd).st_mode):  # type: ignore[operator]
            sync(fd)

    os.fsync = weak  # type: ignore[assignment]
