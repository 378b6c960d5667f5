from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER, OCI_MANIFEST
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.config import HostSettings
from buildkit_py.registry.pull import fetch_layers, fetch_metadata
from buildkit_py.registry.transport import Origin, Transport
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import make_image
from tests.support.memory_blobs import MemoryStore
from tests.support.registry import free_port

IMAGE = make_image(b"layer one", b"layer two")
AMD64 = Platform.parse("linux/amd64")


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        filled(server)
        yield server


@pytest.fixture
def mirror() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        yield server


def filled(server: FaultyRegistry) -> None:
    server.add_manifest("a/b", "1", IMAGE.manifest, OCI_MANIFEST)
    for data in (*IMAGE.layers, IMAGE.config):
        server.put(data)


def mirrored(registry: FaultyRegistry, *mirrors: str, waits: list[float] | None = None) -> RegistryClient:
    hosts = {registry.name: HostSettings(plain_http=True, mirrors=mirrors)}
    return make_client(*(mirror.partition("/")[0] for mirror in mirrors), hosts=hosts, waits=waits)


def reference(registry: FaultyRegistry, rest: str = "a/b:1") -> Reference:
    return Reference.parse(f"{registry.name}/{rest}")


def pull(client: RegistryClient, ref: Reference) -> None:
    store = MemoryStore()
    pulled = fetch_metadata(client.reader(ref), AMD64, store)
    assert len(store.blobs.data) == 2
    fetch_layers(pulled, store)
    assert len(store.blobs.data) == 4


