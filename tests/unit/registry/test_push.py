from __future__ import annotations

from collections.abc import Iterator

import pytest

from buildkit_py.errors import Cancelled, NotFoundError, RegistryError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER
from buildkit_py.reference import Reference
from buildkit_py.registry.push import PushReport
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import MadeImage, digest_of, make_image, make_index
from tests.support.memory_blobs import MemoryBlobs

SMALL, LARGE = b"small layer", bytes(range(256)) * 2000
IMAGE = make_image(SMALL, LARGE)


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        yield server


def push(registry: FaultyRegistry, image: MadeImage = IMAGE, waits: list[float] | None = None) -> PushReport:
    blobs = MemoryBlobs()
    image.store(blobs)
    ref = Reference.parse(f"{registry.name}/team/app:v1")
    return make_client(registry.name, waits=waits).push(ref, image.descriptor, blobs)


def complete(registry: FaultyRegistry, image: MadeImage = IMAGE) -> bool:
    held = all(registry.blobs.get(digest_of(data)) == data for data in (*image.layers, image.config))
    return held and registry.manifests[("team/app", "v1")][0] == image.manifest


def test_push(registry: FaultyRegistry) -> None:
    report = push(registry)
    assert complete(registry)
    assert set(report.uploaded) == {digest_of(data) for data in (SMALL, LARGE, IMAGE.config)}
    assert report.bytes == len(SMALL) + len(LARGE) + len(IMAGE.config)
    assert report.digest == str(IMAGE.descriptor.digest)
    again = push(registry)
    assert (set(again.existing), again.uploaded, again.bytes) == (set(report.uploaded), (), 0)


@pytest.mark.parametrize("held", [False, True])
def test_a_server_of_one_page_is_no_registry(registry: FaultyRegistry, held: bool) -> None:
    """It says yes to everything: to an upload, and to a manifest where it seems to have the blobs."""

    def page(handler: Handler) -> None:
        if handler.command == "HEAD" and not held:
            return handler.reply(404)
        handler.body()
        return handler.reply(200, b"<html>", Content_Type="text/html", Transfer_Encoding="identity")

    sizes = {digest_of(data): len(data) for data in (SMALL, LARGE, IMAGE.config)}

    def there(handler: Handler) -> None:
        handler.reply(200, Content_Length=sizes[handler.path.rpartition("/")[2]])

    if held:
        registry.faults.append(on("HEAD", "/blobs/", there))
    for method in ("HEAD", "GET", "POST", "PUT", "PATCH"):
        registry.faults.append(on(method, "/", page))
    with pytest.raises(RegistryError, match=f"can't push .*: {registry.name} answered with a web page") as caught:
        push(registry)
    assert "no registry at this address" in (caught.value.hint or "")


def test_an_answer_that_is_not_due_is_told_as_such(registry: FaultyRegistry) -> None:
    registry.faults.append(on("POST", "/uploads/", lambda handler: handler.reply(200)))
    with pytest.raises(RegistryError, match="answered 200, which no registry does here"):
        push(registry)


def test_manifest_comes_last(registry: FaultyRegistry) -> None:
    push(registry)
    puts = [item.path for item in registry.requests if item.method in ("PUT", "PATCH")]
    first = next(number for number, path in enumerate(puts) if "/manifests/" in path)
    assert all("/manifests/" in path for path in puts[first:])
    assert puts[-1].endswith("/manifests/v1")


def test_index_comes_with_its_manifests(registry: FaultyRegistry) -> None:
    arm = make_image(b"arm layer", platform="linux/arm64")
    raw, descriptor = make_index(IMAGE, arm)
    blobs = MemoryBlobs()
    for image in (IMAGE, arm):
        image.store(blobs)
    blobs.put(raw)
    report = make_client(registry.name).push(Reference.parse(f"{registry.name}/team/app:v1"), descriptor, blobs)
    assert registry.manifests["team/app", "v1"][0] == raw
    assert registry.manifests["team/app", str(arm.descriptor.digest)][0] == arm.manifest
    assert report.manifests == tuple(str(item.digest) for item in (IMAGE.descriptor, arm.descriptor, descriptor))
    order = [item.path.rpartition("/")[2] for item in registry.asked("PUT", "/manifests/")]
    assert order == [*report.manifests, "v1"]


