"""Fixtures that every room's tests may use: a store, the command, a registry with base images, local repositories."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import bases as base_images
from tests.support import debian
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer, serve_registry, write_config

NEEDS_ROOT = (
    "integration",
    "security",
    "faults",
    "conformance",
    "differential",
    "unit/layer",
    "unit/engine",
    "unit/cli/test_storage.py",
)


# How long something takes says nothing on a machine that does other things too.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_sessionstart() -> None:
    """Programs started here heed Ctrl-C also when this run is a job in the background, which begins with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that mount, start containers or give files away need root: an ordinary user is told so."""
    if os.geteuid() == 0:
        return
    for item in items:
        if any(f"/tests/{place}" in str(item.path) for place in NEEDS_ROOT):
            item.add_marker(pytest.mark.skip(reason="needs root: run `make test` as root"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where the test's store is; nothing is there yet."""
    return tmp_path / "store"


@pytest.fixture
def pybuild(tmp_path: Path, store: Path, request: pytest.FixtureRequest) -> Pybuild:
    """The command. Where the test has a registry, images come from there and from nowhere else."""
    home = tmp_path / "home"
    home.mkdir()
    registries = request.getfixturevalue("registries_toml") if "registry" in request.fixturenames else None
    return Pybuild(home=home, store=store, registries=registries)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A real registry, empty at first; one for each process that runs tests."""
    with serve_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def registries_file(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `registries.toml` that sends `docker.io` to the registry of the tests."""
    file = tmp_path_factory.mktemp("registries") / "registries.toml"
    return write_config(file, registry.name, mirrors={"docker.io": [registry.name]})


@pytest.fixture
def registries_toml(registries_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, in force for code that the test calls itself."""
    monkeypatch.setenv("PYBUILD_REGISTRIES", str(registries_file))
    return registries_file


@pytest.fixture(scope="session")
def bases(registry: RegistryServer) -> Callable[..., str]:
    """Offers a base image in the registry: `bases("python", "3.11")` gives `docker.io/library/python:3.11`."""
    pushed: set[tuple[str, str, str]] = set()

    def offer(base: str, tag: str = "latest", *, name: str | None = None) -> str:
        wanted = (base, name or base, tag)
        if wanted not in pushed:
            base_images.push(base, registry.name, wanted[1], tag)
            pushed.add(wanted)
        return f"docker.io/library/{wanted[1]}:{tag}"

    return offer


@pytest.fixture(scope="session")
def debian_mirror() -> Iterator[str]:
    """A small Debian repository on loopback, as the line of `sources.list` that names it."""
    with debian.serve() as line:
        yield line
