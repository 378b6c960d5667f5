"""Registries that want a login, and clients that have one."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from tests.support.clients import make_client
from tests.support.faulty_registry import Fault, FaultyRegistry, Handler, on

PASSWORD = "s3cret-P4ssword"
BASIC = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()


def client_for(
    registry: FaultyRegistry, tmp_path: Path, *others: FaultyRegistry, auth: dict[str, str] | None = None
) -> RegistryClient:
    """A client that may log in to `registry` and to no other."""
    entry = {"auth": BASIC.removeprefix("Basic ")} if auth is None else auth
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {registry.name: entry}}))
    names = [registry.name, *(item.name for item in others)]
    return make_client(*names, environ={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})


def reference(registry: FaultyRegistry) -> Reference:
    """The image that the tests ask for."""
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
    """A challenge that names this realm."""
    return f'Bearer realm="{realm}",service="the, service",scope="repository:a/b:pull"'


def serve_tokens(server: FaultyRegistry, token: str = "tok1", **fields: object) -> None:
    """Give everybody a token."""
    body = json.dumps({"token": token, **fields}).encode()

    def give(handler: Handler) -> None:
        handler.body()
        handler.reply(200, body)

    server.faults[:0] = [on("GET", "/token", give), on("POST", "/token", give)]
