"""Fault 21: into the store, from a registry that breaks off anywhere or answers with less, more or something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import IntegrityError, PybuildError, RegistryError
from buildkit_py.registry.retry import Retry
from buildkit_py.store import Store
from buildkit_py.transfer.to_store import StoreDestination
from tests.support.faulty_registry import Fault, Handler, faulty_registry, on, times
from tests.support.images import digest_of
from tests.support.transfers import IMAGE, LARGE, SMALL, Pair, hold

RETRY = Retry(sleep=lambda _: None)
LAYER = digest_of(LARGE)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with faulty_registry() as source, faulty_registry() as target:
        hold(source, IMAGE)
        yield Pair(source, target)


def first(action: Callable[[Handler], None], part: str = LAYER, count: int = 1) -> Fault:
    return times(count, on("GET", part, action))


def ended(handler: Handler) -> None:
    handler.reply(200, LARGE[:500_000], Content_Length=len(LARGE))
    handler.close_connection = True


def broken(handler: Handler) -> None:
    handler.reply(200, LARGE[:500_000], Content_Length=len(LARGE))
    handler.drop()


def other_range(handler: Handler) -> None:
    handler.reply(206, LARGE[7:], Content_Range=f"bytes 7-{len(LARGE) - 1}/{len(LARGE)}")


PASSING: dict[str, Callable[[], list[Fault]]] = {
    "a body that ends too early": lambda: [first(ended)],
    "a connection that breaks": lambda: [first(broken)],
    "one that breaks before its answer": lambda: [first(Handler.drop, count=2)],
    "a body that is short": lambda: [first(lambda handler: handler.reply(200, LARGE[:-1]))],
    "a body that is long": lambda: [on("GET", LAYER, lambda handler: handler.reply(200, LARGE + b"more"))],
    "no ranges": lambda: [first(ended), first(lambda handler: handler.reply(416))],
    "another range": lambda: [first(ended), first(other_range)],
    "429 of a blob": lambda: [first(lambda handler: handler.reply(429, Retry_After=3), count=2)],
    "429 of a manifest": lambda: [first(lambda handler: handler.reply(429, Retry_After=3), "/manifests/", 2)],
    "503 of everything": lambda: [first(lambda handler: handler.reply(503), "/v2/", 3)],
}
FATAL: dict[str, tuple[Fault, type[PybuildError]]] = {
    "wrong bytes": (on("GET", LAYER, lambda handler: handler.reply(200, bytes(len(LARGE)))), IntegrityError),
    "a wrong small blob": (
        on("GET", digest_of(SMALL), lambda handler: handler.reply(200, b"wrong layer")),
        IntegrityError,
    ),
    "a wrong configuration": (
        on("GET", digest_of(IMAGE.config), lambda handler: handler.reply(200, b"x" * len(IMAGE.config))),
        IntegrityError,
    ),
    "a manifest of another type": (
        on("GET", "/manifests/", lambda handler: handler.reply(200, IMAGE.manifest, Content_Type="text/html")),
        IntegrityError,
    ),
    "a manifest with another digest": (
        on("GET", "/manifests/", lambda handler: handler.reply(200, IMAGE.manifest, Docker_Content_Digest=LAYER)),
        IntegrityError,
    ),
    "no manifest": (on("GET", "/manifests/", lambda handler: handler.reply(200, b"html")), IntegrityError),
    "a web page": (on("GET", "/manifests/", lambda handler: handler.reply(200, b"<html>")), RegistryError),
    "a blob that is gone": (on("GET", LAYER, lambda handler: handler.reply(404)), RegistryError),
    "a body that is always short": (on("GET", LAYER, lambda handler: handler.reply(200, LARGE[:-1])), RegistryError),
    "429 without an end": (on("GET", LAYER, lambda handler: handler.reply(429, Retry_After=3)), RegistryError),
}


def pull(pair: Pair, store: Store) -> None:
    with store.lease():
        pair.copy(StoreDestination(store, "app:1", RETRY))


def check(store: Store) -> None:
    assert store.check() == []
    named = store.images.get("app:1")
    assert named is not None and named["digest"] == str(IMAGE.descriptor.digest)
    with store.blobs.open(LAYER) as file:
        assert file.read() == LARGE


@pytest.mark.parametrize("name", PASSING)
def test_21_what_passes(pair: Pair, tmp_path: Path, name: str) -> None:
    pair.source.faults += PASSING[name]()
    with Store.open(tmp_path / "store") as store:
        pull(pair, store)
        check(store)
    assert all(wait >= 3 for wait in pair.waits) or "429" not in name


@pytest.mark.parametrize("name", FATAL)
def test_21_what_does_not(pair: Pair, tmp_path: Path, name: str) -> None:
    fault, error = FATAL[name]
    pair.source.faults.append(fault)
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(error):
            pull(pair, store)
        assert store.check() == []
        assert store.images.list() == []
        assert not store.blobs.has(LAYER) or name not in ("wrong bytes", "a body that is always short")
        pair.source.faults.clear()
        pull(pair, store)
        check(store)


def test_21_a_token_that_runs_out(pair: Pair, tmp_path: Path) -> None:
    tokens = [0]

    def guard(handler: Handler) -> bool:
        if handler.path.startswith("/token"):
            tokens[0] += 1
            handler.reply(200, json.dumps({"token": f"t{tokens[0]}"}).encode())
            return True
        expired = "/blobs/" in handler.path and tokens[0] == 1
        if handler.headers.get("Authorization") == f"Bearer t{tokens[0]}" and not expired:
            return False
        handler.reply(401, WWW_Authenticate=f'Bearer realm="http://{pair.source.name}/token",service="s"')
        return True

    pair.source.faults.append(guard)
    with Store.open(tmp_path / "store") as store:
        pull(pair, store)
        check(store)
    assert tokens[0] == 2


def test_21_blobs_at_another_host_that_breaks_off(pair: Pair, tmp_path: Path) -> None:
    with faulty_registry() as other:
        for data in (*IMAGE.layers, IMAGE.config):
            other.put(data)
        other.faults.append(first(ended))
        pair.source.faults.append(
            on("GET", "/blobs/", lambda handler: handler.reply(307, Location=f"http://{other.name}{handler.path}"))
        )
        with Store.open(tmp_path / "store") as store:
            pull(pair, store)
            check(store)
        asked = [item.headers.get("Range") for item in other.asked("GET", LAYER)]
        assert asked[0] is None
        assert str(asked[1]).startswith("bytes=")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: %s\r\nDocker-Content-Digest: %s\r\n\r\n"
BOUNDARIES = {
    "before anything": lambda head, body: 0,
    "in the status line": lambda head, body: 9,
    "after the status line": lambda head, body: head.index(b"\r\n") + 2,
    "in the name of a header": lambda head, body: head.index(b"Content-Length") + 5,
    "in the value of a header": lambda head, body: head.index(b"Content-Type") + 16,
    "between the headers and the body": lambda head, body: len(head) - 2,
    "before the body": lambda head, body: len(head),
    "after a byte of it": lambda head, body: len(head) + 1,
    "before the end of a piece": lambda head, body: len(head) + PIECE - 1,
    "at the end of a piece": lambda head, body: len(head) + PIECE,
    "after the end of a piece": lambda head, body: len(head) + PIECE + 1,
    "before the last byte": lambda head, body: len(head) + len(body) - 1,
    "after the last byte": lambda head, body: len(head) + len(body),
}
"""The classes of places at which a connection can break, as bytes that came through before."""
PIECE = 1 << 18
PARTS = {"manifest": IMAGE.manifest, "configuration": IMAGE.config, "layer": LARGE}


def cut(data: bytes, where: str, *, clean: bool) -> Callable[[Handler], None]:
    """Answer up to a place; then the connection is closed, or reset."""

    def action(handler: Handler) -> None:
        head = HEAD % (len(data), IMAGE.descriptor.media_type.encode(), digest_of(data).encode())
        at = min(BOUNDARIES[where](head, data), len(head) + len(data))
        handler.wfile.write((head + data)[:at])
        handler.close_connection = True
        if not clean:
            handler.drop()

    return action


def chunks(data: bytes, at: int, size: int = 100_000) -> Callable[[Handler], None]:
    """Answer in chunks of a transfer coding, and close after so many bytes."""

    def action(handler: Handler) -> None:
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        whole = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(whole[:at] if at >= 0 else whole[: len(whole) + at])
        handler.close_connection = True

    return action


@pytest.mark.parametrize("where", BOUNDARIES)
@pytest.mark.parametrize("part", PARTS)
def test_21_a_connection_that_breaks(pair: Pair, tmp_path: Path, part: str, where: str) -> None:
    """At every class of byte boundary, of every kind of answer: closed once, then reset once, then well."""
    data = PARTS[part]
    target = "/manifests/" if part == "manifest" else digest_of(data)
    pair.source.faults += [first(cut(data, where, clean=clean), target) for clean in (True, False)]
    with Store.open(tmp_path / "store") as store:
        pull(pair, store)
        check(store)


@pytest.mark.parametrize("where", BOUNDARIES)
def test_21_a_connection_that_always_breaks(pair: Pair, tmp_path: Path, where: str) -> None:
    """It is told in plain words, nothing is named, and the next pull goes on with what there is."""
    fault = on("GET", LAYER, cut(LARGE, where, clean=False))
    pair.source.faults.append(fault)
    with Store.open(tmp_path / "store") as store:
        try:
            pull(pair, store)
        except RegistryError:
            assert store.images.list() == []
        assert store.check() == []
        pair.source.faults.clear()
        pull(pair, store)
        check(store)


@pytest.mark.parametrize("at", [0, 1, 5, 6, 7, 100_007, 100_008, 100_009, 100_012, -1, -3, -5, -6, -8, -100])
def test_21_a_coding_that_breaks(pair: Pair, tmp_path: Path, at: int) -> None:
    """In the size of a chunk, in its bytes, between two, and before the last, empty one."""
    pair.source.faults.append(first(chunks(LARGE, at)))
    with Store.open(tmp_path / "store") as store:
        pull(pair, store)
        check(store)
