"""Fault 22: a registry that is busy, forgets logins or breaks off in the middle of an upload; a push that is killed.

A tag never names what is not there, and what is there is not sent again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from buildkit_py.errors import RegistryError
from buildkit_py.reference import Reference
from buildkit_py.registry.push import PushReport
from buildkit_py.store import Store
from tests.support.clients import make_client
from tests.support.command import Pybuild
from tests.support.faulty_registry import Fault, FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import digest_of, make_image
from tests.support.layouts import ARCHITECTURE
from tests.support.memory_blobs import MemoryBlobs
from tests.support.registry import write_config

SMALL, LARGE = b"small layer", bytes(range(256)) * 2000
IMAGE = make_image(SMALL, LARGE, platform=f"linux/{ARCHITECTURE}")
PARTS = [digest_of(data) for data in (SMALL, LARGE, IMAGE.config)]


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    """A registry that notes every manifest that is put before what it names; in the end there is none."""
    dangling: list[str] = []

    def watch(handler: Handler) -> bool:
        if handler.command == "PUT" and "/manifests/" in handler.path:
            with server.lock:
                missing = [digest for digest in PARTS if digest not in server.blobs]
            dangling.extend(f"{handler.path} before {digest}" for digest in missing)
        return False

    with faulty_registry() as server:
        server.faults.append(watch)
        yield server
    assert not dangling


def push(registry: FaultyRegistry, waits: list[float] | None = None) -> PushReport:
    blobs = MemoryBlobs()
    IMAGE.store(blobs)
    ref = Reference.parse(f"{registry.name}/team/app:v1")
    return make_client(registry.name, waits=waits).push(ref, IMAGE.descriptor, blobs)


def complete(registry: FaultyRegistry) -> bool:
    held = all(registry.blobs.get(digest_of(data)) == data for data in (*IMAGE.layers, IMAGE.config))
    return held and registry.manifests[("team/app", "v1")][0] == IMAGE.manifest


def answered(status: int) -> Callable[[Handler], None]:
    def action(handler: Handler) -> None:
        handler.body()
        handler.reply(status)

    return action


def half(handler: Handler) -> None:
    """Take a part of the upload, then reset."""
    registry = handler.server.registry
    with registry.lock:
        registry.uploads[int(handler.path.partition("?")[0].rpartition("/")[2])] += handler.body(100_000)
    handler.drop()


def done_unsaid(handler: Handler) -> None:
    """Do what is asked, and break off before the answer."""
    handler.wfile, told = __import__("io").BytesIO(), handler.wfile
    handler.behave()
    handler.wfile = told
    handler.drop()


REQUESTS = [
    ("HEAD", "/blobs/"),
    ("POST", "/uploads/"),
    ("PATCH", "/uploads/"),
    ("PUT", "/uploads/"),
    ("PUT", "/manifests/sha256"),
    ("PUT", "/manifests/v1"),
]
"""All that a push asks for, in order."""


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(("method", "part"), REQUESTS)
def test_22_busy_registry(registry: FaultyRegistry, status: int, method: str, part: str) -> None:
    registry.faults.append(times(2, on(method, part, answered(status))))
    waits: list[float] = []
    push(registry, waits)
    assert complete(registry)
    assert len(waits) == 2


@pytest.mark.parametrize("action", [Handler.drop, done_unsaid], ids=["before", "after"])
@pytest.mark.parametrize(("method", "part"), REQUESTS)
def test_22_connection_that_breaks(
    registry: FaultyRegistry, method: str, part: str, action: Callable[[Handler], None]
) -> None:
    """Before a request was read, and after it was done but not answered."""
    registry.faults.append(times(2, on(method, part, action)))
    push(registry)
    assert complete(registry)


@pytest.mark.parametrize("status", [None, 429, 500, 507, 403])
@pytest.mark.parametrize(("method", "part"), REQUESTS)
def test_22_fault_without_an_end(registry: FaultyRegistry, status: int | None, method: str, part: str) -> None:
    """It ends in plain words, without a tag; afterwards the same push sends only what is not there."""
    action = Handler.drop if status is None else answered(status)
    fault = on(method, part, action)
    registry.faults.append(fault)
    with pytest.raises(RegistryError):
        push(registry)
    assert ("team/app", "v1") not in registry.manifests
    registry.faults.remove(fault)
    there = set(registry.blobs)
    report = push(registry)
    assert complete(registry)
    assert set(report.existing) == there
    assert not there & set(report.uploaded)


@pytest.mark.parametrize("received", [0, 2, 100_000, len(LARGE)])
def test_22_broken_upload_is_resumed(registry: FaultyRegistry, received: int) -> None:
    def action(handler: Handler) -> None:
        with registry.lock:
            registry.uploads[int(handler.path.partition("?")[0].rpartition("/")[2])] += handler.body(received)
        handler.drop()

    registry.faults.append(times(1, on("PATCH", "/uploads/", action)))
    push(registry)
    assert complete(registry)
    resumed = [item.headers.get("Content-Range") for item in registry.asked("PATCH", "/uploads/")][1:]
    expected = {0: [None], 2: [f"2-{len(LARGE) - 1}"], 100_000: [f"100000-{len(LARGE) - 1}"], len(LARGE): []}
    assert resumed == expected[received]


def test_22_forgotten_upload_begins_again(registry: FaultyRegistry) -> None:
    registry.faults.append(times(1, on("PATCH", "/uploads/", lambda handler: handler.drop())))
    registry.faults.append(on("GET", "/uploads/", lambda handler: handler.reply(404)))
    push(registry)
    assert complete(registry)


@pytest.mark.parametrize("status", [404, 416])
def test_22_upload_that_is_gone_begins_again(registry: FaultyRegistry, status: int) -> None:
    registry.faults.append(times(1, on("PATCH", "/uploads/", answered(status))))
    push(registry)
    assert complete(registry)


def expiring(registry: FaultyRegistry, method: str, part: str) -> Fault:
    """A guard by tokens, of which the first runs out when `part` is asked for."""
    valid, admitted = ["1"], list[str]()

    def guard(handler: Handler) -> bool:
        if handler.path.startswith("/token"):
            handler.reply(200, json.dumps({"token": valid[0]}).encode())
            return True
        if handler.command == method and part in handler.path and valid[0] == "1":
            # Nobody shall be between a token and its first use.
            deadline = time.monotonic() + 10
            while method != "HEAD" and len(admitted) < 3 and time.monotonic() < deadline:
                time.sleep(0.001)
            valid[0] = "2"
        if handler.headers.get("Authorization") == f"Bearer {valid[0]}":
            if handler.command == "HEAD":
                admitted.append(handler.path)
            return False
        handler.body()
        handler.reply(401, WWW_Authenticate=f'Bearer realm="http://{registry.name}/token",service="s"')
        return True

    return guard


@pytest.mark.parametrize(("method", "part"), REQUESTS[1:])
def test_22_token_that_runs_out(registry: FaultyRegistry, method: str, part: str) -> None:
    """Wherever it is: in the middle of an upload too."""
    registry.faults.append(expiring(registry, method, part))
    push(registry)
    assert complete(registry)
    assert len(registry.asked("GET", "/token")) == 2
    scopes = registry.asked("GET", "/token")[0].path
    assert "repository%3Ateam%2Fapp%3Apull%2Cpush" in scopes


def test_22_token_and_connection_and_busy(registry: FaultyRegistry) -> None:
    """All at once."""
    registry.faults += [
        expiring(registry, "PATCH", "/uploads/"),
        times(1, on("PATCH", "/uploads/", half)),
        times(1, on("PATCH", "/uploads/", answered(503))),
        times(1, on("PUT", "/uploads/", answered(429))),
        times(1, on("PUT", "/manifests/", Handler.drop)),
    ]
    push(registry)
    assert complete(registry)


@pytest.fixture
def stored(tmp_path: Path, registry: FaultyRegistry) -> Pybuild:
    """The command, with the image `app` in its store."""
    (tmp_path / "home").mkdir()
    with Store.open(tmp_path / "store") as store:
        plain = IMAGE.store(store.blobs).to_plain()
        plain.pop("platform", None)
        store.images.put("app:1", plain)
    config = write_config(tmp_path / "registries.toml", registry.name)
    return Pybuild(home=tmp_path / "home", store=tmp_path / "store", registries=config)


@pytest.mark.parametrize(("method", "part"), REQUESTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_22_killed_push_resumes(stored: Pybuild, registry: FaultyRegistry, method: str, part: str, when: str) -> None:
    """Killed at any request: no tag dangles, and the next push sends nothing that was there already."""
    reached, go_on = Event(), Event()

    def stop(handler: Handler) -> None:
        if when == "after":
            handler.behave()
        reached.set()
        go_on.wait(60)
        handler.close_connection = True

    fault = times(1, on(method, part, stop))
    registry.faults.append(fault)
    words = ("push", "--json", "app:1", f"{registry.name}/team/app:v1")
    process = subprocess.Popen(
        [sys.executable, "-m", "buildkit_py.cli", *words],
        env=stored.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert reached.wait(60)
    finally:
        process.kill()
        process.wait()
        go_on.set()
    registry.faults.remove(fault)
    with registry.lock:
        there = set(registry.blobs)
    tagged = ("team/app", "v1") in registry.manifests
    assert not tagged or when == "after"
    told = json.loads(stored.ok(*words).stdout)
    assert there <= set(told["existing"])
    assert not there & set(told["uploaded"])
    assert complete(registry)
    assert stored.ok("store", "check").stdout == "the store is whole\n"
