"""A server that never comes to an end is left: by size where it sends fast, by time where it drips."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from buildkit_py.errors import IntegrityError, PybuildError, RegistryError, SourceInputError, StoreError
from buildkit_py.executor.source import http
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from buildkit_py.reference import Reference
from buildkit_py.registry import pace, tags
from buildkit_py.registry.client import RegistryClient
from buildkit_py.store import Store
from buildkit_py.trust.place import Place
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on
from tests.support.images import make_image
from tests.support.memory_blobs import MemoryBlobs

IMAGE = make_image(b"layer")
BLOB = Descriptor.of(b"layer" * 1000, OCI_LAYER)
JUNK = b"x" * 65536
ENOUGH = 64 << 20
"""What an endless server sends at the most, so that a client which takes it all fails its test and no machine."""
Ask = Callable[[RegistryClient, Reference], object]


def referrers(client: RegistryClient, ref: Reference) -> object:
    return Place(client, ref).referrers(IMAGE.descriptor.digest)


def blob(client: RegistryClient, ref: Reference) -> object:
    client.fetch(ref, [BLOB], MemoryBlobs())
    return None


ASKS: dict[str, tuple[str, Ask]] = {
    "manifest": ("/manifests/", lambda client, ref: client.manifest(ref)),
    "blob": ("/blobs/", blob),
    "tags": ("/tags/", lambda client, ref: client.tags(ref)),
    "referrers": ("/referrers/", referrers),
    "token": ("/token", lambda client, ref: client.manifest(ref)),
}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyRegistry]:
    """One that asks for a token before it tells of a manifest; the times that it has are short."""
    for name, value in (("HEAD_SECONDS", 0.2), ("SLOW_SECONDS", 0.15), ("SLOW_BYTES", 1000)):
        monkeypatch.setattr(pace, name, value)
    with faulty_registry() as server:
        server.referrers = True
        server.add_manifest("a/b", "1", IMAGE.manifest, IMAGE.descriptor.media_type)
        server.put(b"layer" * 1000)
        yield server


def wants_token(registry: FaultyRegistry) -> None:
    def fault(handler: Handler) -> bool:
        if handler.path.startswith("/token") or handler.headers.get("Authorization"):
            return False
        handler.reply(401, b"{}", WWW_Authenticate=f'Bearer realm="http://{registry.name}/token"')
        return True

    registry.faults.append(fault)


def ask(registry: FaultyRegistry, name: str) -> PybuildError:
    """The error that asking for this ends with."""
    if name == "token":
        wants_token(registry)
    ref = Reference.parse(f"{registry.name}/a/b:1")
    with pytest.raises((RegistryError, IntegrityError)) as caught:
        ASKS[name][1](make_client(registry.name), ref)
    return caught.value


def pour(handler: Handler, piece: bytes, before: bytes = b"") -> None:
    """Write something over and over, until nobody takes it any more."""
    handler.close_connection = True
    with suppress(OSError):
        handler.wfile.write(before)
        for _ in range(ENOUGH // len(piece)):
            handler.wfile.write(piece)
        handler.server.registry.requests.append("all of it")  # type: ignore[arg-type]


def took_all(registry: FaultyRegistry) -> bool:
    """Whether somebody took all that an endless server had."""
    return "all of it" in registry.requests


def head(handler: Handler, status: int = 200, **headers: object) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key.replace("_", "-"), str(value))
    handler.end_headers()


@pytest.mark.parametrize("name", ASKS)
def test_a_body_without_an_end(registry: FaultyRegistry, name: str) -> None:
    """A manifest, a blob beyond its descriptor's size, a page of tags or of referrers, a token."""

    def endless(handler: Handler) -> None:
        head(handler, Content_Type=OCI_INDEX if name == "referrers" else OCI_MANIFEST, Connection="close")
        pour(handler, JUNK)

    registry.faults.append(on("GET", ASKS[name][0], endless))
    error = ask(registry, name)
    said = {
        "manifest": "is too large; the limit is 4194304",
        "blob": "has the bytes of",
        "tags": "more than 4194304 bytes",
        "referrers": "is too large; the limit is 4194304",
        "token": "sent no token",
    }
    assert said[name] in error.message
    assert not took_all(registry)