def test_mirror_first(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    filled(mirror)
    pull(mirrored(registry, mirror.name), reference(registry))
    assert not registry.requests


def test_mirror_without_the_image(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    pull(mirrored(registry, mirror.name), reference(registry))
    assert mirror.requests
    assert registry.requests


def test_mirror_with_wrong_bytes(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    filled(mirror)
    mirror.faults.append(on("GET", "/blobs/", lambda handler: handler.reply(200, b"x" * len(IMAGE.config))))
    pull(mirrored(registry, mirror.name), reference(registry))


def test_dead_mirror_is_asked_once(registry: FaultyRegistry) -> None:
    waits: list[float] = []
    pull(mirrored(registry, f"127.0.0.1:{free_port()}", waits=waits), reference(registry))
    assert len(waits) == 1


def test_mirror_with_a_prefix(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    mirror.add_manifest("hub/a/b", "1", IMAGE.manifest, OCI_MANIFEST)
    mirrored(registry, f"{mirror.name}/hub").manifest(reference(registry))
    assert not registry.requests


def test_all_failures_are_told(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    with pytest.raises(RegistryError) as caught:
        mirrored(registry, mirror.name).manifest(reference(registry, "a/b:11"))
    assert registry.name in caught.value.message
    assert mirror.name in caught.value.message
    assert caught.value.hint == f"did you mean {registry.name}/a/b:1?"
    assert caught.value.status == 404


def test_a_push_goes_to_no_mirror(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    store = MemoryStore()
    IMAGE.store(store.blobs)
    mirrored(registry, mirror.name).push(reference(registry, "c:1"), IMAGE.descriptor, store.blobs)
    assert not mirror.requests


def test_connection_refused() -> None:
    name = f"127.0.0.1:{free_port()}"
    waits: list[float] = []
    with pytest.raises(RegistryError, match=f"can't connect to {name}: connection refused"):
        make_client(name, waits=waits).manifest(Reference.parse(f"{name}/a"))
    assert len(waits) == 4


def test_resolve_by_head(registry: FaultyRegistry) -> None:
    found = make_client(registry.name).resolve(reference(registry))
    assert (found.digest, found.size) == (IMAGE.descriptor.digest, len(IMAGE.manifest))
    assert [item.method for item in registry.requests] == ["HEAD"]


def test_resolve_without_a_digest_header(registry: FaultyRegistry) -> None:
    registry.faults.append(on("HEAD", "/", lambda handler: handler.reply(200, Content_Type=OCI_MANIFEST)))
    assert make_client(registry.name).resolve(reference(registry)).digest == IMAGE.descriptor.digest


@pytest.mark.parametrize(
    ("raw", "media_type", "words"),
    [
        (IMAGE.manifest + b" ", OCI_MANIFEST, "does not match the digest"),
        (IMAGE.manifest, "application/vnd.oci.image.index.v1+json", "its body says"),
        (b" " * (5 << 20), OCI_MANIFEST, "too large"),
    ],
    ids=["bytes", "type", "size"],
)
def test_wrong_manifest(registry: FaultyRegistry, raw: bytes, media_type: str, words: str) -> None:
    def wrong(handler: Handler) -> None:
        handler.reply(200, raw, Content_Type=media_type, Docker_Content_Digest=IMAGE.descriptor.digest)

    registry.faults.append(on("GET", "/manifests/", wrong))
    with pytest.raises(IntegrityError, match=words):
        make_client(registry.name).manifest(reference(registry))


def test_a_web_page_is_no_manifest_and_no_list_of_tags(registry: FaultyRegistry) -> None:
    registry.faults.append(
        on("GET", "/", lambda handler: handler.reply(200, b"\n<!doctype html>", Content_Type="text/html"))
    )
    registry.faults.append(on("HEAD", "/", lambda handler: handler.reply(200, Content_Type="text/html")))
    client, ref = make_client(registry.name), reference(registry)
    for ask, what in ((client.resolve, f"can't read {ref}"), (client.tags, f"can't list the tags of {ref.name}")):
        with pytest.raises(RegistryError) as caught:
            ask(ref)
        assert caught.value.message == f"{what}: {registry.name} answered with a web page"
        assert "no registry at this address" in (caught.value.hint or "")


def test_what_is_no_manifest_is_told_with_its_place(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/manifests/", lambda handler: handler.reply(200, b"It works!")))
    ref = reference(registry)
    with pytest.raises(IntegrityError, match=f"can't read {ref}: a manifest is not JSON"):
        make_client(registry.name).manifest(ref)


def test_wrong_bytes_for_a_digest(registry: FaultyRegistry) -> None:
    other = make_image(b"other").manifest
    registry.faults.append(on("GET", "/manifests/", lambda handler: handler.reply(200, other)))
    with pytest.raises(IntegrityError, match="does not match its digest"):
        make_client(registry.name).manifest(reference(registry, f"a/b@{IMAGE.descriptor.digest}"))


def test_manifest_that_breaks_off(registry: FaultyRegistry) -> None:
    def short(handler: Handler) -> None:
        handler.reply(200, IMAGE.manifest[:50], Content_Length=len(IMAGE.manifest), Content_Type=OCI_MANIFEST)
        handler.close_connection = True

    registry.faults.append(times(2, on("GET", "/manifests/", short)))
    assert make_client(registry.name).manifest(reference(registry))[0] == IMAGE.manifest


def test_html_errors_are_not_shown(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/", lambda handler: handler.reply(418, b"<html>secret page</html>")))
    with pytest.raises(RegistryError, match=r"answered 418$"):
        make_client(registry.name).manifest(reference(registry))


def test_proxy_of_the_environment(registry: FaultyRegistry, mirror: FaultyRegistry) -> None:
    filled(mirror)
    seen: list[str | None] = []

    def proxied(handler: Handler) -> bool:
        seen.append(handler.headers.get("Proxy-Authorization"))
        handler.path = "/" + handler.path.split("/", 3)[3]
        return False

    mirror.faults.append(proxied)
    environ = {"http_proxy": f"http://me:pw@{mirror.name}"}
    make_client(registry.name, environ=environ).manifest(reference(registry))
    assert seen == ["Basic bWU6cHc="]
    assert not registry.requests
    make_client(registry.name, environ={**environ, "no_proxy": "127.0.0.1"}).manifest(reference(registry))
    assert len(registry.requests) == 1


def test_https_is_never_left_for_plain_http() -> None:
    transport = Transport(make_client("plain.example").config, {})
    with pytest.raises(RegistryError, match="redirects to plain HTTP"):
        transport._redirected("https://a.example/x", "http://b.example/y")
    assert transport._redirected("https://a.example/x", "http://plain.example/y") == "http://plain.example/y"


@pytest.mark.parametrize("url", ["https://a\\@b/", "https://a b/", "https://a\t.b/", "https://a@b/", "https://é/"])
def test_addresses_that_two_parsers_read_differently(url: str) -> None:
    with pytest.raises(RegistryError, match="can't be used"):
        Origin.of(url)


def test_origins() -> None:
    assert Origin.of("https://A.example/x") == Origin.of("https://a.example:443")
    assert Origin.of("http://a.example") != Origin.of("https://a.example")
    assert Origin.of("http://[::1]:5000/").netloc == "[::1]:5000"


def test_server_that_says_nonsense() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = f"127.0.0.1:{server.getsockname()[1]}"
        from threading import Thread

        def answer() -> None:
            for _ in range(5):
                connection, _ = server.accept()
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-nonsense\r\n")
                connection.close()

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(RegistryError, match=f"the connection to {name} broke"):
            make_client(name).fetch(Reference.parse(f"{name}/a"), [Descriptor.of(b"x", OCI_LAYER)], MemoryStore().blobs)
        thread.join()
