"""What a request costs before it is sent."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from buildkit_py.registry.config import load
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.transport import Transport
from tests.support import httpd


def test_plain_http_reads_no_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    original = ssl.SSLContext.load_default_certs

    def counted(context: ssl.SSLContext, *purpose: ssl.Purpose) -> None:
        read.append(context)
        original(context, *purpose)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", counted)
    (tmp_path / "file").write_bytes(b"x")
    transport = Transport(load(), {})
    with httpd.serve(tmp_path) as server:
        with transport.send("GET", f"{server.url}/file", {}) as answer:
            assert answer.read_all(10) == b"x"
        assert read == []
        with pytest.raises(TransferError, match="TLS"):
            transport.send("GET", f"{server.url.replace('http:', 'https:')}/file", {})
        assert len(read) == 1


def test_a_connection_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    connect = HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda connection: made.append(connection) or connect(connection))
    (tmp_path / "file").write_bytes(b"x" * 1000)
    (tmp_path / "empty").write_bytes(b"")
    transport = Transport(load(), {})
    with httpd.serve(tmp_path) as server:
        for name, size in (("file", 1000), ("empty", 0), ("file", 1000)):
            with transport.send("GET", f"{server.url}/{name}", {}) as answer:
                assert len(answer.read_all(2000)) == size
        assert len(made) == 1
        with transport.send("GET", f"{server.url}/file", {}) as answer:
            assert answer.read(10) == b"x" * 10
        with transport.send("HEAD", f"{server.url}/file", {}) as answer:
            assert answer.length == 1000
        # What was not read to its end can't be used again.
        assert len(made) == 2


def test_a_connection_that_was_closed_meanwhile_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    transport = Transport(load(), {})
    port = 0
    for _ in range(2):
        with httpd.serve(tmp_path, port=port) as server:
            port = server.port
            with transport.send("GET", f"{server.url}/file", {}) as answer:
                assert answer.read_all(10) == b"x"


def test_a_body_that_ends_early_is_an_error(tmp_path: Path) -> None:
    with (
        listening(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") as port,
        Transport(load(), {}).send("GET", f"http://127.0.0.1:{port}/", {}) as answer,
    ):
        assert answer.read(100) == b"abc"
        with pytest.raises(TransferError, match="broke"):
            answer.read(100)


def test_the_answer_to_an_upload_that_is_refused_in_the_middle_is_read() -> None:
    """Who closes while bytes are still coming resets the connection, but has said why."""
    refused = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    with listening(refused, wait=0.2) as port:
        answer = Transport(load(), {}).send("PUT", f"http://127.0.0.1:{port}/", {}, bytes(64 << 20))
        with answer:
            assert (answer.status, answer.read_all(10)) == (413, b"big")


@pytest.mark.parametrize(
    "said",
    [
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ],
)
def test_malformed_chunks_are_an_error(said: bytes) -> None:
    with (
        listening(b"HTTP/1.1 200 OK\r\n" + said) as port,
        pytest.raises(TransferError, match="broke"),
        Transport(load(), {}).send("GET", f"http://127.0.0.1:{port}/", {}) as answer,
    ):
        answer.read_all(1 << 20)


def test_two_lengths_are_an_error() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    with listening(said) as port, pytest.raises(TransferError, match="broke"):
        Transport(load(), {}).send("GET", f"http://127.0.0.1:{port}/", {})


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.test", ".test"])
def test_what_can_not_be_a_host_is_refused(host: str) -> None:
    with pytest.raises(TransferError, match="can't be used"):
        Transport(load(), {}).send("GET", f"http://{host}/", {})
    for proxy in (f"http://{host}:3128", "http://proxy.test:port", "http://proxy.test:99999", "http://[::1"):
        with pytest.raises(TransferError, match="proxy of the environment can't be used"):
            Transport(load(), {"http_proxy": proxy}).send("GET", "http://far.test/", {})


def test_what_speaks_no_http_is_an_error() -> None:
    with listening(b"220 mail.example ESMTP\r\n") as port, pytest.raises(TransferError, match="broke"):
        Transport(load(), {}).send("GET", f"http://127.0.0.1:{port}/", {})


def test_plain_requests_go_through_the_proxy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with httpd.serve(tmp_path) as server:
        transport = Transport(load(), {"http_proxy": f"http://user:pass@127.0.0.1:{server.port}"})
        with transport.send("GET", "http://far.test/file?n=1", {}) as answer:
            assert answer.read_all(10) == b"x"
        direct = Transport(load(), {"http_proxy": f"127.0.0.1:{server.port}", "no_proxy": "127.0.0.1"})
        with direct.send("GET", f"{server.url}/file", {}) as answer:
            assert answer.status == 200


def test_requests_over_tls_ask_the_proxy_for_a_tunnel() -> None:
    heard: list[bytes] = []
    with listening(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", heard) as port:
        transport = Transport(load(), {"https_proxy": f"http://user:p%40ss@127.0.0.1:{port}"})
        with pytest.raises(TransferError, match=r"can't reach far.test through the proxy"):
            transport.send("GET", "https://far.test/file", {"Authorization": "Bearer secret"})
    assert heard[0].startswith(b"CONNECT far.test:443 ")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:p@ss") in heard[0]
    assert b"secret" not in heard[0]


def test_a_proxy_that_can_not_be_used_is_refused() -> None:
    transport = Transport(load(), {"http_proxy": "socks5://user:word@127.0.0.1:1080"})
    with pytest.raises(TransferError, match=r"can't be used: socks5://127.0.0.1$"):
        transport.send("GET", "http://far.test/file", {})


@contextmanager
def listening(answer: bytes, heard: list[bytes] | None = None, wait: float = 0) -> Iterator[int]:
    """Hears the beginning of one request, says something, and after a while hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            said = connection.recv(1 << 16)
            if heard is not None:
                heard.append(said)
            connection.sendall(answer)
            time.sleep(wait)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
