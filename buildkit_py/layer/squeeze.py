"""Compression of one stream on several threads; what comes out depends on the bytes alone, not on how many there are.

    blocks in order ──▶ sha256 (one thread)
                   └──▶ compressed by itself (a thread a core) ──▶ in order to the sink (one thread)

Gzip: one member whose blocks begin anew (RFC 1952, RFC 1951), by isa-l at one level; a block that a sample of it shows
to be incompressible is stored. Zstandard: one frame a block (RFC 8878). A stream of one block is done by the caller.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Semaphore, Thread
from time import perf_counter
from typing import Any, Protocol

_FLIGHT = 6
"""Blocks on their way at once, which bounds the memory."""
_SAMPLES, _SAMPLE = 4, 4096
_HOPELESS = 0.97
"""The part that a sample must keep for its block to be stored."""
_STORED = 8192


Block = bytes | memoryview


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: Any, /) -> Any:
        """Take them all."""


class Gzip:
    """One gzip member with a fixed header; level 0 of isa-l is hardly faster than 1, 2 and 3 are hardly smaller."""

    size = 1 << 20
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

    def __init__(self) -> None:
        from isal import isal_zlib

        self._isal = isal_zlib
        self._crc = 0
        self._size = 0

    def note(self, data: Block) -> None:
        """Take a block into account, in order."""
        self._crc = self._isal.crc32(data, self._crc)
        self._size += len(data)

    def block(self, data: Block) -> Block:
        """A block by itself; on any thread."""
        if self._is_hopeless(data):
            stored = zlib.compressobj(0, zlib.DEFLATED, -15)
            return stored.compress(data) + stored.flush(zlib.Z_FULL_FLUSH)
        deflate = self._isal.compressobj(1, zlib.DEFLATED, -15)
        return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)

    def tail(self) -> bytes:
        """An empty last block, and the trailer."""
        return b"\x03\x00" + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")

    def _is_hopeless(self, data: Block) -> bool:
        if len(data) < _STORED:
            return False
        step = len(data) // _SAMPLES
        sample = b"".join(data[place : place + _SAMPLE] for place in range(0, step * _SAMPLES, step))
        return len(self._isal.compress(sample, 1)) > _HOPELESS * len(sample)


class Zstd:
    """A frame a block, at the library's usual level."""

    size = 4 << 20
    head = b""

    def __init__(self) -> None:
        import zstandard

        self._zstandard = zstandard

    def note(self, data: Block) -> None:
        """Frames carry their own sizes."""

    def block(self, data: Block) -> Block:
        """A block as a frame."""
        return self._zstandard.ZstdCompressor(level=3).compress(data)

    def tail(self) -> bytes:
        """Nothing follows the last frame."""
        return b""


class Plain:
    """No compression."""

    size = 1 << 20
    head = b""

    def note(self, data: Block) -> None:
        """Nothing to keep."""

    def block(self, data: Block) -> Block:
        """As it is."""
        return data

    def tail(self) -> bytes:
        """Nothing."""
        return b""


Method = Gzip | Zstd | Plain


class Squeeze:
    """Takes a stream by `write`, cuts it into blocks, and gives it compressed to `out`. For one thread.

    `hashing` and `pressing` are the seconds that went into each, of all threads, once it is closed.

    What goes wrong behind is raised by the next `write`, or by `close`; every thread has ended when `close` or `abort`
    returns.
    """

    def __init__(self, method: Method, out: Sink, threads: int = 0) -> None:
        self._method = method
        self._out = out
        self._gathered: list[bytes] = []
        self._size = 0
        self._hash = hashlib.sha256()
        self._lanes: _Lanes | None = None
        self._threads = threads or max(1, min(4, os.cpu_count() or 1))
        self.hashing = 0.0
        self.pressing = 0.0

    def write(self, data: bytes) -> None:
        """Take more of the stream."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size > self._method.size:
            self._cut()

    def close(self) -> str:
        """Finish; the digest of what was taken, `sha256:…`."""
        rest = b"".join(self._gathered)
        if self._lanes is None:
            self._out.write(self._method.head)
            began = perf_counter()
            self._hash.update(rest)
            self._method.note(rest)
            hashed = perf_counter()
            block = self._method.block(rest)
            self.hashing += hashed - began
            self.pressing = perf_counter() - hashed
            self._out.write(block)
        else:
            try:
                self._lanes.put(rest)
            finally:
                self._lanes.stop()
            self._lanes.check()
            self.hashing += self._lanes.hashing
            self.pressing = self._lanes.pressing
        self._out.write(self._method.tail())
        return f"sha256:{self._hash.hexdigest()}"

    def abort(self) -> None:
        """Stop in the middle."""
        if self._lanes is not None:
            self._lanes.stop()

    def _cut(self) -> None:
        if self._lanes is None:
            self._out.write(self._method.head)
            self._lanes = _Lanes(self._method, self._hash.update, self._out, self._threads)
        whole, size = memoryview(b"".join(self._gathered)), self._method.size
        # The last block is kept back: only then is it known to be the last.
        end = (len(whole) - 1) // size * size
        for start in range(0, end, size):
            self._lanes.put(whole[start : start + size])
        self._gathered, self._size = [bytes(whole[end:])], len(whole) - end


class _Job:
    """A block on its way."""

    __slots__ = ("data", "done", "made")

    def __init__(self, data: Block) -> None:
        self.data = data
        self.made: Block = b""
        self.done = Semaphore(0)


class _Lanes:
    """The threads behind one stream."""

    def __init__(self, method: Method, digest: Callable[[Block], object], out: Sink, threads: int) -> None:
        self._method = method
        self._digest = digest
        self._out = out
        self._room = Semaphore(_FLIGHT)
        self._failure: BaseException | None = None
        self._stopped = False
        self.hashing = 0.0
        self.pressing = 0.0
        self._hashing, self._pressing, self._writing = (SimpleQueue[_Job | None]() for _ in range(3))
        work = [self._hash, self._write, *[self._press] * threads]
        self._threads = [Thread(target=each, name="compress", daemon=True) for each in work]
        for thread in self._threads:
            thread.start()

    def put(self, data: Block) -> None:
        self._room.acquire()
        self.check()
        job = _Job(data)
        for queue in (self._hashing, self._pressing, self._writing):
            queue.put(job)

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._hashing.put(None)
        self._writing.put(None)
        for _ in self._threads[2:]:
            self._pressing.put(None)
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _hash(self) -> None:
        while (job := self._hashing.get()) is not None:
            began = perf_counter()
            try:
                self._digest(job.data)
                self._method.note(job.data)
            except BaseException as error:
                self._failure = self._failure or error
            self.hashing += perf_counter() - began
            job.done.release()

    def _press(self) -> None:
        while (job := self._pressing.get()) is not None:
            began = perf_counter()
            try:
                job.made = self._method.block(job.data)
            except BaseException as error:
                self._failure = self._failure or error
            self.pressing += perf_counter() - began
            job.done.release()

    def _write(self) -> None:
        while (job := self._writing.get()) is not None:
            # Hashed and compressed: so that nothing is held longer than it takes.
            job.done.acquire()
            job.done.acquire()
            try:
                if self._failure is None:
                    self._out.write(job.made)
            except BaseException as error:
                self._failure = error
            self._room.release()
