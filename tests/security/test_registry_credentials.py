"""Passwords and tokens go to the registry that they are for and to the realm that it names, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import RegistryError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER
from buildkit_py.registry.auth import Authorizer
from buildkit_py.registry.credentials import Credential
from buildkit_py.registry.transport import Transport
from buildkit_py.trust.place import Place
from tests.support.clients import make_client
from tests.support.faulty_registry import Fault, FaultyRegistry, Handler, faulty_registry, on
from tests.support.images import make_image
from tests.support.logins import BASIC, PASSWORD, bearer, client_for, reference, serve_tokens, want
from tests.support.memory_blobs import MemoryBlobs

IMAGE = make_image(b"layer")
IMAGE_CONFIG = Descriptor.of(IMAGE.config, OCI_CONFIG)


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.referrers = True
        server.add_manifest("a/b", "1", IMAGE.manifest, IMAGE.descriptor.media_type)
        server.put(IMAGE.config)
        server.put(b"layer")
        yield server


@pytest.fixture
def other() -> Iterator[FaultyRegistry]:
    """A host that would like to have them."""
    with faulty_registry() as server:
        yield server
        assert BASIC not in str(server.requests)
        assert PASSWORD not in str(server.requests)
        assert "tok1" not in str(server.requests)


def to(other: FaultyRegistry, method: str, part: str, status: int = 307) -> Fault:
    """Send whoever asks to the same path of another host."""
    return on(
        method, part, lambda handler: handler.reply(status, Location=f"http://{other.name}{handler.path}?sig=SIGNED")
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_no_credential_crosses_a_redirect(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path, status: int, login: str
) -> None:
    """CVE-2020-15157: of a manifest, a blob, a page of tags and one of referrers; nor does a signed address."""
    serve_tokens(registry)
    token = login == "bearer"
    scheme = bearer(f"http://{registry.name}/token") if token else 'Basic realm="x"'
    registry.faults.append(want(scheme, "Bearer tok1" if token else BASIC))
    client = client_for(registry, tmp_path, other)
    client.manifest(reference(registry))
    registry.faults.insert(0, to(other, "GET", "/v2/", status))
    for ask in (
        lambda: client.manifest(reference(registry)),
        lambda: client.reader(reference(registry)).document(IMAGE_CONFIG),
        lambda: client.fetch(reference(registry), [Descriptor.of(b"layer", OCI_LAYER)], MemoryBlobs()),
        lambda: client.tags(reference(registry)),
        lambda: Place(client, reference(registry)).document("sig"),
    ):
        before = len(other.requests)
        try:
            ask()
        except RegistryError as error:
            assert "SIGNED" not in f"{error.message} {error.hint}"
        assert len(other.requests) > before


def test_where_a_redirect_ends_has_no_say_in_where_a_password_goes(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path
) -> None:
    """CVE-2020-15157: the target of a redirect asks for a token, at an address of its own, or for the password."""
    registry.faults.append(to(other, "GET", "/manifests/"))
    for scheme in (bearer(f"http://{other.name}/token"), 'Basic realm="x"'):
        other.faults[:] = [want(scheme, "Bearer tok1")]
        serve_tokens(other)
        with pytest.raises(RegistryError, match="refused access"):
            client_for(registry, tmp_path, other).manifest(reference(registry))
        assert not other.asked("GET", "/token")
    assert other.requests


def test_a_realm_does_not_pass_a_password_on(registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path) -> None:
    """The token service that the registry names gets it; where that redirects to does not."""
    registry.faults.append(want(bearer(f"http://{registry.name}/token"), "Bearer tok1"))
    registry.faults.insert(0, to(other, "GET", "/token", 302))
    serve_tokens(other, "tok1")
    client_for(registry, tmp_path).manifest(reference(registry))
    assert registry.asked("GET", "/token")[0].headers["Authorization"] == BASIC
    assert "Authorization" not in other.requests[0].headers


def test_a_realm_of_plain_http_gets_nothing(other: FaultyRegistry) -> None:
    """A registry that is spoken to over TLS can't have the password sent in the clear."""
    credential = Credential(username="me", password=PASSWORD)
    authorizer = Authorizer(
        Transport(make_client().config, {}), "https://r.example", "r.example", (), lambda: credential
    )
    with pytest.raises(RegistryError, match="plain HTTP, which is refused"):
        authorizer.answer(bearer(f"http://{other.name}/token"), None, "x")
    assert not other.requests


def test_pages_and_uploads_at_another_host(registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path) -> None:
    """The next page is not looked for there; an upload may be sent there, but no credential with it."""
    registry.faults.append(want('Basic realm="x"', BASIC))
    client = client_for(registry, tmp_path, other)
    link = f'<http://{other.name}/v2/a/b/next>; rel="next"'
    index = b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % OCI_INDEX.encode()
    registry.faults.append(on("GET", "/tags/", lambda handler: handler.reply(200, b'{"tags": ["1"]}', Link=link)))
    registry.faults.append(on("GET", "/referrers/", lambda handler: handler.reply(200, index, Link=link)))
    with pytest.raises(RegistryError, match="at another host"):
        client.tags(reference(registry))
    with pytest.raises(RegistryError, match="at another host"):
        Place(client, reference(registry)).referrers(IMAGE.descriptor.digest)
    assert not other.requests

    def elsewhere(handler: Handler) -> None:
        handler.body()
        other.uploads.append(bytearray())
        handler.reply(202, Location=f"http://{other.name}/v2/a/b/blobs/uploads/{len(other.uploads) - 1}")

    registry.faults.append(on("POST", "/uploads/", elsewhere))
    blobs = MemoryBlobs()
    image = make_image(b"new")
    client.push(reference(registry), image.store(blobs), blobs)
    assert other.asked("PUT", "/uploads/") or other.asked("PATCH", "/uploads/")
