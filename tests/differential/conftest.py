"""The builders, one of each for a process that runs tests.

PYBUILD_TESTS_DOCKER names the socket of another Docker daemon (`unix:///…`), a newer one as a rule: it is asked instead
of Debian's, and judges the reasoned cases too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.differential import bases
from tests.differential.places import serve_places
from tests.differential.referees import Buildah, Docker, Ours, serve_docker
from tests.support import cache
from tests.support.command import Pybuild
from tests.support.leftovers import leftovers
from tests.support.registry import RegistryServer

OTHER = os.environ.get("PYBUILD_TESTS_DOCKER", "")


@pytest.fixture(scope="session")
def ours(registry: RegistryServer, registries_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """pybuild with a store that all cases share."""
    for name in bases.NAMES:
        source, target = f"oci:{bases.layout(name)}:latest", f"docker://{registry.name}/library/{name}:latest"
        cache.run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", source, target)
    home = tmp_path_factory.mktemp("home")
    return Ours(pybuild=Pybuild(home=home, store=home / "store", registries=registries_file))


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The addresses of what cases fetch, by the placeholders that stand for them."""
    with serve_places(tmp_path_factory.mktemp("places")) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """BuildKit as Docker has it."""
    root = tmp_path_factory.mktemp("d") / "d"
    if OTHER:
        root.mkdir()
        other = Docker(host=OTHER, root=root)
        other.load_bases()
        yield other
        return
    with serve_docker(root) as served:
        yield served
    _nothing_left(root)


@pytest.fixture(scope="session")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """buildah with its own storage."""
    root = tmp_path_factory.mktemp("buildah") / "b"
    made = Buildah.make(root)
    yield made
    made.close()
    _nothing_left(root)


def _nothing_left(root: Path) -> None:
    left = leftovers(root)
    assert not left, "a referee left behind:\n" + "\n".join(left)
