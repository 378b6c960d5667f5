from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from buildkit_py.errors import RegistryError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_CONFIG
from buildkit_py.reference import Reference
from buildkit_py.registry.auth import Authorizer, Challenge
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.credentials import Credential
from buildkit_py.registry.transport import Transport
from tests.support.clients import make_client
from tests.support.faulty_registry import Fault, FaultyRegistry, Handler, faulty_registry, on
from tests.support.images import make_image

PASSWORD = "s3cret-P4ssword"
BASIC = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
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


def client_for(
    registry: FaultyRegistry, tmp_path: Path, *others: FaultyRegistry, auth: dict[str, str] | None = None
) -> RegistryClient:
    entry = {"auth": BASIC.removeprefix("Basic ")} if auth is None else auth
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {registry.name: entry}}))
    names = [registry.name, *(item.name for item in others)]
    return make_client(*names, environ={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})


def reference(registry: FaultyRegistry) -> Reference:
    return Reference.parse(f"{registry.name}/a/b:1")


def want(scheme: str, value: str) -> Fault:
    """Refuse every request that does not carry `value`."""

    def fault(handler: Handler) -> bool:
        if handler.path.startswith("/token") or handler.headers.get("Authorization") == value:
            return False
        handler.reply(401, b"{}", WWW_Authenticate=scheme)
        return True

    return fault


def bearer(realm: str) -> str:
    return f'Bearer realm="{realm}",service="the, service",scope="repository:a/b:pull"'


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


def serve_tokens(server: FaultyRegistry, token: str = "tok1", **fields: object) -> None:
    body = json.dumps({"token": token, **fields}).encode()

    def give(handler: Handler) -> None:
        handler.body()
        handler.reply(200, body)

    server.faults[:0] = [on("GET", "/token", give), on("POST", "/token", give)]


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


def test_plain_http_realm_of_a_tls_registry_gets_nothing(other: FaultyRegistry) -> None:
    config = make_client().config
    credential = Credential(username="me", password=PASSWORD)
    authorizer = Authorizer(Transport(config, {}), "https://r.example", "r.example", (), lambda: credential)
    with pytest.raises(RegistryError, match="plain HTTP, which is refused"):
        authorizer.answer(bearer(f"http://{other.name}/token"), None, "x")
    assert not other.requests


def test_token_realm_does_not_redirect_credentials(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path
) -> None:
    registry.faults.append(want(bearer(f"http://{registry.name}/token"), "Bearer tok1"))
    registry.faults.insert(
        0, on("GET", "/token", lambda handler: handler.reply(302, Location=f"http://{other.name}/token"))
    )
    serve_tokens(other)
    client_for(registry, tmp_path).manifest(reference(registry))
    assert registry.asked("GET", "/token")[0].headers["Authorization"] == BASIC
    assert "Authorization" not in other.requests[0].headers


def test_where_a_redirect_ends_has_no_say_in_where_a_password_goes(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path
) -> None:
    """CVE-2020-15157: the target of a redirect asks for a token, at an address of its own."""
    target = f"http://{other.name}/v2/a/b/manifests/1"
    registry.faults.append(on("GET", "/manifests/", lambda handler: handler.reply(307, Location=target)))
    other.faults.append(want(bearer(f"http://{other.name}/token"), "Bearer tok1"))
    serve_tokens(other)
    with pytest.raises(RegistryError, match="refused access"):
        client_for(registry, tmp_path, other).manifest(reference(registry))
    assert not other.asked("GET", "/token")
    assert all("Authorization" not in item.headers for item in other.requests)


def test_authorization_is_dropped_on_a_redirect(
    registry: FaultyRegistry, other: FaultyRegistry, tmp_path: Path
) -> None:
    registry.faults.append(want('Basic realm="x"', BASIC))
    client = client_for(registry, tmp_path)
    client.manifest(reference(registry))
    target = f"http://{other.name}/nothing?sig=SIGNED"
    registry.faults.insert(0, on("GET", "/blobs/", lambda handler: handler.reply(307, Location=target)))
    with pytest.raises(RegistryError) as caught:
        client.reader(reference(registry)).document(IMAGE_CONFIG)
    assert other.requests and all("Authorization" not in item.headers for item in other.requests)
    assert "SIGNED" not in str(caught.value)


def test_redirect_loop(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/", lambda handler: handler.reply(302, Location=handler.path)))
    with pytest.raises(RegistryError, match="circle"):
        make_client(registry.name).manifest(reference(registry))


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
