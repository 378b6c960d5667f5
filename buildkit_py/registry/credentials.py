"""Credentials for a registry, from where Docker and Podman keep them.

Looked at in this order, the first that knows the registry wins: `$REGISTRY_AUTH_FILE` (which then is the only file),
`$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`, `$DOCKER_CONFIG/config.json` or
`~/.docker/config.json`. In a file, a helper program (`credHelpers`, then `auths`, then `credsStore`) may answer.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import RegistryError
from buildkit_py.registry.helper import ask_helper

_LIMIT = 1 << 20
_DOCKER_HUB = ("docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A name and a password, or a token that stands for both. Nothing of it is ever printed."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything that must not be shown."""
        encoded = self.basic.removeprefix("Basic ") if self.password else ""
        return tuple(x for x in (self.password, encoded, self.identity_token, self.registry_token) if x)


def find_credential(registry: str, repository: str, environ: Mapping[str, str] = os.environ) -> Credential | None:
    """The credential for a repository; None means anonymous. Raises `RegistryError` on a file that can't be read."""
    for path in _files(environ):
        plain = _read(path)
        found = _from_file(plain, registry, repository, path, environ) if plain is not None else None
        if found is not None:
            return found
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
        return
    home = Path(environ.get("HOME") or "/")
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
        plain = json.loads(raw) if len(raw) <= _LIMIT else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        # the text of a JSON error can't hold file content, its `doc` attribute could
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise RegistryError(f"can't read the credentials in {path}: {reason}") from None
    if not isinstance(plain, dict):
        raise RegistryError(f"can't read the credentials in {path}: it is not a credential file")
    return plain


def _from_file(
    plain: Mapping[str, Any], registry: str, repository: str, path: Path, environ: Mapping[str, str]
) -> Credential | None:
    hosts = _DOCKER_HUB if registry == "docker.io" else (registry,)
    helpers, auths = _table(plain, "credHelpers", path), _table(plain, "auths", path)
    for host in hosts:
        if isinstance(helpers.get(host), str):
            return _ask(helpers[host], host, environ)
    for key in _keys(hosts, repository):
        if isinstance(auths.get(key), dict) and (found := _from_entry(auths[key], key, path)) is not None:
            return found
    store = plain.get("credsStore")
    if isinstance(store, str) and store:
        return _ask(store, _DOCKER_HUB[1] if registry == "docker.io" else registry, environ)
    return None


def _table(plain: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    table = plain.get(name) or {}
    if not isinstance(table, dict):
        raise RegistryError(f"can't read the credentials in {path}: {name} is not an object")
    return table


def _keys(hosts: tuple[str, ...], repository: str) -> Iterator[str]:
    """The keys that may hold the credential: Podman's most specific first, then the host, then Docker's old forms."""
    parts = repository.split("/")
    for end in range(len(parts), 0, -1):
        yield f"{hosts[0]}/{'/'.join(parts[:end])}"
    for host in hosts:
        yield host
        if "://" not in host:
            yield from (
                f"{scheme}{host}{path}" for scheme in ("https://", "http://", "") for path in ("/", "/v1/", "/v2/")
            )
            yield f"https://{host}"
            yield f"http://{host}"


def _from_entry(entry: Mapping[str, Any], key: str, path: Path) -> Credential | None:
    identity, registry = entry.get("identitytoken") or "", entry.get("registrytoken") or ""
    auth = entry.get("auth") or ""
    username, password = entry.get("username") or "", entry.get("password") or ""
    if auth:
        try:
            username, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, ValueError, TypeError):
            raise RegistryError(f"the credential for {key} in {path} is not base64 of name:password") from None
    if not all(isinstance(item, str) for item in (username, password, identity, registry)):
        raise RegistryError(f"the credential for {key} in {path} is malformed")
    if not (username or identity or registry):
        return None
    return Credential(
        username=username, password=password.rstrip("\0"), identity_token=identity, registry_token=registry
    )


def _ask(name: str, server: str, environ: Mapping[str, str]) -> Credential | None:
    answer = ask_helper(name, server, environ)
    if answer is None:
        return None
    username, secret = answer
    return (
        Credential(identity_token=secret) if username == "<token>" else Credential(username=username, password=secret)
    )
