from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from buildkit_py.errors import RegistryError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_CONFIG
from buildkit_py.registry.auth import Challenge
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on
from tests.support.images import make_image
from tests.support.logins import BASIC, PASSWORD, bearer, client_for, reference, serve_tokens, want

IMAGE = make_image(b"layer")
IMAGE_CONFIG = Descriptor.of(IMAGE.config, OCI_CONFIG)


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.add_manifest("a/b", "1", IMAGE.manifest, IMAGE.descriptor.media_type)
        server.put(IMAGE.config)
        yield server


@pytest.fixture
def other() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        yield server


def test_basic_only_when_asked(registry: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want('Basic realm="x"', BASIC))
    client = client_for(registry, tmp_path)
    client.manifest(reference(registry))
    client.manifest(reference(registry))
    assert [item.headers.get("Authorization") for item in registry.requests] == [None, BASIC, BASIC]


def test_nothing_is_sent_unasked(registry: FaultyRegistry, tmp_path: Path) -> None:
    client_for(registry, tmp_path).manifest(reference(registry))
    assert all("Authorization" not in item.headers for item in registry.requests)


def test_wrong_password(registry: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want('Basic realm="x"', "Basic other"))
    with pytest.raises(RegistryError, match="refused access") as caught:
        client_for(registry, tmp_path).manifest(reference(registry))
    assert f"pybuild login {registry.name}" in (caught.value.hint or "")
    assert len(registry.requests) == 2


def test_no_credentials(registry: FaultyRegistry) -> None:
    registry.faults.append(want('Basic realm="x"', BASIC))
    with pytest.raises(RegistryError, match="refused access"):
        make_client(registry.name).manifest(reference(registry))


def test_bearer(registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer tok1"))
    serve_tokens(other)
    client = client_for(registry, tmp_path)
    client.manifest(reference(registry))
    client.manifest(reference(registry))
    (asked,) = other.requests
    assert asked.headers["Authorization"] == BASIC
    query = parse_qs(urlsplit(asked.path).query)
    assert query == {"service": ["the, service"], "scope": ["repository:a/b:pull"]}
    assert BASIC not in [item.headers.get("Authorization") for item in registry.requests]


def test_anonymous_token(registry: FaultyRegistry, other: FaultyRegistry) -> None:
    registry.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer tok1"))
    serve_tokens(other)
    make_client(registry.name).manifest(reference(registry))
    assert "Authorization" not in other.requests[0].headers


def test_identity_token(registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer tok1"))
    serve_tokens(other)
    client_for(registry, tmp_path, auth={"identitytoken": "idtok"}).manifest(reference(registry))
    assert other.requests[0].method == "POST"
    assert "idtok" not in other.requests[0].path


def test_token_that_is_soon_over_is_renewed(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer tok1"))
    serve_tokens(other, expires_in=100)
    client = client_for(registry, tmp_path)
    now = [0.0]
    monkeypatch.setattr("buildkit_py.registry.auth.time.monotonic", lambda: now[0])
    for now[0] in (0.0, 89.0, 91.0):
        client.manifest(reference(registry))
    assert len(other.requests) == 2
    assert [item.headers.get("Authorization") for item in registry.requests] == [None, *["Bearer tok1"] * 3]


def test_token_of_another_thread_that_runs_out_at_once(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path
) -> None:
    """Between the challenge of one request and its second attempt another one uses a token up."""
    repository = client_for(registry, tmp_path).reader(reference(registry))
    valid = ["Bearer 1"]
    registry.faults.append(lambda handler: want(bearer(f"http://{other.name}/token"), valid[0])(handler))
    other.faults.append(
        on("GET", "/token", lambda handler: handler.reply(200, json.dumps({"token": valid[0][7:]}).encode()))
    )

    def meanwhile(_: Handler) -> bool:
        if len(registry.requests) == 1:
            repository.root()
            valid[0] = "Bearer 2"
        return False

    registry.faults.insert(0, meanwhile)
    repository.root()
    sent = [item.headers.get("Authorization") for item in registry.requests]
    assert sent == [None, None, "Bearer 1", "Bearer 1", "Bearer 2"]


def test_token_that_is_refused_is_asked_for_once(registry: FaultyRegistry, other: FaultyRegistry) -> None:
    registry.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer another"))
    serve_tokens(other)
    with pytest.raises(RegistryError, match="refused access"):
        make_client(registry.name).manifest(reference(registry))
    assert len(other.requests) == 1


@pytest.mark.parametrize(
    "location", ["ftp://x/", "http://user:pw@h/", "http://a\\@b/", "http://[", "file:///etc/passwd"]
)
def test_redirect_to_nowhere(registry: FaultyRegistry, location: str) -> None:
    registry.faults.append(on("GET", "/", lambda handler: handler.reply(302, Location=location)))
    with pytest.raises(RegistryError, match="can't be used"):
        make_client(registry.name).manifest(reference(registry))


def test_what_a_registry_says_is_scrubbed(registry: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want('Basic realm="x"', BASIC))
    client = client_for(registry, tmp_path)
    client.manifest(reference(registry))
    said = f"\x1b[31mno {PASSWORD} {BASIC} https://h/x?sig=SIGNED"
    body = json.dumps({"errors": [{"code": "DENIED", "message": said}]}).encode()
    registry.faults.append(on("GET", "/manifests/", lambda handler: handler.reply(403, body)))
    with pytest.raises(RegistryError) as caught:
        client.manifest(reference(registry))
    shown = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    for secret in (PASSWORD, BASIC.removeprefix("Basic "), "SIGNED", "\x1b"):
        assert secret not in shown
    assert "no ***" in shown


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 5}', b'{"token": "a\\r\\nX: y"}', b'{"token": ""}'])
def test_no_token(registry: FaultyRegistry, other: FaultyRegistry, body: bytes) -> None:
    registry.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer tok1"))
    other.faults.append(on("GET", "/token", lambda handler: handler.reply(200, body)))
    with pytest.raises(RegistryError, match="sent no token"):
        make_client(registry.name).manifest(reference(registry))


def test_challenge_grammar() -> None:
    parsed = Challenge.parse('BEARER Realm="https://h/\\"x",service = s , scope="a,b"')
    assert (parsed.scheme, parsed.parameters) == ("bearer", {"realm": 'https://h/"x', "service": "s", "scope": "a,b"})
    assert Challenge.parse("").parameters == {}


def test_malformed_token_of_the_configuration(registry: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want(bearer("https://h/token"), "Bearer x"))
    with pytest.raises(RegistryError, match="malformed") as caught:
        client_for(registry, tmp_path, auth={"registrytoken": "t0ken\r\nX: y"}).manifest(reference(registry))
    assert "t0ken" not in repr(caught.value)


def test_token_of_the_configuration(registry: FaultyRegistry, tmp_path: Path) -> None:
    registry.faults.append(want(bearer("https://h/token"), "Bearer t0ken"))
    client_for(registry, tmp_path, auth={"registrytoken": "t0ken"}).manifest(reference(registry))
