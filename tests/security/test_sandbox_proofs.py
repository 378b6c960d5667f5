"""The proof of the proof: with a guard of the sandbox taken away, the test of it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.security import test_host_tools as hosts
from tests.security import test_sandbox as rows
from tests.security import test_sandbox_rootless as rootless
from tests.security import test_sandbox_trees as trees
from tests.support.attacks import attacked
from tests.support.command import Pybuild
from tests.support.project import Project
from tests.support.rootless import needs_maps, new_user
from tests.support.weaken import weakened

Row = Callable[[Project], None]


def of_told(check: Callable[[rows.Told], None]) -> Row:
    """A row that only looks, with a build of its own."""
    return lambda project: check(rows.told(replace(project, pybuild=replace(project.pybuild, wrapper=rows.BURDENED))))


def unseen(project: Project) -> None:
    """With canaries."""
    with hosts.planted() as canaries:
        hosts.sees_nothing_private(project, canaries)


PROOFS: tuple[tuple[str, str, Row], ...] = (
    ("calls_are_not_filtered", "runc", rows.refuses_calls),
    ("calls_are_not_filtered", "bwrap", rows.refuses_calls),
    ("the_bounding_set_is_full", "bwrap", of_told(rows.check_capabilities)),
    ("capabilities_are_inheritable", "runc", of_told(rows.check_inheritable)),
    ("groups_of_the_builder_stay", "crun", of_told(rows.check_groups)),
    ("descriptors_stay_open", "bwrap", of_told(rows.check_descriptors)),
    ("privileges_can_be_gained", "crun", of_told(rows.check_privileges)),
    ("settings_are_open", "runc", rows.settings_are_out_of_reach),
    ("nodes_are_devices", "bwrap", rows.nodes_open_nothing),
    ("the_working_directory_is_believed", "bwrap", trees.stays_inside),
    ("host_steps_see_srv", "crun", unseen),
    ("host_steps_write_usr", "runc", hosts.changes_nothing),
    ("host_steps_fill_dev", "bwrap", hosts.leaves_nothing_below_the_systems_directories),
)


@pytest.mark.parametrize(("weak", "runtime", "row"), PROOFS, ids=[f"{weak}-{name}" for weak, name, _ in PROOFS])
def test_a_weakened_sandbox_is_noticed(weak: str, runtime: str, row: Row, pybuild: Pybuild, tmp_path: Path) -> None:
    weaker = weakened(pybuild, tmp_path / "weak", f"tests.security.weak_sandbox:{weak}")
    with pytest.raises(AssertionError) as caught:
        row(attacked(weaker, tmp_path, ("--runtime", runtime)))
    assert "Traceback" not in str(caught.value)


@needs_maps
def test_an_overlay_of_trusted_attributes_is_noticed() -> None:
    with new_user() as user:
        project = rootless.owned(user, "--snapshotter", "overlay")
        weaker = weakened(
            project.pybuild, user.area / "weak", "tests.security.weak_sandbox:overlays_keep_to_trusted_attributes"
        )
        with pytest.raises(AssertionError):
            rootless.removes_what_is_below(replace(project, pybuild=weaker))
