"""A web server on loopback that offers a directory, counts what it was asked for, and may want a password.

Asked as a proxy, it answers for every host.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A directory that is being served; `requests` holds the path of each answered request, in order."""

    url: str
    port: int
    requests: list[str] = field(default_factory=list)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, requests: list[str], expected: str | None, directory: str) -> None:
        self.seen = requests
        self.expected = expected
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.expected is not None and self.headers.get("Authorization") != self.expected:
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.startswith("http://"):
            self.path = f"/{self.path.split('/', 3)[3]}"
        self.seen.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the requests are counted."""


@contextmanager
def serve(directory: Path, *, password: str | None = None, port: int = 0) -> Iterator[Served]:
    """Serve a directory; with `password` (`user:password`), by Basic authentication only."""
    requests: list[str] = []
    expected = f"Basic {base64.b64encode(password.encode()).decode()}" if password is not None else None
    handler = partial(_Handler, requests=requests, expected=expected, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            bound = server.server_address[1]
            yield Served(url=f"http://127.0.0.1:{bound}", port=bound, requests=requests)
        finally:
            server.shutdown()
            thread.join()
