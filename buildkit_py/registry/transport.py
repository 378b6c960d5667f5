"""HTTP as registries need it: one request, one answer, read piece by piece; redirects, proxies and TLS.

It knows nothing of tokens. urllib3 does the wire (pooled connections, TLS host checks, framing); it is imported with
the first request. Nothing is retried here, and every error of a socket leaves as a `TransferError`.
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
from buildkit_py.registry.faults import TransferError

if TYPE_CHECKING:
    import ssl

    import urllib3

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
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
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise TransferError(f"a registry gave an address that can't be used: {url.partition('?')[0][:100]!r}")
        return cls(parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80))

    @property
    def netloc(self) -> str:
        """`host[:port]`, as a person writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class Answer:
    """One answer. Read it, then close it; a connection is reused only if its answer was read to the end."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, transport: Transport) -> None:
        self._response = response
        self._transport = transport
        self.url = url
        self.status = response.status

    def header(self, name: str) -> str | None:
        """A header's value, by any case of its name."""
        return self._response.headers.get(name)

    @property
    def length(self) -> int | None:
        """`Content-Length`, if there is a sane one."""
        text = self.header("Content-Length") or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end. Raises `TransferError` where the connection ends too early."""
        with self._transport.translated(self.url):
            return self._response.read(size)

    def read_all(self, limit: int) -> bytes:
        """The whole body if it has at most `limit` bytes; one byte more than `limit` otherwise."""
        pieces, left = [], limit + 1
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if nothing more is to come, else drop it."""
        if self._response.length_remaining == 0:
            self._response.drain_conn()  # reads nothing, but lets the connection see the end of an empty body
            self._response.release_conn()
        else:
            self._response.close()

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
        self._pools: dict[tuple[bool, str | None, str | None], urllib3.PoolManager] = {}

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
            response = self._pool(Origin.of(url)).request(
                method,
                url,
                headers=dict(headers),
                body=body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        return Answer(response, url, self)

    def _pool(self, origin: Origin) -> urllib3.PoolManager:
        ca = self._config.settings(origin.netloc).ca
        key = (origin.scheme == "https", self._proxy(origin), str(ca) if ca else None)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = _make_pool(*key)
            return self._pools[key]

    def _proxy(self, origin: Origin) -> str | None:
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

        names = (f"{origin.scheme}_proxy", f"{origin.scheme.upper()}_PROXY")
        proxy = next((self._environ[name] for name in names if self._environ.get(name)), None)
        excluded = self._environ.get("no_proxy") or self._environ.get("NO_PROXY") or ""
        if not proxy or proxy_bypass_environment(origin.netloc, {"no": excluded}):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    @contextmanager
    def translated(self, url: str) -> Iterator[None]:
        """Errors of urllib3 and of sockets inside leave as `TransferError`s that name the host."""
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (HTTPError, OSError) as error:
            raise self._fault(Origin.of(url), error) from None

    def _fault(self, origin: Origin, error: Exception) -> TransferError:
        from urllib3 import exceptions as known

        host, words, table = origin.netloc, str(error), f'[registry."{origin.netloc}"]'
        file = self._config.path or "registries.toml"
        if isinstance(error, known.ProxyError):
            return TransferError(f"can't reach {host} through the proxy of the environment", retry=True)
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return TransferError(
                f"the certificate of {host} is not trusted",
                hint=f'name the authority that signed it: ca = "FILE.pem" under {table} in {file}',
            )
        if isinstance(error, known.SSLError) or "SSL" in words:
            return TransferError(
                f"{host} does not speak TLS as it should",
                hint=f"if it speaks plain HTTP, set plain_http = true under {table} in {file}",
            )
        if isinstance(error, known.NameResolutionError) or "Name or service" in words:
            # "Temporary failure …" may go away; that nobody is called so does not.
            again = "Name or service" not in words
            return TransferError(
                f"no address is known for {host}", hint="check the name, the network and the DNS", retry=again
            )
        if isinstance(error, known.NewConnectionError):
            reason = getattr(error.__cause__, "strerror", None) or "no connection"
            hint = "is the registry running, and is this its port?"
            return TransferError(f"can't connect to {host}: {reason.lower()}", hint=hint, retry=True)
        if isinstance(error, known.ConnectTimeoutError):
            return TransferError(f"{host} does not answer within {_CONNECT_SECONDS:.0f} s", retry=True)
        if isinstance(error, known.ReadTimeoutError):
            return TransferError(f"{host} sent nothing for {_READ_SECONDS:.0f} s", retry=True)
        return TransferError(f"the connection to {host} broke", retry=True)


def join(url: str, target: str) -> str:
    """`target` as seen from `url`; raises `TransferError` on what is no address."""
    try:
        following = urljoin(url, target)
    except ValueError:
        following = ""
    Origin.of(following)
    return following


def _trusting(ca: str | None) -> ssl.SSLContext:
    """Trusts the authorities of this machine, and one more."""
    import ssl

    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise TransferError(f"can't read the certificate authority {ca}: {error.strerror or error}") from None
    return context


def _make_pool(secure: bool, proxy: str | None, ca: str | None) -> urllib3.PoolManager:
    import urllib3

    # Reading the authorities takes longer than a whole request to a registry nearby.
    context = _trusting(ca) if secure else None
    timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
    if proxy is None:
        return urllib3.PoolManager(maxsize=8, ssl_context=context, timeout=timeout, blocksize=1 << 18)
    secret = urlsplit(proxy)
    headers = None
    if secret.username is not None:
        headers = urllib3.make_headers(proxy_basic_auth=f"{secret.username}:{secret.password or ''}")
    return urllib3.ProxyManager(
        proxy, proxy_headers=headers, maxsize=8, ssl_context=context, timeout=timeout, blocksize=1 << 18
    )
