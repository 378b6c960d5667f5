"""Where low-level faults of disks and of SQLite become `StoreError` with a plain message and a hint. Nowhere else."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from buildkit_py.errors import StoreBusyError, StoreError

DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""What a disk refuses by, whoever writes to it."""
_FREE_SPACE = "free some space on that disk, or remove what no image needs with `pybuild prune`, and run it again"
_KNOWN: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", _FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", _FREE_SPACE),
    errno.EFBIG: ("a file would be larger than this file system or user may have", "raise the limit (`ulimit -f`)"),
    errno.EIO: (
        "the disk reported an error; what was being written is not kept",
        "look at the kernel's log; the disk may be failing",
    ),
    errno.EROFS: ("the file system is read-only", "mount it writable, or choose another place with `--store DIR`"),
    errno.EACCES: ("permission denied", "run as the user who owns the store, or choose another with `--store DIR`"),
    errno.EPERM: ("not permitted", "run as the user who owns the store, or choose another with `--store DIR`"),
    errno.ELOOP: ("a symbolic link stands where the store has a file", "remove the link, then `pybuild store check`"),
    errno.EXDEV: ("a directory of the store lies on another file system", "keep the whole store on one file system"),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n`)"),
    errno.EBUSY: ("a file system is mounted inside the store", "unmount it; `findmnt` shows what is mounted where"),
    errno.ENOLCK: ("the file system has no locks", "choose a local file system with `--store DIR`"),
}
_SQL: dict[int, int] = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
_WRITE_LOCK = "120"
_PROBE = 64 << 10
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_MISSING = re.compile(r"no such (table|column|index)|has no column named")
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def guard(doing: str, where: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an `OSError` of the block into a `StoreError` that says what was being done, and where."""
    try:
        yield
    except OSError as error:
        raise of_os_error(error, doing, where) from error


def of_os_error(error: OSError, doing: str, where: str | os.PathLike[str]) -> StoreError:
    """The `StoreError` for a fault met while `doing` something ("writing a blob") at `where`."""
    what, hint = _KNOWN.get(error.errno or 0, (error.strerror or str(error), None))
    if error.errno == errno.ENOSPC and _no_inodes(where):
        what = "the file system has no inodes left"
    return StoreError(f"{what}, while {doing}: {os.fspath(where)}", hint=hint)


def advice(number: int) -> str | None:
    """What to do against an error of this number (errno(3)), if that is known."""
    return _KNOWN[number][1] if number in _KNOWN else None


def _no_inodes(where: str | os.PathLike[str]) -> bool:
    try:
        state = os.statvfs(where)
    except OSError:
        return False
    return state.f_files > 0 and state.f_favail == 0


def _refusal(where: str | os.PathLike[str]) -> int | None:
    """Why the disk does not take what SQLite writes at `where`, which it does not tell: the number of the error with
    which a file without a name fails that is as large as what SQLite needs to open an index; None where none does."""
    from tempfile import TemporaryFile

    try:
        with TemporaryFile(dir=Path(where).parent, buffering=0) as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return error.errno if error.errno in _KNOWN else None
    return None


def sql_code(error: sqlite3.Error) -> int:
    """The primary result code of SQLite, 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the index file itself is broken, or misses what every index of its version has."""
    return sql_code(error) in _DAMAGED or (
        sql_code(error) == sqlite3.SQLITE_ERROR and _MISSING.search(str(error)) is not None
    )


def of_sql_error(error: sqlite3.Error, where: str | os.PathLike[str]) -> StoreError:
    """The `StoreError` for a fault of the index at `where`."""
    code = sql_code(error)
    if code in _BUSY:
        pid = _writer(where)
        return StoreBusyError(
            f"{f'process {pid}' if pid else 'another process'} keeps the store's index locked: {os.fspath(where)}",
            hint="wait for other builds in this store, or continue one that is stopped",
            pid=pid,
        )
    if is_damage(error):
        return StoreError(
            f"the store's index is damaged: {os.fspath(where)}",
            hint="run the same command again: the index is then made anew from what the store holds",
        )
    if code in _SQL:
        number = _refusal(where) or _SQL[code]
        return of_os_error(OSError(number, os.strerror(number)), "using the store's index", where)
    return StoreError(f"the store's index can't be used: {error}: {os.fspath(where)}")


def _writer(where: str | os.PathLike[str]) -> int:
    """The process that writes to the index: it locks one byte of the file beside it (https://sqlite.org/walformat.html).

    Asked of /proc/locks: to open and close that file would end the locks of this process on it (fcntl(2)).
    """
    with suppress(OSError, ValueError):
        number = Path(f"{os.fspath(where)}-shm").stat().st_ino
        with open("/proc/locks", encoding="ascii") as file:
            for line in file:
                _, kind, _, access, pid, place, start, *_ = line.split()
                if (kind, access, start) == ("POSIX", "WRITE", _WRITE_LOCK) and place.endswith(f":{number}"):
                    return max(0, int(pid))
    return 0