def test_base_layers_are_mounted(registry: FaultyRegistry) -> None:
    registry.put(LARGE)
    registry.faults.append(on("HEAD", digest_of(LARGE), lambda handler: handler.reply(404)))
    blobs = MemoryBlobs()
    IMAGE.store(blobs)
    del blobs.data[digest_of(LARGE)]
    base = Reference.parse(f"{registry.name}/library/base:1")
    far = Reference.parse("elsewhere.example/base:1")
    report = make_client(registry.name).push(
        Reference.parse(f"{registry.name}/team/app:v1"),
        IMAGE.descriptor,
        blobs,
        origins={digest_of(LARGE): base, digest_of(SMALL): far},
    )
    assert report.mounted == (digest_of(LARGE),)
    (asked,) = registry.asked("POST", "mount=")
    assert "from=library%2Fbase" in asked.path


def test_mount_that_is_refused_becomes_an_upload(registry: FaultyRegistry) -> None:
    registry.mounts = False
    blobs = MemoryBlobs()
    IMAGE.store(blobs)
    del blobs.data[digest_of(LARGE)]
    brought: list[Descriptor] = []

    def bring(descriptor: Descriptor) -> None:
        brought.append(descriptor)
        blobs.put(LARGE)

    report = make_client(registry.name).push(
        Reference.parse(f"{registry.name}/team/app:v1"),
        IMAGE.descriptor,
        blobs,
        origins={digest_of(LARGE): Reference.parse(f"{registry.name}/library/base:1")},
        bring=bring,
    )
    assert digest_of(LARGE) in report.uploaded
    assert [item.digest for item in brought] == [Descriptor.of(LARGE, OCI_LAYER).digest]
    assert complete(registry)


def test_blob_that_is_nowhere(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    IMAGE.store(blobs)
    del blobs.data[digest_of(LARGE)]
    with pytest.raises(NotFoundError):
        make_client(registry.name).push(Reference.parse(f"{registry.name}/team/app:v1"), IMAGE.descriptor, blobs)
    assert not registry.manifests


def test_upload_over_a_bad_line_arrives_as_long_as_it_moves_on(registry: FaultyRegistry) -> None:
    image = make_image(bytes(range(256)) * 32768)

    def action(handler: Handler) -> None:
        with registry.lock:
            registry.uploads[int(handler.path.partition("?")[0].rpartition("/")[2])] += handler.body(1 << 20)
        handler.drop()

    registry.faults.append(times(7, on("PATCH", "/uploads/", action)))
    push(registry, image)
    assert complete(registry, image)


def test_upload_address_of_another_host_gets_no_authorization(registry: FaultyRegistry) -> None:
    with faulty_registry() as other:
        client = make_client(registry.name, other.name)

        def guard(handler: Handler) -> bool:
            if handler.path.startswith("/token"):
                handler.reply(200, b'{"token": "t"}')
            elif handler.headers.get("Authorization") != "Bearer t":
                handler.reply(401, WWW_Authenticate=f'Bearer realm="http://{registry.name}/token"')
            elif handler.command == "POST":
                handler.reply(202, Location=f"http://{other.name}/v2/x/blobs/uploads/0")
            else:
                return False
            return True

        registry.faults.append(guard)
        blobs = MemoryBlobs()
        IMAGE.store(blobs)
        with pytest.raises(RegistryError):
            client.push(Reference.parse(f"{registry.name}/team/app:v1"), IMAGE.descriptor, blobs)
        assert other.requests
        assert all("Authorization" not in item.headers for item in other.requests)


def test_registry_that_stores_other_bytes(registry: FaultyRegistry) -> None:
    wrong = digest_of(b"")
    registry.faults.append(on("PUT", "/manifests/", lambda handler: handler.reply(201, Docker_Content_Digest=wrong)))
    with pytest.raises(Exception, match="stored other bytes"):
        push(registry)


def test_cancel(registry: FaultyRegistry) -> None:
    blobs = MemoryBlobs()
    IMAGE.store(blobs)
    with pytest.raises(Cancelled):
        make_client(registry.name).push(
            Reference.parse(f"{registry.name}/a:1"), IMAGE.descriptor, blobs, cancel=lambda: True
        )
    assert not registry.manifests


def test_progress(registry: FaultyRegistry) -> None:
    seen: dict[str, int] = {}
    blobs = MemoryBlobs()
    IMAGE.store(blobs)
    make_client(registry.name).push(
        Reference.parse(f"{registry.name}/a:1"),
        IMAGE.descriptor,
        blobs,
        progress=lambda item, done: seen.update({str(item.digest): done}),
    )
    assert seen[digest_of(LARGE)] == len(LARGE)
