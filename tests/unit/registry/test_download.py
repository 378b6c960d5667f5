from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from buildkit_py.errors import Cancelled, IntegrityError, RegistryError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER
from buildkit_py.reference import Reference
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.memory_blobs import MemoryBlobs

DATA = bytes(range(256)) * 40
HALF = len(DATA) // 2


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.put(DATA)
        yield server


def fetch(registry: FaultyRegistry, blobs: MemoryBlobs, waits: list[float] | None = None, data: bytes = DATA) -> str:
    descriptor = Descriptor.of(data, OCI_LAYER)
    ref = Reference.parse(f"{registry.name}/a/b")
    make_client(registry.name, waits=waits).fetch(ref, [descriptor], blobs)
    assert blobs.data[str(descriptor.digest)] == data
    return str(descriptor.digest)


def ranges(registry: FaultyRegistry) -> list[str | None]:
    return [request.headers.get("Range") for request in registry.asked("GET", "/blobs/")]


def cut(at: int, stated: int | None = len(DATA)) -> Callable[[Handler], None]:
    """Send the first `at` bytes where `stated` were promised, then break the connection."""

    def action(handler: Handler) -> None:
        handler.reply(200, DATA[:at], **({"Content_Length": stated} if stated is not None else {"Connection": "close"}))
        handler.drop()

    return action


