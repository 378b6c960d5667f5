"""URLs: what one holds, fetched into a blob of the store and verified on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from email.utils import parsedate
from threading import Event
from typing import IO, TYPE_CHECKING, Any

from buildkit_py.address import refuse_password
from buildkit_py.errors import Cancelled, IntegrityError, SourceInputError
from buildkit_py.layer.entry import EMPTY_TREE, Diff, Entry
from buildkit_py.layer.stored import http_content_id

if TYPE_CHECKING:
    import http.client
    import urllib.request
    from email.message import Message

    from buildkit_py.executor.workshop import Workshop
    from buildkit_py.graph.op import HttpSource
    from buildkit_py.store import Store

BLOCK = 1 << 20
TIMEOUTS = (5.0, 10.0, 20.0, 40.0)
"""Seconds without a byte after which a try is given up; also how long a build that is stopped may have to wait."""
PAUSE = 0.5
MAX_BYTES = 64 << 30


def fetch(store: Store, url: str, expected: str | None = None, cancelled: Event | None = None) -> tuple[str, int]:
    """Fetch what a URL holds into a blob. Returns its digest and size in bytes.

    What breaks off is taken up again where the server can do so, and what the store has still is not sent again where
    the server knows it to be the same (RFC 9110, section 13; kind `url` of `store.memo`). Raises `SourceInputError`
    where it can't be fetched, `IntegrityError` where it is not what was `expected`, `Cancelled`.
    """
    # Before the store is asked, which notes what it was asked for.
    refuse_password(url)
    if expected is not None and store.blobs.has(expected):
        return expected, store.blobs.size(expected)
    known = store.memo.get("url", url) if expected is None else None
    if known is not None and not store.blobs.has(known["digest"]):
        known = None
    if not url.lower().startswith(("http://", "https://")):
        raise SourceInputError(f"not an http or https URL: {url}")
    with _Download(store, url, cancelled or Event(), known["conditions"] if known else {}) as download:
        download.run()
        if known and download.unchanged:
            return known["digest"], store.blobs.size(known["digest"])
        try:
            digest, size = download.writer.commit(expected)
        except IntegrityError as error:
            raise IntegrityError(
                f"{url} does not hold what is pinned: {error.message}",
                hint="if the new content is wanted, run `pybuild update` or write its digest",
            ) from None
    if download.conditions:
        store.memo.put("url", url, {"digest": digest, "conditions": download.conditions})
    return digest, size


class _Broken(Exception):  # noqa: N818 - asks for another try
    """A transfer that ended too early, and why."""


class _Download:
    """One URL on its way into a blob. `version` is what the server calls the bytes that have come.

    `ask` are the headers with which the server sends nothing if what it has is what is known; then it is `unchanged`.
    `conditions` are such headers for what has come; none where the server gives nothing to ask with.
    """

    def __init__(self, store: Store, url: str, cancelled: Event, ask: Mapping[str, str]) -> None:
        self._store = store
        self._url = url
        self._cancelled = cancelled
        self._ask = ask
        self.unchanged = False
        self.conditions: Mapping[str, str] = {}
        self._stack = ExitStack()
        self._begin()

    def __enter__(self) -> _Download:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _begin(self) -> None:
        self._stack.close()
        self.writer = self._stack.enter_context(self._store.blobs.writer())
        self._total = 0
        self._version: str | None = None

    def run(self) -> None:
        """Get it all."""
        for number, seconds in enumerate(TIMEOUTS):
            if self._cancelled.wait(PAUSE * number):
                raise Cancelled("the transfer was stopped")
            try:
                return self._try(seconds)
            except _Broken as broken:
                reason = broken
        raise SourceInputError(f"{self._url} {reason}", hint="run the build again") from None

    def _try(self, seconds: float) -> None:
        import http.client
        import urllib.error

        from buildkit_py.registry.pace import Wearisome

        try:
            with _opener().open(self._request(), timeout=seconds) as response:
                self._take(response)
        except Wearisome as error:
            if error.again:
                raise _Broken(f"can't be fetched: the server {error.reason}") from None
            raise SourceInputError(f"{self._url} can't be fetched: the server {error.reason}") from None
        except urllib.error.HTTPError as error:
            if error.code == 304 and self._ask:
                self.unchanged = True
                return
            raise SourceInputError(f"{self._url}: the server answered {error.code} {error.reason}") from None
        except (TimeoutError, ConnectionResetError, http.client.IncompleteRead) as error:
            raise _Broken(f"can't be fetched: {str(error) or 'no answer'}") from None
        except ValueError as error:
            # What is no URL, and what is not ASCII, which can be in no request.
            hint = "write what is not ASCII as %XX, and a host as it is registered"
            raise SourceInputError(f"{self._url!r} is not a URL: {error}", hint=hint) from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            raise _unfetched(self._url, error) from None

    def _request(self) -> urllib.request.Request:
        import urllib.request

        headers = {"User-Agent": "pybuild"}
        if not self._total:
            headers |= self._ask
        elif self._version is not None:
            headers |= {"Range": f"bytes={self._total}-", "If-Range": self._version}
        return urllib.request.Request(self._url, headers=headers)

    def _take(self, response: http.client.HTTPResponse) -> None:
        resumed = response.status == 206 and (response.headers["Content-Range"] or "").startswith(
            f"bytes {self._total}-"
        )
        if self._total and not resumed:
            self._begin()
        if response.status != (206 if resumed else 200):
            raise SourceInputError(f"{self._url}: the server answered {response.status}, which was not asked for")
        version = response.headers["ETag"] or ""
        self._version = version if version.startswith('"') else None
        self.conditions = _conditions(response.headers)
        while block := response.read1(BLOCK):
            if self._cancelled.is_set():
                raise Cancelled("the transfer was stopped")
            self._total += len(block)
            if self._total > MAX_BYTES:
                raise SourceInputError(f"{self._url} holds more than {MAX_BYTES} bytes")
            self.writer.write(block)
        if response.length:
            raise _Broken(f"ended {response.length} bytes too early")


def _conditions(headers: Message) -> dict[str, str]:
    """How to ask whether something is still what came with these headers. A date of the same second as the answer may
    stand for what was changed right after."""
    if etag := headers.get("ETag"):
        return {"If-None-Match": etag}
    modified, sent = (parsedate(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    return {"If-Modified-Since": headers["Last-Modified"]} if modified and sent and modified[:6] < sent[:6] else {}


@contextmanager
def _named(request: urllib.request.Request) -> Iterator[None]:
    """An error of the connection leaves with the host that it was meant for: after a redirection that is another one
    than the URL's, and with a proxy another one than what was connected to."""
    from urllib.error import URLError
    from urllib.parse import urlsplit

    try:
        yield
    except URLError as error:
        host = urlsplit(request.full_url).netloc
        error.filename = host if request.host == host else f"{host} through the proxy {request.host}"
        raise


