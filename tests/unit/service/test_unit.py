from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.service.settings import Release, Settings
from buildkit_py.service.unit import body


@pytest.mark.parametrize(("said", "seconds"), [(None, 10), (30, 30), (0, 1), (-1, 1), (10**12, 9999)])
def test_the_time_to_stop_has_an_end(said: int | None, seconds: int) -> None:
    """To systemd 0 is no limit, and a machine that shuts down would wait."""
    release = Release(service="web", image="web:1", digest="", platform="", settings=Settings())
    unit = body(release, Path("/b"), "/usr/bin/runc", ("SIGTERM", 15), said, ())
    assert f"\nTimeoutStopSec={seconds}\n" in unit