def test_fetch(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    fetch(registry, blobs)
    fetch(registry, blobs)
    assert ranges(registry) == [None]


def test_empty_blob_needs_no_request(registry: FaultyRegistry) -> None:
    fetch(registry, MemoryBlobs(), data=b"")
    assert ranges(registry) == []


@pytest.mark.parametrize("at", [1, HALF, len(DATA) - 1])
def test_broken_connection_is_resumed(registry: FaultyRegistry, at: int) -> None:
    def action(handler: Handler) -> None:
        handler.reply(200, DATA[:at], Content_Length=len(DATA))
        handler.close_connection = True

    registry.faults.append(times(1, on("GET", "/blobs/", action)))
    waits: list[float] = []
    fetch(registry, MemoryBlobs(), waits)
    assert ranges(registry) == [None, f"bytes={at}-"]
    assert len(waits) == 1


@pytest.mark.parametrize("at", [0, 1, HALF])
def test_reset_connection_is_tried_again(registry: FaultyRegistry, at: int) -> None:
    registry.faults.append(times(2, on("GET", "/blobs/", cut(at))))
    fetch(registry, MemoryBlobs())


def test_drop_before_the_status_line(registry: FaultyRegistry) -> None:
    registry.faults.append(times(2, on("GET", "/blobs/", lambda handler: handler.drop())))
    waits: list[float] = []
    fetch(registry, MemoryBlobs(), waits)
    assert len(waits) == 2


def test_partial_of_an_earlier_process_is_taken_up(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    blobs.partials[str(Descriptor.of(DATA, OCI_LAYER).digest)] += DATA[:100]
    fetch(registry, blobs)
    assert ranges(registry) == ["bytes=100-"]


def resumable(registry: FaultyRegistry) -> MemoryBlobs:
    blobs = MemoryBlobs()
    blobs.partials[str(Descriptor.of(DATA, OCI_LAYER).digest)] += DATA[:HALF]
    return blobs


def test_200_for_206(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/blobs/", lambda handler: handler.reply(200, DATA)))
    fetch(registry, resumable(registry))
    assert ranges(registry) == [f"bytes={HALF}-"]


@pytest.mark.parametrize("content_range", ["bytes 0-9/10240", "bytes 5120-10239/9", "items 1-2/3", "", "bytes */10240"])
def test_wrong_range_is_fetched_whole(registry: FaultyRegistry, content_range: str) -> None:
    registry.faults.append(
        times(1, on("GET", "/blobs/", lambda handler: handler.reply(206, DATA[:10], Content_Range=content_range)))
    )
    fetch(registry, resumable(registry))
    assert ranges(registry) == [f"bytes={HALF}-", None]


def test_416_is_fetched_whole(registry: FaultyRegistry) -> None:
    registry.faults.append(times(1, on("GET", "/blobs/", lambda handler: handler.reply(416))))
    fetch(registry, resumable(registry))
    assert ranges(registry) == [f"bytes={HALF}-", None]


def test_wrong_beginning_is_fetched_again(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    blobs.partials[str(Descriptor.of(DATA, OCI_LAYER).digest)] += b"wrong"
    fetch(registry, blobs)
    assert ranges(registry) == ["bytes=5-", None]


def test_partial_that_is_too_long_is_dropped(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    blobs.partials[str(Descriptor.of(DATA, OCI_LAYER).digest)] += DATA + b"more"
    fetch(registry, blobs)


def test_short_body_fails_in_the_end(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/blobs/", lambda handler: handler.reply(200, DATA[:10])))
    waits: list[float] = []
    with pytest.raises(RegistryError, match=f"ended after 10 of {len(DATA)} bytes"):
        fetch(registry, MemoryBlobs(), waits)
    assert len(waits) == 4
    assert waits == sorted(waits)


def test_extra_bytes_are_cut_off(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/blobs/", lambda handler: handler.reply(200, DATA + b"extra")))
    fetch(registry, MemoryBlobs())


def test_wrong_bytes_are_refused_and_forgotten(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/blobs/", lambda handler: handler.reply(200, DATA[::-1])))
    blobs = MemoryBlobs()
    with pytest.raises(IntegrityError):
        fetch(registry, blobs)
    assert not blobs.data
    assert not any(blobs.partials.values())


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_registry_is_asked_again(registry: FaultyRegistry, status: int) -> None:
    registry.faults.append(times(2, on("GET", "/blobs/", lambda handler: handler.reply(status, Retry_After=7))))
    waits: list[float] = []
    fetch(registry, MemoryBlobs(), waits)
    assert waits == [7.0, 7.0]


def test_refusal_is_not_tried_again(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/blobs/", lambda handler: handler.reply(403)))
    waits: list[float] = []
    with pytest.raises(RegistryError, match="403") as caught:
        fetch(registry, MemoryBlobs(), waits)
    assert caught.value.status == 403
    assert waits == []


def test_many_blobs_and_one_failure(registry: FaultyRegistry) -> None:
    good = [bytes([number]) * 1000 for number in range(20)]
    for data in good:
        registry.put(data)
    descriptors = [Descriptor.of(data, OCI_LAYER) for data in (*good, b"absent", *good)]
    with pytest.raises(RegistryError, match="404"):
        make_client(registry.name).fetch(Reference.parse(f"{registry.name}/a"), descriptors, MemoryBlobs())
    blobs = MemoryBlobs()
    wanted = [item for item in descriptors if item.size != 6]
    make_client(registry.name).fetch(Reference.parse(f"{registry.name}/a"), wanted, blobs)
    assert len(blobs.data) == 20


def test_cancel(registry: FaultyRegistry) -> None:
    descriptor = Descriptor.of(DATA, OCI_LAYER)
    with pytest.raises(Cancelled):
        make_client(registry.name).fetch(
            Reference.parse(f"{registry.name}/a"), [descriptor], MemoryBlobs(), cancel=lambda: True
        )


def test_two_at_once_fetch_once(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    threads = [Thread(target=fetch, args=(registry, blobs)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ranges(registry) == [None]


def test_progress(registry: FaultyRegistry) -> None:
    seen: list[int] = []
    make_client(registry.name).fetch(
        Reference.parse(f"{registry.name}/a"),
        [Descriptor.of(DATA, OCI_LAYER)],
        MemoryBlobs(),
        progress=lambda _, done: seen.append(done),
    )
    assert seen[-1] == len(DATA)
