"""`pybuild push`, with Debian's registry and `skopeo` as referees."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import bases
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer, available, serve_registry, write_config

pytestmark = pytest.mark.skipif(not available(), reason="docker-registry is not installed")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with serve_registry(tmp_path_factory.mktemp("registry")) as server:
        bases.push("tiny", server.name, "base", "1")
        yield server


@pytest.fixture
def pybuild(tmp_path: Path, registry: RegistryServer) -> Pybuild:
    (tmp_path / "home").mkdir()
    made = Pybuild(
        home=tmp_path / "home",
        store=tmp_path / "store",
        registries=write_config(tmp_path / "registries.toml", registry.name),
    )
    (tmp_path / "home" / "Dockerfile").write_text(f"FROM {registry.name}/library/base:1\nCOPY Dockerfile /d\n")
    made.ok("build", "-q", "-t", "app:1", ".")
    return made


def test_the_layers_of_a_base_are_mounted(pybuild: Pybuild, registry: RegistryServer) -> None:
    told = json.loads(pybuild.ok("push", "--json", "app:1", f"{registry.name}/team/app:1").stdout)
    assert (len(told["uploaded"]), len(told["mounted"])) == (2, 1)
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry.name}/team/app:1"],
        capture_output=True,
        check=True,
    ).stdout
    assert len(json.loads(raw)["layers"]) == 2
    elsewhere = json.loads(pybuild.ok("push", "--json", "app:1", f"{registry.name}/other/app:1").stdout)
    assert (len(elsewhere["uploaded"]), len(elsewhere["mounted"])) == (0, 3)
    again = pybuild.ok("push", "app:1", f"{registry.name}/team/app:1").stdout
    assert "0 blobs uploaded (0 B), 0 mounted from other repositories, 3 there before" in again


def test_a_name_is_a_place_too(pybuild: Pybuild, registry: RegistryServer) -> None:
    pybuild.ok("build", "-q", "-t", f"{registry.name}/own/app:2", ".")
    told = pybuild.ok("push", "-q", f"{registry.name}/own/app:2").stdout.strip()
    digest = pybuild.ok("ls", "-q", f"{registry.name}/own/app:2").stdout.strip()
    assert told == f"{registry.name}/own/app:2@{digest}"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("push", "nothing:1", "{registry}/a:1"), 16, "no image called 'nothing:1' is in the store"),
        (("push", "app:1", "Bad/Name"), 2, "Bad/Name"),
        (("push",), 2, "`pybuild push` needs NAME"),
        (("push", "app:1", "127.0.0.1:1/a:1"), 10, "127.0.0.1:1"),
    ],
)
def test_mistakes(pybuild: Pybuild, registry: RegistryServer, words: tuple[str, ...], code: int, said: str) -> None:
    result = pybuild(*(word.format(registry=registry.name) for word in words))
    assert result.code == code, result.output
    assert said in result.stderr
