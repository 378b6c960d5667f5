"""A store of blobs in memory, with the same manners as the real one."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO

from buildkit_py.errors import IntegrityError, NotFoundError


class MemoryPartial:
    """A blob in the making."""

    def __init__(self, store: MemoryBlobs, digest: str) -> None:
        self._store = store
        self._digest = digest

    @property
    def done(self) -> bool:
        return self._store.has(self._digest)

    @property
    def offset(self) -> int:
        return len(self._store.partials[self._digest])

    def expect(self, size: int) -> None:
        """There is always room."""

    def append(self, data: bytes) -> None:
        self._store.partials[self._digest] += data

    def restart(self) -> None:
        self._store.partials[self._digest].clear()

    def commit(self) -> None:
        data = bytes(self._store.partials[self._digest])
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if found != self._digest:
            self.restart()
            raise IntegrityError(f"{self._digest} has the bytes of {found}")
        self._store.data[self._digest] = data
        del self._store.partials[self._digest]


class MemoryBlobs:
    """Blobs by digest."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.partials: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    def has(self, digest: str) -> bool:
        return digest in self.data

    def read(self, digest: str) -> bytes:
        if digest not in self.data:
            raise NotFoundError(f"no blob {digest}")
        return self.data[digest]

    def open(self, digest: str) -> BinaryIO:
        return io.BytesIO(self.read(digest))

    def check(self, digest: str) -> None:
        """They are what was put."""

    def put(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.data[digest] = data
        return digest

    @contextmanager
    def partial(self, digest: str) -> Iterator[MemoryPartial]:
        with self._locks[digest]:
            yield MemoryPartial(self, digest)


class MemoryStore:
    """A store that has nothing but blobs."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
