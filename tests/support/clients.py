"""Registry clients for tests: no proxy, no credentials of the machine, no waiting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.config import HostSettings, RegistryConfig
from buildkit_py.registry.retry import Retry


def make_client(
    *plain_http: str,
    hosts: Mapping[str, HostSettings] | None = None,
    environ: Mapping[str, str] | None = None,
    waits: list[float] | None = None,
) -> RegistryClient:
    """A client for these plain-HTTP registries; `waits` records how long it would have waited."""
    settings = {**{name: HostSettings(plain_http=True) for name in plain_http}, **(hosts or {})}
    record = waits if waits is not None else []
    return RegistryClient(
        RegistryConfig(hosts=settings, path=Path("registries.toml")),
        environ={"HOME": "/nonexistent", **(environ or {})},
        retry=Retry(sleep=record.append),
    )
