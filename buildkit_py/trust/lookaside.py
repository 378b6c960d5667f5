"""Lookaside storage: where signatures that do not lie in the registry are, by containers-registries.d(5).

BASE/REPOSITORY@sha256=HEX/signature-1, signature-2, …
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from buildkit_py.digest import Digest
from buildkit_py.errors import RegistryError, UsageError
from buildkit_py.paths import STARTED_AS_ROOT
from buildkit_py.reference import Reference
from buildkit_py.registry.config import RegistryConfig, load
from buildkit_py.registry.transport import Transport
from buildkit_py.trust.foreign import MAX_BYTES
from buildkit_py.trust.place import Place
from buildkit_py.trust.policy import docker_scopes

_SYSTEM = Path("/etc/containers/registries.d")
_MOST = 64


def signatures(place: Place, digest: Digest, environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, bytes]]:
    """Address and bytes of each signature of an image. Raises `UsageError`, `RegistryError`."""
    base = base_of(place.ref, environ)
    config: RegistryConfig | None = None
    for number in range(1, _MOST + 1):
        address = f"{base.rstrip('/')}/{place.ref.repository}@{digest.algorithm}={digest.hex}/signature-{number}"
        if address.startswith("file://"):
            raw = _from_file(address)
        else:
            config = config or load(environ=environ)
            raw = _fetched(address, Transport(config, environ))
        if raw is None:
            return
        yield address, raw


def base_of(ref: Reference, environ: Mapping[str, str]) -> str:
    """The address below which signatures of a repository are: what the most specific scope says, else a directory of
    the other tools for containers."""
    scopes, default = _configured(environ)
    section = next((scopes[scope] for scope in docker_scopes(ref) if scope in scopes), default)
    address = section.get("lookaside") or section.get("sigstore")
    if address is None:
        data = "/var/lib" if STARTED_AS_ROOT else f"{environ.get('HOME') or '/'}/.local/share"
        return f"file://{data}/containers/sigstore"
    if not isinstance(address, str):
        raise UsageError(f"the lookaside storage of {ref.name} has an address that is no text")
    if not _is_address(address):
        raise UsageError(f"the lookaside storage of {ref.name} has an address that can't be used: {address[:200]!r}")
    return address


def _is_address(text: str) -> bool:
    try:
        return urlsplit(text).scheme in ("file", "http", "https") and "\0" not in unquote(text)
    except ValueError:
        return False


def _configured(environ: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The sections by scope, and the one for everything else."""
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or '/'}/.config"
    own = Path(home) / "containers" / "registries.d"
    scopes: dict[str, dict[str, Any]] = {}
    default: dict[str, Any] = {}
    for path in sorted((own if own.is_dir() else _SYSTEM).glob("*.yaml")):
        plain = _yaml(path)
        default = _section(plain.get("default-docker"), path) or default
        for scope, section in _section(plain.get("docker"), path).items():
            if not isinstance(scope, str):
                raise UsageError(f"{path}: a scope is no text", hint="put it in quotes")
            if scope in scopes:
                raise UsageError(f"{path}: {scope[:200]!r} is said twice")
            scopes[scope] = _section(section, path)
    return scopes, default


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without references to what stands elsewhere: a few lines of them can stand for any amount of memory."""

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has an alias (*name), which is not read here")
            return super().compose_node(parent, index)

    try:
        plain = yaml.load(path.read_bytes()[:MAX_BYTES], Loader)
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} can't be read: {str(error)[:200]}") from None
    return _section(plain, path)


def _section(value: object, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{path}: a section is not a mapping", hint="containers-registries.d(5) describes the file")
    return value


def _from_file(address: str) -> bytes | None:
    try:
        with open(unquote(urlsplit(address).path), "rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"the signature {address} can't be read: {error.strerror}") from None


def _fetched(address: str, transport: Transport) -> bytes | None:
    with transport.send("GET", address, {}) as answer:
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise RegistryError(f"can't read the signature {address}: answered {answer.status}", status=answer.status)
        return answer.read_all(MAX_BYTES)
