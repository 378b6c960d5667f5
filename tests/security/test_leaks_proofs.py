"""The tests of leaks notice: with a guard taken away, each of them fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security import test_leaks, test_leaks_credentials, test_leaks_results
from tests.support.command import Pybuild
from tests.support.weaken import weakened

WAY = ("--runtime", "runc", "--snapshotter", "overlay")
Row = Callable[[Pybuild, Path], None]


def success(pybuild: Pybuild, place: Path) -> None:
    test_leaks.test_nothing_is_left_of_a_secret_after_success(pybuild, place, WAY, "Dockerfile")


def success_by_bwrap(pybuild: Pybuild, place: Path) -> None:
    """The runtime that stays beside the step."""
    test_leaks.test_nothing_is_left_of_a_secret_after_success(pybuild, place, ("--runtime", "bwrap"), "Buildfile")


def failure(pybuild: Pybuild, place: Path) -> None:
    test_leaks.test_nothing_is_left_of_a_secret_after_a_failure(pybuild, place, WAY, "Dockerfile")


def kill(pybuild: Pybuild, place: Path) -> None:
    test_leaks.test_nothing_is_left_of_a_secret_after_kill(pybuild, place, WAY)


def tree(pybuild: Pybuild, place: Path) -> None:
    project = test_leaks_results.given(pybuild, place)
    script = ("cp $S /k", "/k", "raw")
    test_leaks_results.test_a_secret_in_a_steps_tree_fails_the_build(project, pybuild.store, *script)


def address(pybuild: Pybuild, place: Path) -> None:
    test_leaks_credentials.test_a_password_in_an_address_gets_nowhere(pybuild, place, "Dockerfile", 0)


@pytest.mark.parametrize(
    ("guard", "row", "noticed"),
    [
        ("show_all", success, "raw *** raw"),
        ("hand_on", success_by_bwrap, "holders <= STEP"),
        ("give_helpers_all", success_by_bwrap, "holders <= STEP"),
        ("trust_caches", failure, "result.code == 7"),
        ("doubt_nothing", kill, "planted.left() == []"),
        ("search_nothing", tree, "built.code == 7"),
        ("take_addresses", address, "has a user or a password in it"),
    ],
)
def test_a_leak_is_noticed(pybuild: Pybuild, tmp_path: Path, guard: str, row: Row, noticed: str) -> None:
    weak = weakened(pybuild, tmp_path / "patch", f"tests.security.weak_leaks:{guard}")
    with pytest.raises(AssertionError) as failed:
        row(weak, tmp_path)
    assert noticed in str(failed.traceback[-1].statement)