@pytest.mark.parametrize("name", ASKS)
def test_an_error_without_an_end(registry: FaultyRegistry, name: str) -> None:
    """Only so much of what a server says about its error is read."""

    def endless(handler: Handler) -> None:
        head(handler, 418, Connection="close")
        pour(handler, b"no " * 20_000)

    registry.faults.append(on("GET", ASKS[name][0], endless))
    error = ask(registry, name)
    assert "answered 418" in error.message
    assert len(error.message) < 500
    assert not took_all(registry)


@pytest.mark.parametrize(
    ("name", "drip"),
    [*((name, drip) for name in ASKS for drip in ("body", "header")), ("manifest", "chunks"), ("manifest", "status")],
)
def test_a_drip(registry: FaultyRegistry, name: str, drip: str) -> None:
    """A byte now and then, each before any silence is too long: neither a head nor a body may take so much time."""
    stop = threading.Event()

    def dripping(handler: Handler) -> None:
        handler.close_connection = True
        start = {
            "body": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
            "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "header": b"HTTP/1.1 200 OK\r\nX: ",
            "status": b"",
        }[drip]
        with suppress(OSError):
            handler.wfile.write(start)
            while not stop.wait(0.02):
                handler.wfile.write(b"1\r\nx\r\n" if drip == "chunks" else b" ")

    registry.faults.append(on("GET", ASKS[name][0], dripping))
    try:
        error = ask(registry, name)
    finally:
        stop.set()
    assert isinstance(error, RegistryError)
    words = "sends less than 1000 bytes in 0 s" if drip in ("body", "chunks") else "the end of its answer's head within"
    assert words in error.message


