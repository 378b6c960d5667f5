"""Fixtures of the rooms whose tests need the machine: a clean end, a sandbox without a build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import MissingToolError
from buildkit_py.executor.sandbox import Runner, pick_runtime
from tests.support.boxes import RUNTIMES, Box, make_tree
from tests.support.command import Pybuild
from tests.support.leftovers import leftovers
from tests.support.project import Project


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    """Fail the test that leaves mounts, processes or loop devices which use its directory."""
    yield
    left = leftovers(tmp_path)
    assert not left, "the test left behind:\n" + "\n".join(left)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a busybox."""
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(params=RUNTIMES)
def box(request: pytest.FixtureRequest, tree: Path, tmp_path: Path) -> Iterator[Box]:
    """A sandbox without a build, by every runtime."""
    try:
        runtime = pick_runtime(request.param)
    except MissingToolError:
        pytest.skip(f"{request.param} is not installed")
    with Runner(runtime, tmp_path / "state") as runner:
        yield Box(runner, tree, tmp_path)


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    """A directory to build in, with a base."""
    directory = tmp_path / "project"
    directory.mkdir()
    made = Project(pybuild=pybuild, directory=directory)
    made.base()
    return made
