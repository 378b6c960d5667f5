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
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

from buildkit_py.dataclass import dataclass
from buildkit_py.registry.faults import TransferError

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_IDLE = 8
_BLOCK = 1 << 18


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
            with suppress(BrokenPipeError):
                connection.request(method, target, body, sent)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def give_back(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        """Keep a connection whose answer was read to its end; drop any other."""
        if response.length == 0 and not response.chunked:
            response.read()  # reads nothing, but lets the answer see the end of an empty body
        reusable = response.isclosed() and not response.will_close and connection.sock is not None
        if reusable and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            response.close()
            connection.close()

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
            connection = HTTPSConnection(host, port, timeout=CONNECT_SECONDS, blocksize=_BLOCK, context=self._context)
            if proxy:
                connection.set_tunnel(place.host, place.port, _authorization(proxy))
        else:
            connection = HTTPConnection(host, port, timeout=CONNECT_SECONDS, blocksize=_BLOCK)
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


def read(response: HTTPResponse, size: int) -> bytes:
    """At most `size` bytes of a body; raises `IncompleteRead` where it ends before the length that was announced."""
    left = response.length
    data = response.read(size)
    if not data and left and size:
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
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise TransferError(f"can't read the certificate authority {ca}: {error.strerror or error}") from None
    return context


def _proxy(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise TransferError(
            f"the proxy of the environment can't be used: {parts.scheme}://{parts.hostname or ''}",
            hint="a proxy is named as http://HOST:PORT",
        )
    return parts


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
