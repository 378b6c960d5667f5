"""Every test here ends with a clean machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.leftovers import leftovers


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    """Fail the test that leaves mounts, processes or loop devices which use its directory."""
    yield
    left = leftovers(tmp_path)
    assert not left, "the test left behind:\n" + "\n".join(left)
