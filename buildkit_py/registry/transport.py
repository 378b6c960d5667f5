"""HTTP as registries need it: one request, one answer, read piece by piece; redirects, proxies and TLS.

It knows nothing of tokens. What does the wire is imported with the first request. Nothing is retried here, and every
error of a socket leaves as a `TransferError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from buildkit_py.dataclass import dataclass
from buildkit_py.registry.config import RegistryConfig
from buildkit_py.registry.faults import TransferError, unreached
from buildkit_py.registry.hosts import is_host

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

    from buildkit_py.registry.connections import Connections, Place

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_AGENT = "pybuild"
# Only what RFC 3986 allows: two parsers must not see two hosts in one address.
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: credentials for one are never sent to another."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of a URL; raises `TransferError` on what is no http(s) URL with a host."""
        try:
            parts = urlsplit(url if _URL.match(url) else "")
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        usable = parts.scheme in ("http", "https") and parts.hostname and is_host(parts.hostname)
        if not usable or parts.username is not None:
            raise TransferError(f"a registry gave an address that can't be used: {url.partition('?')[0][:100]!r}")
        return cls(parts.scheme, str(parts.hostname).lower(), port or (443 if parts.scheme == "https" else 80))

    @property
    def netloc(self) -> str:
        """`host[:port]`, as a person writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class Answer:
    """One answer. Read it, then close it; a connection is reused only if its answer was read to the end."""

    def __init__(
        self, transport: Transport, connections: Connections, on: HTTPConnection, response: HTTPResponse, url: str
    ) -> None:
        self._transport, self._connections, self._connection = transport, connections, on
        self._response = response
        self._closed = False
        self.url = url
        self.status = response.status

    def header(self, name: str) -> str | None:
        """A header's value, by any case of its name."""
        return self._response.getheader(name)

    @property
    def length(self) -> int | None:
        """`Content-Length`, if there is a sane one."""
        text = self.header("Content-Length") or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end. Raises `TransferError` where the connection ends too early."""
        from buildkit_py.registry.connections import read

        try:
            with self._transport.translated(self.url):
                return read(self._response, size)
        except BaseException:
            self._drop()
            raise

    def read_all(self, limit: int) -> bytes:
        """The whole body if it has at most `limit` bytes; one byte more than `limit` otherwise."""
        pieces, left = [], limit + 1
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if nothing more is to come, else drop it."""
        if not self._closed:
            self._closed = True
            self._connections.give_back(self._connection, self._response)

    def _drop(self) -> None:
        from buildkit_py.registry.connections import drop

        self._closed = True
        drop(self._connection, self._response)

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport:
    """Sends requests to any host, as the configuration says. Thread-safe."""

    def __init__(self, config: RegistryConfig, environ: Mapping[str, str] = os.environ) -> None:
        self._config = config
        self._environ = environ
        self._lock = Lock()
        self._places: dict[Place, Connections] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None = None) -> Answer:
        """One request; a GET or HEAD follows redirects, without `Authorization` once they leave the origin.

        Raises `TransferError` where no answer came. An answer with an error status is returned like any other.
        """
        first = Origin.of(url)
        sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._once(method, url, sent, body)
            target = answer.header("Location")
            if answer.status not in _REDIRECTS or not target or method not in ("GET", "HEAD"):
                return answer
            answer.close()
            url = self._redirected(url, target)
            if Origin.of(url) != first:
                sent.pop("Authorization", None)
        raise TransferError(f"{first.netloc} redirects in a circle")

    def _redirected(self, url: str, target: str) -> str:
        following = join(url, target)
        here, there = Origin.of(url), Origin.of(following)
        if here.scheme == "https" and there.scheme == "http" and not self._config.settings(there.netloc).plain_http:
            raise TransferError(f"{here.netloc} redirects to plain HTTP at {there.netloc}, which is refused")
        return following

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None) -> Answer:
        with self.translated(url):
            connections = self._to(Origin.of(url))
            connection, response = connections.request(method, url, headers, body)
        return Answer(self, connections, connection, response, url)

    def _to(self, origin: Origin) -> Connections:
        from buildkit_py.registry.connections import Connections, Place

        ca = self._config.settings(origin.netloc).ca
        secure = origin.scheme == "https"
        place = Place(secure, origin.host, origin.port, self._proxy(origin), str(ca) if ca else None)
        with self._lock:
            if place not in self._places:
                self._places[place] = Connections(place)
            return self._places[place]

    def _proxy(self, origin: Origin) -> str | None:
        names = (f"{origin.scheme}_proxy", f"{origin.scheme.upper()}_PROXY")
        proxy = next((self._environ[name] for name in names if self._environ.get(name)), None)
        if not proxy:
            return None
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

        excluded = self._environ.get("no_proxy") or self._environ.get("NO_PROXY") or ""
        if proxy_bypass_environment(origin.netloc, {"no": excluded}):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    @contextmanager
    def translated(self, url: str) -> Iterator[None]:
        """Errors of sockets and of what they carried leave as `TransferError`s that name the host."""
        from http.client import HTTPException

        from buildkit_py.registry.connections import ConnectError
        from buildkit_py.registry.pace import Wearisome

        try:
            yield
        except ConnectError as error:
            raise self._not_connected(Origin.of(url), error.reason) from None
        except Wearisome as error:
            raise TransferError(f"{Origin.of(url).netloc} {error.reason}", retry=error.again) from None
        except TimeoutError:
            raise self._silent(Origin.of(url)) from None
        except (HTTPException, OSError) as error:
            raise self._broken(Origin.of(url), error) from None

    def _not_connected(self, origin: Origin, error: OSError) -> TransferError:
        from buildkit_py.registry.connections import CONNECT_SECONDS

        host = origin.netloc
        if "SSL" in type(error).__name__:
            return self._broken(origin, error)
        if self._proxy(origin) is not None:
            return TransferError(f"can't reach {host} through the proxy of the environment", retry=True)
        return unreached(host, error, seconds=CONNECT_SECONDS)

    def _silent(self, origin: Origin) -> TransferError:
        from buildkit_py.registry.connections import READ_SECONDS

        return TransferError(f"{origin.netloc} sent nothing for {READ_SECONDS:.0f} s", retry=True)

    def _broken(self, origin: Origin, error: Exception) -> TransferError:
        host, table = origin.netloc, f'[registry."{origin.netloc}"]'
        file = self._config.path or "registries.toml"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return TransferError(
                f"the certificate of {host} is not trusted",
                hint=f'name the authority that signed it: ca = "FILE.pem" under {table} in {file}',
            )
        if "SSL" in type(error).__name__:
            return TransferError(
                f"{host} does not speak TLS as it should",
                hint=f"if it speaks plain HTTP, set plain_http = true under {table} in {file}",
            )
        return TransferError(f"the connection to {host} broke", retry=True)


def join(url: str, target: str) -> str:
    """`target` as seen from `url`; raises `TransferError` on what is no address."""
    try:
        following = urljoin(url, target)
    except ValueError:
        following = ""
    Origin.of(following)
    return following
