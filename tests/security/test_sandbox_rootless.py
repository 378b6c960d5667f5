"""The sandbox of an ordinary user's step: root in it is that user, and nothing more can be reached than by root's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.security import test_host_tools as hosts
from tests.security import test_sandbox as rows
from tests.support.attacks import IDENTICAL, attacked, ran
from tests.support.boxes import RUNTIMES
from tests.support.command import Pybuild
from tests.support.project import Project
from tests.support.rootless import UID, User, needs_maps, new_user

pytestmark = needs_maps


@pytest.fixture
def user() -> Iterator[User]:
    """A user without a project."""
    with new_user() as made:
        yield made


def owned(user: User, *way: str) -> Project:
    """A project of that user."""
    project = attacked(user.pybuild(), user.area, way)
    subprocess.run(["chown", "-R", f"{UID}:{UID}", project.directory], check=True)
    return project


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_users_step_is_what_roots_is(user: User, runtime: str) -> None:
    """Descriptors, capabilities, groups, privileges, programs and devices; none has what its user has outside."""
    said = rows.told(owned(user, "--runtime", runtime))
    for check in rows.CHECKS:
        check(said)


CHANGE = """
run mkdir -p /low/a/b; echo x > /low/a/b/c; ln -s b /low/a/l
run rm -r /low /usr; mkdir -p /usr/new; chown 33:44 /usr/new; test ! -e /low; ls /usr; stat -c %u:%g /usr/new
"""


def removes_what_is_below(project: Project, more: str = "") -> None:
    assert ran(project.build(CHANGE + more)) == ["new", "33:44"]


def test_a_directory_of_a_lower_snapshot_can_be_removed(user: User, way: tuple[str, ...]) -> None:
    """An overlay in a user namespace can't do that unless its attributes are those of users; no setting is open."""
    removes_what_is_below(owned(user, *way), rows.LOOKED)


def test_an_identity_map_opens_no_setting(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """Root of a user namespace whose map is the identity is the machine's root to /proc; overlays work there too."""
    before = Path(rows.CORE).read_text()
    removes_what_is_below(attacked(replace(pybuild, wrapper=IDENTICAL), tmp_path, way), rows.LOOKED)
    assert Path(rows.CORE).read_text() == before


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_users_host_step(user: User, runtime: str) -> None:
    """It sees nothing private, and changes nothing."""
    project = owned(user, "--runtime", runtime)
    with hosts.planted() as canaries:
        hosts.sees_nothing_private(project, canaries)
        hosts.changes_nothing(project)
