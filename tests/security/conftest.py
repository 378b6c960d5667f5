"""What is proven here is proven on every runtime with every snapshotter, and ends with a clean machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.boxes import RUNTIMES
from tests.support.fixtures import box, nothing_left_behind, project, tree
from tests.support.hostile import Machine

__all__ = ["box", "nothing_left_behind", "project", "tree"]

SNAPSHOTTERS = ("overlay", "copy")


@pytest.fixture(params=[(runtime, each) for each in SNAPSHOTTERS for runtime in RUNTIMES], ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Arguments of `pybuild build`."""
    runtime, snapshotter = request.param
    return ("--runtime", runtime, "--snapshotter", snapshotter)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Files of somebody else, which nothing may read or change."""
    return Machine.plant(tmp_path / "machine")
