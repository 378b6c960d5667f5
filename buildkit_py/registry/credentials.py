"""Credentials for a registry, from where Docker and Podman keep them.

The first file that knows the registry wins (`registry.authfile` says which there are). In a file, a helper program
(`credHelpers`, then `auths`, then `credsStore`) may answer.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import RegistryError
from buildkit_py.registry.authfile import auth_files, hosts_of, keys_of, server_of, table
from buildkit_py.registry.helper import ask_helper

_TOKEN_USER = "<token>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A name and a password, or a token that stands for both. Nothing of it is ever printed."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, username: str, secret: str) -> Credential:
        """From what helpers and logins have: the name `<token>` says that the secret is an identity token."""
        if username == _TOKEN_USER:
            return cls(identity_token=secret)
        return cls(username=username, password=secret)

    @property
    def pair(self) -> tuple[str, str]:
        """The reverse of `of`."""
        return (_TOKEN_USER, self.identity_token) if self.identity_token else (self.username, self.password)

    @property
    def entry(self) -> dict[str, str]:
        """As a value of `auths` in a file."""
        if self.identity_token:
            return {"identitytoken": self.identity_token}
        return {"auth": self.basic.removeprefix("Basic ")}

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
    for file in auth_files(environ):
        plain = file.read()
        found = _from_file(plain, registry, repository, file.path, environ) if plain is not None else None
        if found is not None:
            return found
    return None


def _from_file(
    plain: Mapping[str, Any], registry: str, repository: str, path: Path, environ: Mapping[str, str]
) -> Credential | None:
    helpers, auths = table(plain, "credHelpers", path), table(plain, "auths", path)
    for host in hosts_of(registry):
        if isinstance(helpers.get(host), str):
            return _ask(helpers[host], host, environ)
    for key in _keys(registry, repository):
        if isinstance(auths.get(key), dict) and (found := _from_entry(auths[key], key, path)) is not None:
            return found
    store = plain.get("credsStore")
    if isinstance(store, str) and store:
        return _ask(store, server_of(registry), environ)
    return None


def _keys(registry: str, repository: str) -> Iterator[str]:
    """The keys that may hold the credential: Podman's most specific first, then the host, then Docker's old forms."""
    parts = repository.split("/")
    for end in range(len(parts), -1, -1):
        yield from keys_of(registry, "/".join(parts[:end]))


def _from_entry(entry: Mapping[str, Any], key: str, path: Path) -> Credential | None:
    identity, registry = entry.get("identitytoken") or "", entry.get("registrytoken") or ""
    auth = entry.get("auth") or ""
    username, password = entry.get("username") or "", entry.get("password") or ""
    if auth:
        try:
            username, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, ValueError, TypeError):
            raise RegistryError(f"the credential for {key} in {path} is not base64 of name:password") from None
    if not all(isinstance(item, str) and _is_whole(item) for item in (username, password, identity, registry)):
        raise RegistryError(f"the credential for {key} in {path} is malformed")
    if not (username or identity or registry):
        return None
    return Credential(
        username=username, password=password.rstrip("\0"), identity_token=identity, registry_token=registry
    )


def _is_whole(text: str) -> bool:
    """Whether a text can be sent: JSON can spell half a character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _ask(name: str, server: str, environ: Mapping[str, str]) -> Credential | None:
    answer = ask_helper(name, server, environ)
    return None if answer is None else Credential.of(*answer)
