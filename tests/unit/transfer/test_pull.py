"""Into the store, from a registry that does what it should not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from buildkit_py.errors import IntegrityError, PybuildError, RegistryError
from buildkit_py.registry.retry import Retry
from buildkit_py.store import Store
from buildkit_py.transfer.to_store import StoreDestination
from tests.support.faulty_registry import Fault, Handler, faulty_registry, on, times
from tests.support.images import digest_of
from tests.support.transfers import IMAGE, LARGE, SMALL, Pair

RETRY = Retry(sleep=lambda _: None)
LAYER = digest_of(LARGE)


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
    "no manifest": (on("GET", "/manifests/", lambda handler: handler.reply(200, b"<html>")), IntegrityError),
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
def test_what_passes(pair: Pair, tmp_path: Path, name: str) -> None:
    pair.source.faults += PASSING[name]()
    with Store.open(tmp_path / "store") as store:
        pull(pair, store)
        check(store)
    assert all(wait >= 3 for wait in pair.waits) or "429" not in name


@pytest.mark.parametrize("name", FATAL)
def test_what_does_not(pair: Pair, tmp_path: Path, name: str) -> None:
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


def test_a_token_that_runs_out(pair: Pair, tmp_path: Path) -> None:
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


def test_blobs_at_another_host_that_breaks_off(pair: Pair, tmp_path: Path) -> None:
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
