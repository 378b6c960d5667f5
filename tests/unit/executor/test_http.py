"""What a URL holds: what is sent again, and what is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from buildkit_py.errors import SourceInputError
from buildkit_py.executor.source.http import fetch
from buildkit_py.store import Store
from tests.support.registry import free_port


@dataclass
class Page:
    """What a server has under every path, and how it says which version that is."""

    body: bytes
    headers: dict[str, str]
    sent: int = 0
    always: bool = False


@contextmanager
def versioned(page: Page) -> Iterator[str]:
    """A server that sends a page only to whoever does not say that it has it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
            same = (name in page.headers and self.headers[asked[name]] == page.headers[name] for name in asked)
            known = page.always or any(same)
            self.send_response_only(304 if known else 200)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0" if known else str(len(page.body)))
            self.end_headers()
            if not known:
                page.sent += 1
                self.wfile.write(page.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


FIRST, LATER = "Wed, 25 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:01 GMT"


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"ETag": '"a"'}, 1),
        ({"ETag": 'W/"a"'}, 1),
        ({"Last-Modified": FIRST, "Date": LATER}, 1),
        ({"Last-Modified": FIRST, "Date": FIRST}, 3),
        ({"Last-Modified": "soon", "Date": LATER}, 3),
        ({}, 3),
    ],
)
def test_what_the_server_knows_to_be_the_same_is_sent_once(tmp_path: Path, headers: dict[str, str], sent: int) -> None:
    page = Page(b"one", headers)
    with versioned(page) as url, Store.open(tmp_path / "store") as store:
        assert [fetch(store, f"{url}/x") for _ in range(3)] == [(digest_of(b"one"), 3)] * 3
        assert page.sent == sent


def test_what_has_changed_or_is_gone_here_is_sent(tmp_path: Path) -> None:
    page = Page(b"one", {"ETag": '"a"'})
    with versioned(page) as url:
        with Store.open(tmp_path / "store") as store:
            fetch(store, url)
            page.body, page.headers = b"other", {"ETag": '"b"'}
            assert [fetch(store, url) for _ in range(2)] == [(digest_of(b"other"), 5)] * 2
            assert page.sent == 2
            store.blobs.path(digest_of(b"other")).unlink()
            assert fetch(store, url) == (digest_of(b"other"), 5)
            assert page.sent == 3
            # Each page is remembered by its own address.
            fetch(store, f"{url}/y")
        assert page.sent == 4


def test_an_answer_that_was_not_asked_for_is_no_content(tmp_path: Path) -> None:
    page = Page(b"one", {"ETag": '"a"'}, always=True)
    with versioned(page) as url, Store.open(tmp_path / "store") as store, pytest.raises(SourceInputError, match="304"):
        fetch(store, url)


def test_who_can_not_be_reached_is_told_as_registries_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"127.0.0.1:{free_port()}"
    told = {
        f"http://{here}/x": f"can't be fetched: can't connect to {here}: connection refused",
        "http://nobody.invalid/x": "can't be fetched: no address is known for nobody.invalid",
    }
    with Store.open(tmp_path / "store") as store:
        for url, words in told.items():
            with pytest.raises(SourceInputError) as caught:
                fetch(store, url)
            assert caught.value.message == f"{url} {words}"
            assert caught.value.hint
        monkeypatch.setenv("http_proxy", f"http://me:hidden@{here}")
        with pytest.raises(SourceInputError) as caught:
            fetch(store, "http://elsewhere.example/x")
        assert (
            f"can't connect to elsewhere.example through the proxy {here}: connection refused" in caught.value.message
        )
