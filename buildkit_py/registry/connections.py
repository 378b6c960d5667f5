"""Connections to one place, kept while they can be used again: over TLS or not, through a proxy or not (RFC 9112).

The standard library's `http.client` does the framing: a whole client library costs a small build a tenth of its time
before the first request is sent.
"""

from __future__ import annotations

import base64
import select
import ssl
import weakref
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

from buildkit_py.dataclass import dataclass
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.hosts import is_host
from buildkit_py.registry.pace import PacedConnection, PacedTLSConnection

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_IDLE = 8
_BLOCK = 1 << 18
_FINAL = 200
_FLOWING = 1 << 14
"""As many bytes at once come from who sends without a pause."""


class ConnectError(Exception):
    """No connection was made; `reason` says why."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Place:
    """Where connections lead. `proxy` is an `http://` URL; `ca` a file with one more authority to trust."""

    secure: bool
    host: str
    port: int
    proxy: str | None
    ca: str | None


class Connections:
    """The connections to one place. Thread-safe: each is with one request at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # Reading the authorities takes longer than a whole request to a registry nearby.
        self._context = _trusting(place.ca) if place.secure else None
        self._proxy = _proxy(place.proxy) if place.proxy else None
        self._idle: list[HTTPConnection] = []
        weakref.finalize(self, _close, self._idle)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """Send a request and read the head of its answer.

        Raises `ConnectError`, and what sockets and `http.client` raise.
        """
        connection = self._take()
        parts, sent = urlsplit(url), dict(headers)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if self._proxy is not None and not self._place.secure:
            target = f"{parts.scheme}://{parts.netloc}{target}"
            sent |= _authorization(self._proxy)
        try:
            # Who does not want the body may have said why before hanging up.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, sent)
            response = connection.getresponse()
            if len(set(response.headers.get_all("Content-Length", ()))) > 1:
                raise HTTPException("two lengths of one body")
            return connection, response
        except BaseException:
            connection.close()
            raise

    def give_back(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        """Keep a connection whose answer was read to its end; drop any other. Once for each answer."""
        if response.length == 0 and not response.chunked:
            response.read()  # reads nothing, but lets the answer see the end of an empty body
        reusable = response.isclosed() and not response.will_close and connection.sock is not None
        # After 1xx comes another answer to the same request.
        if reusable and response.status >= _FINAL and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            drop(connection, response)

    def _take(self) -> HTTPConnection:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if not _is_dropped(connection):
                return connection
            connection.close()
        return self._connected()

    def _connected(self) -> HTTPConnection:
        place, proxy = self._place, self._proxy
        host, port = (proxy.hostname or "", proxy.port or 80) if proxy else (place.host, place.port)
        connection: HTTPConnection
        if self._context is not None:
            connection = PacedTLSConnection(
                host, port, timeout=CONNECT_SECONDS, blocksize=_BLOCK, context=self._context
            )
            if proxy:
                connection.set_tunnel(place.host, place.port, _authorization(proxy))
        else:
            connection = PacedConnection(host, port, timeout=CONNECT_SECONDS, blocksize=_BLOCK)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise ConnectError(error) from None
        connection.sock.settimeout(READ_SECONDS)
        return connection


def _close(connections: list[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def drop(connection: HTTPConnection, response: HTTPResponse) -> None:
    """End a connection that can't be used again."""
    response.close()
    connection.close()


def read(response: HTTPResponse, size: int) -> bytes:
    """At most `size` bytes of a body; fewer where they come in slowly, none at the end.

    Raises `IncompleteRead` where it ends before the length that was announced, `HTTPException` for malformed chunks.
    """
    pieces, left = [_piece(response, size)], size
    while len(pieces[-1]) >= _FLOWING and (left := left - len(pieces[-1])):
        pieces.append(_piece(response, left))
    return b"".join(pieces)


def _piece(response: HTTPResponse, size: int) -> bytes:
    left = response.length
    if left == 0:
        return b""
    try:
        data = response.read1(size)
    except ValueError as error:
        raise HTTPException(f"a malformed chunk: {error}") from None
    if response.chunked and (response.chunk_left or 0) < 0:
        raise HTTPException("a chunk of less than no bytes")
    if left is not None:
        # Of older Pythons, `read1` does not count.
        response.length = left - len(data)
        if not data and size:
            raise IncompleteRead(data, left)
    return data


def _is_dropped(connection: HTTPConnection) -> bool:
    """Whether the other side has closed it, or said something that nobody asked for."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _trusting(ca: str | None) -> ssl.SSLContext:
    """Trusts the authorities of this machine, and one more."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise TransferError(f"can't read the certificate authority {ca}: {error.strerror or error}") from None
    return context


def _proxy(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and is_host(parts.hostname or "") and (parts.port or 80) > 0
        shown = f"{parts.scheme}://{parts.hostname or ''}"
    except ValueError:
        usable, shown = False, url.rpartition("@")[2][:100]
    if not usable:
        raise TransferError(
            f"the proxy of the environment can't be used: {shown}", hint="a proxy is named as http://HOST:PORT"
        )
    return parts


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
