"""One random secret, planted through every way in, is nowhere afterwards: raw, in base64, hex or as in URLs.

The ways in are a file, a variable, a command and an ssh agent; each test runs on every runtime with every snapshotter.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.planted import FRONTENDS, PRINTS, STEALS, WAITS, WORD, Planted

Way = tuple[str, ...]
STEP = {"environ of sh", "environ of sleep", "environ of touch", "environ of busybox"}


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_nothing_is_left_of_a_secret_after_success(pybuild: Pybuild, tmp_path: Path, way: Way, frontend: str) -> None:
    """Not in the store, the home, the log or another process's command line or environment."""
    planted = Planted.make(pybuild, tmp_path, frontend)
    planted.write(PRINTS, WAITS)
    with planted.watched() as holders:
        result = planted.build(*way)
    assert result.code == 0, result.output
    assert "environ of sh" in holders, "the step has it"
    assert holders <= STEP
    assert f"the word is {WORD}" in result.stdout and "raw *** raw" in result.stdout
    assert "on stderr ***" in result.stdout
    assert not planted.said(result)
    assert planted.left() == []


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_nothing_is_left_of_a_secret_after_a_failure(pybuild: Pybuild, tmp_path: Path, way: Way, frontend: str) -> None:
    """The step prints it, writes it into its tree and into a cache, and fails."""
    planted = Planted.make(pybuild, tmp_path, frontend)
    planted.write(PRINTS, STEALS, "exit 9")
    result = planted.build(*way)
    assert result.code == 7, result.output
    assert "of the cache at /meet" in result.stderr
    assert "raw *** raw" in result.stdout
    assert not planted.said(result)
    assert planted.left() == []


def test_nothing_is_left_of_a_secret_after_kill(pybuild: Pybuild, tmp_path: Path, way: Way) -> None:
    """Of `kill -9` while the tree and a cache hold it, the next start removes both."""
    planted = Planted.make(pybuild, tmp_path)
    planted.write(STEALS, WAITS)
    with planted.running(*way) as process:
        process.kill()
    assert {path.name for path in planted.left()} >= {"stolen", "raw", "encoded"}
    pybuild.ok("store", "check")
    assert planted.left() == []


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_nothing_is_left_of_a_secret_after_ctrl_c(pybuild: Pybuild, tmp_path: Path, frontend: str) -> None:
    """Nothing needs another start."""
    planted = Planted.make(pybuild, tmp_path, frontend)
    planted.write(PRINTS, STEALS, WAITS)
    with planted.running() as process:
        process.send_signal(signal.SIGINT)
        said = process.communicate()[0].decode()
    assert process.returncode in (7, 130), said
    assert planted.secret not in said
    assert planted.left() == []
