"""The configuration of registries: mirrors, plain HTTP and certificate authorities, read from `registries.toml`.

    [registry."docker.io"]
    mirrors = ["127.0.0.1:5000"]

    [registry."127.0.0.1:5000"]
    plain_http = true

`docs/registries.md` is its reference. Credentials never stand here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import UsageError
from buildkit_py.paths import configuration_path

_REAL_HOSTS = {"docker.io": "registry-1.docker.io"}
_WRITTEN_HOSTS = {real: written for written, real in _REAL_HOSTS.items()}
_HOST = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?\Z")
_PREFIX = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*\Z")
_KEYS = ("mirrors", "plain_http", "ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What the configuration says of one registry host. `ca` is a PEM file, trusted besides the system's."""

    mirrors: tuple[str, ...] = ()
    plain_http: bool = False
    ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests for a registry's names go: `host` is what a person writes, `prefix` goes before repositories."""

    host: str
    base: str
    prefix: str = ""
    mirror: bool = False

    def repository(self, name: str) -> str:
        """The repository's name there."""
        return f"{self.prefix}/{name}" if self.prefix else name


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """The settings by host; `path` is the file they came from, or would come from."""

    hosts: Mapping[str, HostSettings] = field(default_factory=dict)
    path: Path | None = None

    def settings(self, host: str) -> HostSettings:
        """The settings of a host (`name[:port]`)."""
        name = host.lower()
        return self.hosts.get(_WRITTEN_HOSTS.get(name, name), HostSettings())

    def origin(self, registry: str) -> Endpoint:
        """The registry itself; pushes go nowhere else."""
        return self._endpoint(registry)

    def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """Where to pull from, in order: the mirrors, then the registry itself."""
        mirrors = (mirror.partition("/") for mirror in self.settings(registry).mirrors)
        return (*(self._endpoint(host, prefix, mirror=True) for host, _, prefix in mirrors), self.origin(registry))

    def _endpoint(self, host: str, prefix: str = "", *, mirror: bool = False) -> Endpoint:
        scheme = "http" if self.settings(host).plain_http else "https"
        return Endpoint(host=host, base=f"{scheme}://{_REAL_HOSTS.get(host, host)}", prefix=prefix, mirror=mirror)


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """`$PYBUILD_REGISTRIES`, else `/etc/pybuild/registries.toml` for root and `~/.config/…` for others."""
    if given := environ.get("PYBUILD_REGISTRIES"):
        return Path(given)
    return configuration_path("registries.toml", environ)


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> RegistryConfig:
    """Read the configuration; a default file that does not exist is an empty one. Raises `UsageError`."""
    import tomllib

    named = path is not None or bool(environ.get("PYBUILD_REGISTRIES"))
    file = path or default_path(environ)
    try:
        plain = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise UsageError(f"no such registry configuration: {file}") from None
        plain = {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"can't read the registry configuration {file}: {error}") from None
    return RegistryConfig(hosts=_hosts(plain, file), path=file)


def _hosts(plain: Mapping[str, Any], file: Path) -> dict[str, HostSettings]:
    unknown = set(plain) - {"registry"}
    tables = plain.get("registry", {})
    if unknown or not isinstance(tables, dict):
        raise UsageError(
            f"{file}: unknown setting {min(unknown, default='registry')!r}",
            hint='write a table for each registry: [registry."docker.io"]',
        )
    return {host.lower(): _settings(host, table, file) for host, table in tables.items()}


def _settings(host: str, table: Any, file: Path) -> HostSettings:
    where = f'{file}: [registry."{host}"]'
    if not _HOST.match(host):
        raise UsageError(f"{where}: not a registry host", hint="write a host with an optional port, no scheme, no path")
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table")
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown setting {key!r}", hint=_nearest(key))
    ca = _typed(table, "ca", str, None, where)
    return HostSettings(
        mirrors=_mirrors(_typed(table, "mirrors", list, [], where), where),
        plain_http=_typed(table, "plain_http", bool, False, where),
        ca=_path(ca, file, where) if ca else None,
    )


def _path(text: str, file: Path, where: str) -> Path:
    if "\0" in text:
        raise UsageError(f"{where}: not a path: {text!r}")
    try:
        return file.parent / Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{where}: there is no such user: {text!r}") from None


def _typed(table: Mapping[str, Any], key: str, kind: type, default: Any, where: str) -> Any:
    value = table.get(key, default)
    if value is not default and not isinstance(value, kind):
        wanted = {str: "a string", list: "a list of strings", bool: "true or false"}[kind]
        raise UsageError(f"{where}: {key} must be {wanted}")
    return value


def _mirrors(values: list[Any], where: str) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise UsageError(f"{where}: mirrors must be a list of strings")
        host, slash, prefix = value.partition("/")
        if not _HOST.match(host) or (slash and not _PREFIX.match(prefix)):
            raise UsageError(
                f"{where}: not a mirror: {value!r}",
                hint='write "host:port" or "host/prefix"; plain HTTP is a setting of the mirror\'s own table',
            )
    return tuple(values)


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, _KEYS, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(_KEYS)}"
