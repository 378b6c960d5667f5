"""Every test here ends with a clean machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.fixtures import nothing_left_behind
from tests.support.kill_cases import Case
from tests.support.places import Place
from tests.support.registry import RegistryServer
from tests.support.works import Works

__all__ = ["nothing_left_behind"]
Prepared = Callable[[Case, str], Place]


@pytest.fixture(scope="session")
def templates() -> dict[Callable[[Place], None], Place]:
    """What was prepared already."""
    return {}


@pytest.fixture
def prepared(
    templates: dict[Callable[[Place], None], Place],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    registry: RegistryServer,
    registries_file: Path,
) -> Prepared:
    """Gives a place below the test's directory where a case may begin; each kind is made once."""

    def prepare(case: Case, name: str) -> Place:
        if case.prepare not in templates:
            root = tmp_path_factory.mktemp("template") / "place"
            templates[case.prepare] = Place.make(root, registry.name, registries_file)
            case.prepare(templates[case.prepare])
        return templates[case.prepare].copy(tmp_path / name)

    return prepare


@pytest.fixture(scope="module")
def works(
    tmp_path_factory: pytest.TempPathFactory, registry: RegistryServer, registries_file: Path, bases: Callable[..., str]
) -> Works:
    """Commands and what they work on, made once for a module."""
    bases("tiny")
    directory = tmp_path_factory.mktemp("works")
    (directory / "home").mkdir()
    pybuild = Pybuild(home=directory / "home", store=directory / "store", registries=registries_file)
    return Works.make(pybuild, directory, registry.name)