def _unfetched(url: str, error: Exception) -> Exception:
    """What an error of the connection comes to, in the words that registries have for it."""
    from buildkit_py.registry.faults import unreached

    reason, host = getattr(error, "reason", error), getattr(error, "filename", None)
    if isinstance(reason, TimeoutError | ConnectionResetError):
        return _Broken(f"can't be fetched: {reason}")
    if verified := getattr(reason, "verify_message", None):
        hint = "add the authority that signed it to those of the machine, or name it in SSL_CERT_FILE"
        return SourceInputError(
            f"{url} can't be fetched: the certificate of {host} is not trusted: {verified}", hint=hint
        )
    if "SSL" in type(reason).__name__:
        return SourceInputError(f"{url} can't be fetched: {host} does not speak TLS as it should")
    if host is None or not isinstance(reason, OSError):
        return SourceInputError(f"{url} can't be fetched: {reason}")
    fault = unreached(host, reason, seconds=0, server="server")
    return SourceInputError(f"{url} can't be fetched: {fault.message}", hint=fault.hint)


def _opener() -> urllib.request.OpenerDirector:
    """What follows redirections to http and https, and to nothing else; no server keeps it longer than others may."""
    import urllib.request as web

    from buildkit_py.registry.pace import PacedConnection, PacedTLSConnection

    class Plain(web.HTTPHandler):
        def http_open(self, req: web.Request) -> http.client.HTTPResponse:
            with _named(req):
                return self.do_open(PacedConnection, req)

    class Secure(web.HTTPSHandler):
        def https_open(self, req: web.Request) -> http.client.HTTPResponse:
            with _named(req):
                return self.do_open(PacedTLSConnection, req)

    class Redirects(web.HTTPRedirectHandler):
        def http_error_302(
            self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
        ) -> Any:
            # The library reads what comes with a redirection, however much that is.
            fp.close()
            return super().http_error_302(req, fp, code, msg, headers)

        http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    handlers = (web.ProxyHandler(), Plain(), Secure(), web.UnknownHandler(), Redirects())
    opener = web.OpenerDirector()
    for handler in (*handlers, web.HTTPDefaultErrorHandler(), web.HTTPErrorProcessor()):
        opener.add_handler(handler)
    return opener


def lay_out(shop: Workshop, source: HttpSource, epoch: int, cancelled: Event) -> str:
    """Bring a pinned URL's tree into the store: one file of 0:0. Returns its content id."""
    digest, size = fetch(shop.store, source.url, source.digest, cancelled)
    mode = int(source.mode, 8)
    diff = Diff.of([Entry(path=source.filename, type="file", mode=mode, size=size, digest=digest)])
    with shop.store.snapshots.area() as area:
        path = area.fs / source.filename
        with shop.store.blobs.verified(digest) as blob, path.open("xb") as file:
            shutil.copyfileobj(blob, file, BLOCK)
        path.chmod(mode)
        os.utime(path, (epoch, epoch))
        shop.store.snapshots.commit(area, diff.digest, diff.encoded, size)
    content_id = http_content_id(source)
    shop.store.trees.put(content_id, EMPTY_TREE, diff.digest)
    return content_id