HEADS = {
    "one header": (b"X: y", b"y" * 65536),
    "headers": (b"", b"X: y\r\n" * 1000),
    "answers 100": (None, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_without_an_end(registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Header upon header, and answers 100, which mean that the right one is still to come (as CVE-2021-3737)."""
    monkeypatch.setattr(pace, "HEAD_SECONDS", 60)
    before, piece = HEADS[kind]
    start = b"" if before is None else b"HTTP/1.1 200 OK\r\n" + before
    registry.faults.append(on("GET", "/manifests/", lambda handler: pour(handler, piece, start)))
    error = ask(registry, "manifest")
    assert isinstance(error, RegistryError)
    assert ("head has no end" if before is None else "broke") in error.message
    assert not took_all(registry)


WRAPPINGS = {
    "chunk extensions": b"1;" + b"e" * 60_000 + b"\r\nx\r\n",
    "trailers": b"X: " + b"y" * 60_000 + b"\r\n",
}


@pytest.mark.parametrize("kind", WRAPPINGS)
def test_a_wrapping_without_an_end(registry: FaultyRegistry, kind: str) -> None:
    """What belongs to the transfer and not to the body has no size of its own that could be too large."""

    def endless(handler: Handler) -> None:
        head(handler, Transfer_Encoding="chunked", Content_Type=OCI_MANIFEST)
        pour(handler, WRAPPINGS[kind], b"0\r\n" if kind == "trailers" else b"")

    registry.faults.append(on("GET", "/manifests/", endless))
    error = ask(registry, "manifest")
    assert isinstance(error, RegistryError)
    assert "without an end what is no part of its answer" in error.message
    assert not took_all(registry)


def test_redirects_without_an_end(registry: FaultyRegistry) -> None:
    """Each to another address, with a body that has no end either, which nobody reads."""
    count = 0

    def onward(handler: Handler) -> None:
        nonlocal count
        count += 1
        head(handler, 307, Location=f"/v2/a/b/manifests/{count}", Connection="close")
        pour(handler, JUNK)

    registry.faults.append(on("GET", "/manifests/", onward))
    assert "redirects in a circle" in ask(registry, "manifest").message
    assert count == 6
    assert not took_all(registry)


def test_pages_without_an_end(registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags page after page, each another one: their number, the pages' and the time have limits."""
    count = 0

    def page(handler: Handler) -> None:
        nonlocal count
        count += 1
        body = json.dumps({"tags": [f"{count}-{number}" for number in range(50)]}).encode()
        if "referrers" in handler.path:
            body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
        handler.reply(200, body, Link=f'<{handler.path.partition("?")[0]}?n={count}>; rel="next"')

    registry.faults.append(lambda handler: any(on("GET", each, page)(handler) for each in ("/tags/", "/referrers/")))
    for name, value in (("_MOST_TAGS", 1000), ("_MOST_PAGES", 10), ("_MOST_SECONDS", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(tags, name, value)
            count = 0
            assert "lists its tags without an end" in ask(registry, "tags").message
            assert count <= 21
    count = 0
    ref = Reference.parse(f"{registry.name}/a/b:1")
    assert referrers(make_client(registry.name), ref) == ()
    assert count == 20


def test_a_pull_of_something_without_an_end(pybuild, tmp_path: Path) -> None:
    """By the command, as a person meets it."""
    with faulty_registry() as server:
        server.faults.append(on("GET", "/manifests/", lambda handler: (head(handler), pour(handler, JUNK))))
        (tmp_path / "r.toml").write_text(f'[registry."{server.name}"]\nplain_http = true\n')
        result = pybuild.having(PYBUILD_REGISTRIES=str(tmp_path / "r.toml"))("pull", f"{server.name}/a/b:1")
        assert result.code == 11, result.output
        assert "is too large; the limit is 4194304" in result.stderr
        assert not took_all(server)


def test_a_blob_for_which_the_disk_has_no_room(store: Path) -> None:
    """A size that a manifest announces fills no disk: nothing is asked for."""
    vast = Descriptor(media_type=OCI_LAYER, digest=BLOB.digest, size=1 << 60)
    with faulty_registry() as server, Store.open(store) as opened:
        with pytest.raises(StoreError, match=r"has 1152\.9 PB, and the disk has .* left"):
            make_client(server.name).fetch(Reference.parse(f"{server.name}/a/b"), [vast], opened.blobs)
        assert server.asked("GET", "/blobs/") == []
        assert list(opened.layout.partial.iterdir()) == []


@contextmanager
def served(start: bytes, piece: bytes, wait: float | None = None) -> Iterator[tuple[str, list[int]]]:
    """The address of a server that answers everybody so; the list has how many bytes each was sent."""
    sent: list[int] = []
    stop = threading.Event()

    def serve() -> None:
        while True:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    if stop.is_set():
                        return
                    connection.recv(65536)
                    connection.sendall(start)
                    sent.append(0)
                    while sent[-1] < ENOUGH and not stop.wait(wait or 0):
                        connection.sendall(piece)
                        sent[-1] += len(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/file", sent
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()


OK = b"HTTP/1.1 200 OK\r\n"
SOURCES: dict[str, tuple[bytes, bytes, float | None, str]] = {
    "a body": (OK + b"\r\n", JUNK, None, "holds more than 8388608 bytes"),
    "a drip": (OK + b"Content-Length: 99\r\n\r\n", b"x", 0.02, "sends less than 1000 bytes"),
    "headers": (OK, b"X: y\r\n" * 1000, None, "can't be fetched"),
    "a dripping head": (OK + b"X: ", b"y", 0.02, "the end of its answer's head within"),
    "answers 100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, None, "head"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + JUNK[:60000] + b"\r\n", None, "no part of"),
    "a redirection": (b"HTTP/1.1 302 Found\r\nLocation: /file\r\n\r\n", JUNK, None, "redirect"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_without_an_end(registry: FaultyRegistry, tmp_path: Path, monkeypatch, name: str) -> None:
    """What ADD and `fetch` ask of any server."""
    start, piece, wait, words = SOURCES[name]
    monkeypatch.setattr(http, "MAX_BYTES", 8 << 20)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    with served(start, piece, wait) as (url, sent), Store.open(tmp_path / "store") as store:
        with pytest.raises(SourceInputError) as caught:
            http.fetch(store, url)
        assert words in caught.value.message
        assert max(sent) < ENOUGH
