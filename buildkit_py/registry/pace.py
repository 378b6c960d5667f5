"""How long an HTTP server may keep us: the head of its answer is whole soon and small, a body keeps coming.

A socket's timeout begins anew with every byte, `http.client` passes over as many answers 100, chunk extensions and
trailers as there are. So a server that sends a byte now and then, or nothing of use, would never be left.
"""

from __future__ import annotations

import io
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import socket
from time import monotonic
from typing import Any, BinaryIO, cast

HEAD_SECONDS = 120.0
HEAD_BYTES = 1 << 20
SLOW_SECONDS = 60.0
SLOW_BYTES = 60 << 10
"""Who sends less in `SLOW_SECONDS` of waiting, that is a kilobyte a second, is left."""
_OVERHEAD = 16
"""So many times its own size a body may have on the wire: a chunk of one byte has six."""


class Wearisome(Exception):  # noqa: N818 - what a server is, not what a person did
    """A server keeps us too long; `reason` says how, after its name. `again` says whether another try may help."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


class _Head:
    """The lines of an answer's head, which has an end: where the connection breaks before it, `http.client` takes what
    came for all of it, and believes in a body that is empty."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readline(self, limit: int) -> bytes:
        """The next line; raises `HTTPException` where nothing comes any more."""
        line = self._file.readline(limit)
        if not line:
            raise HTTPException("an answer that breaks off in its head")
        return line

    def close(self) -> None:
        """Let it go."""
        self._file.close()


class PacedResponse(HTTPResponse):
    """An answer that is read by `read1` alone. Reading raises `Wearisome` too."""

    def __init__(self, sock: socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self._pace = _Paced(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._pace)

    def begin(self) -> None:
        """Read the head."""
        file: Any = self.fp
        self.fp = cast("Any", _Head(file))
        try:
            super().begin()
        finally:
            # Where no answer was understood, it is closed by now.
            self.fp = file if self.fp is not None else None
        self._pace.begin_body()

    def read1(self, n: int = -1) -> bytes:
        """What has come of the body, at most `n` bytes; none at the end."""
        data = super().read1(n)
        self._pace.given += len(data)
        return data


class PacedConnection(HTTPConnection):
    """A connection whose answers are such; plain."""

    response_class = PacedResponse


class PacedTLSConnection(HTTPSConnection):
    """The same over TLS."""

    response_class = PacedResponse


class _Paced(io.RawIOBase):
    """The bytes of a socket; `given` is how many of them were handed on as the body."""

    def __init__(self, raw: io.RawIOBase, sock: socket) -> None:
        self._raw = raw
        self._sock = sock
        self._silence = sock.gettimeout()
        self._until: float | None = monotonic() + HEAD_SECONDS
        self._got = 0
        self._waited = 0.0
        self._lately = 0
        self.given = 0

    def begin_body(self) -> None:
        """What comes from now on is the body."""
        self._until = None
        self._sock.settimeout(self._silence)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()

    def readinto(self, buffer: Any, /) -> int | None:
        return self._head(buffer) if self._until is not None else self._body(buffer)

    def _head(self, buffer: Any) -> int | None:
        left = (self._until or 0) - monotonic()
        if self._got > HEAD_BYTES:
            raise Wearisome("sends an answer whose head has no end", again=False)
        slow = Wearisome(f"does not come to the end of its answer's head within {HEAD_SECONDS:.0f} s", again=True)
        if left <= 0:
            raise slow
        self._sock.settimeout(min(left, self._silence or left))
        try:
            return self._count(self._raw.readinto(buffer))
        except TimeoutError:
            if self._silence is None or left < self._silence:
                raise slow from None
            raise

    def _body(self, buffer: Any) -> int | None:
        if self._got > HEAD_BYTES + _OVERHEAD * self.given:
            raise Wearisome("sends without an end what is no part of its answer", again=False)
        began = monotonic()
        got = self._count(self._raw.readinto(buffer))
        self._waited += monotonic() - began
        self._lately += got or 0
        if self._waited >= SLOW_SECONDS:
            if got and self._lately < SLOW_BYTES:
                raise Wearisome(f"sends less than {SLOW_BYTES} bytes in {SLOW_SECONDS:.0f} s", again=True)
            self._waited, self._lately = 0.0, 0
        return got

    def _count(self, got: int | None) -> int | None:
        self._got += got or 0
        return got
