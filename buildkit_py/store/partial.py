"""Downloads that survive a lost connection and a killed process, but not a crash of the machine.

What was received lies in `partial/ALGORITHM-HEX.BOOT`. The boot id is part of the name: after a crash the tail of a
file may be zeros, so a file of another boot is never continued.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from buildkit_py import amounts
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.store import files
from buildkit_py.store.faults import advice, guard
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import boot_id
from buildkit_py.store.locks import HeldLock

_CHUNK = 1 << 20


class PartialBlob:
    """One download, held exclusively until it is left. A context manager; not thread-safe.

    `done` says that the blob is in the store already, `offset` how many bytes are there, `resumed` whether some are
    from an earlier attempt.
    """

    def __init__(
        self,
        digest: Digest,
        path: Path,
        target: Path,
        lock: HeldLock,
        make_room: Callable[[int], None],
        kept: Callable[[str], None],
    ) -> None:
        self.digest = digest
        self.offset = 0
        self._path = path
        self._target = target
        self._lock = lock
        self._make_room = make_room
        self._kept = kept
        self._hash = hashlib.new(digest.algorithm)
        self._fd = -1
        self.done = files.is_regular(target)
        if not self.done:
            with guard("writing a blob", path):
                self._resume()
        self.resumed = self.offset > 0

    def expect(self, size: int) -> None:
        """Raise `StoreError` where the disk has no room for the rest of a blob of so many bytes."""
        with guard("writing a blob", self._path):
            free = files.free_bytes(self._path.parent)
        if free is not None and size - self.offset > free:
            raise StoreError(
                f"the blob {self.digest} has {amounts.size(size)}, and the disk has {amounts.size(free)} left: "
                f"{self._path.parent}",
                hint=advice(errno.ENOSPC),
            )

    def append(self, data: bytes) -> None:
        """Add bytes that follow those at hand."""
        with guard("writing a blob", self._path):
            files.write_all(self._fd, data)
        self._hash.update(data)
        self.offset += len(data)

    def restart(self) -> None:
        """Forget what was received: the sender can't continue where it stopped."""
        with guard("writing a blob", self._path):
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.new(self.digest.algorithm)
        self.offset = 0
        self.resumed = False

    def commit(self, size: int | None = None) -> None:
        """Publish the blob, durably. Raises `IntegrityError` when it is not the one named, and forgets the bytes."""
        if self.done:
            return
        if size is not None and self.offset != size:
            short = self.offset < size
            if not short:
                self.restart()
            raise IntegrityError(f"{'fewer' if short else 'more'} bytes came than the {size} of {self.digest}")
        if self._hash.hexdigest() != self.digest.hex:
            actual = f"{self.digest.algorithm}:{self._hash.hexdigest()}"
            self.restart()
            raise IntegrityError(f"the bytes received have the digest {actual}, not the promised {self.digest}")
        self._make_room(self.offset)
        with guard("writing a blob", self._target.parent):
            files.publish(self._fd, self._path, self._target)
        self._kept(str(self.digest))
        self.done = True

    def close(self) -> None:
        """Let go; what was received stays for the next attempt, unless it is nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self.done or not self.offset:
            with suppress(OSError):
                self._path.unlink()
        self._lock.release()

    def __enter__(self) -> PartialBlob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _resume(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        while chunk := os.read(self._fd, _CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)


def partial_path(layout: Layout, digest: str) -> Path:
    """Where the bytes of an unfinished download of this boot are."""
    parsed = Digest.parse(digest)
    return layout.partial / f"{parsed.algorithm}-{parsed.hex}.{boot_id()}"


def stale_partials(layout: Layout) -> list[Path]:
    """The unfinished downloads of other boots."""
    names = files.names(layout.partial)
    boot = boot_id() if names else ""
    return [layout.partial / name for name in names if name.partition(".")[2] != boot]
