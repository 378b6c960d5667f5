"""The proof of the proof: with a guard of the engine taken away, the test of its row fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.graph import wire
from buildkit_py.solver import key
from tests.security import test_engine_cache as caches
from tests.security import test_engine_graph as graphs
from tests.security import test_engine_helpers as helpers
from tests.security import test_engine_mounts as mounts
from tests.security import test_engine_sources as sources
from tests.security import test_engine_users as users
from tests.support.command import Pybuild
from tests.support.hostile import Machine
from tests.support.project import Project
from tests.support.repository import serve_repository
from tests.support.weaken import weakened

WAY = ("--runtime", "crun", "--snapshotter", "overlay")
COPY = ("--runtime", "bwrap", "--snapshotter", "copy")
HURT = "the machine was changed|the canary was told"
Weak = Callable[..., Project]
_ROUNDS = 10
"""A race without its guard is not lost every time."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.plant(tmp_path / "machine")


@pytest.fixture
def weak(pybuild: Pybuild, tmp_path: Path) -> Weak:
    """A project that is built by a command without one of its guards."""

    def make(guard: str, place: Path = tmp_path) -> Project:
        directory = place / "project"
        directory.mkdir(parents=True)
        command = weakened(
            replace(pybuild, store=place / "store"), place / "weak", f"tests.security.weak_engine:{guard}"
        )
        project = Project(pybuild=command, directory=directory)
        project.base()
        return project

    return make


@pytest.mark.parametrize("way", [WAY, COPY])
def test_the_source_of_a_bind(weak: Weak, machine: Machine, way: tuple[str, ...]) -> None:
    project = weak("follow_links_of_the_machine")
    with pytest.raises(AssertionError, match=HURT):
        mounts.test_a_bind_source_that_is_a_link_to_the_root(project, machine, way)


@pytest.mark.parametrize("way", [WAY, COPY])
def test_the_race_for_a_mount_point(weak: Weak, tmp_path: Path, way: tuple[str, ...]) -> None:
    outcomes = []
    while len(outcomes) < _ROUNDS and not any(re.search(HURT, each) for each in outcomes):
        place = tmp_path / str(len(outcomes))
        project = weak("make_mount_points_by_path", place)
        with pytest.raises(AssertionError) as caught:
            mounts.test_a_directory_that_becomes_a_link_while_it_is_mounted_on(
                project, Machine.plant(place / "machine"), way
            )
        outcomes.append(str(caught.value))
    assert re.search(HURT, outcomes[-1]), outcomes


@pytest.mark.parametrize("way", [WAY, COPY])
def test_the_cleaning_up_of_mount_points(weak: Weak, machine: Machine, tmp_path: Path, way: tuple[str, ...]) -> None:
    project = weak("remove_mount_points_by_path")
    with pytest.raises(AssertionError, match=HURT):
        mounts.test_a_mount_point_whose_parent_becomes_a_link(project, machine, tmp_path, way)


@pytest.mark.parametrize("enter", [graphs.by_buildfile, graphs.by_graph])
def test_the_grant_of_privilege(weak: Weak, enter: Callable[..., graphs.Built]) -> None:
    project = weak("grant_everything")
    with pytest.raises(AssertionError):
        graphs.test_privilege_without_a_grant(project, enter)


def test_the_name_of_a_cache(weak: Weak, machine: Machine, store: Path) -> None:
    project = weak("name_caches_by_their_ids")
    with pytest.raises(AssertionError, match=HURT):
        mounts.test_a_cache_id_that_is_a_path(project, machine, store)


def test_who_is_in_a_tree(weak: Weak) -> None:
    project = weak("read_any_passwd")
    with pytest.raises(AssertionError):
        users.test_a_passwd_that_is_no_file(project, WAY)


@pytest.mark.parametrize("name", ["Dockerfile", "Buildfile"])
def test_the_links_of_a_context(weak: Weak, machine: Machine, name: str) -> None:
    project = weak("open_by_path")
    with pytest.raises(AssertionError, match=HURT):
        sources.test_a_build_file_that_is_a_link_out_of_the_context(project, machine, name)


def test_the_link_of_an_ignore_file(weak: Weak, machine: Machine) -> None:
    project = weak("open_by_path")
    with pytest.raises(AssertionError, match="assert 0 in"):
        sources.test_an_ignore_file_that_is_a_link_out_of_the_context(project, machine, ".dockerignore")


def test_the_words_that_git_is_given(
    weak: Weak, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, calls = weak("take_any_ref"), sources.watch_git(tmp_path, monkeypatch)
    with serve_repository(tmp_path / "repositories") as repository, pytest.raises(AssertionError):
        sources.test_words_that_git_would_take_for_options_at_every_way_in(project, calls, machine, repository)


def test_the_environment_of_helpers(weak: Weak, tmp_path: Path) -> None:
    project = weak("pass_the_environment_on")
    with serve_repository(tmp_path / "repositories") as repository, pytest.raises(AssertionError):
        helpers.test_the_environment_of_every_helper(project, repository, tmp_path, WAY)


@pytest.mark.parametrize("way", [WAY, COPY])
def test_the_making_of_a_workdir(weak: Weak, machine: Machine, way: tuple[str, ...]) -> None:
    project = weak("make_the_working_directory_by_path")
    with pytest.raises(AssertionError, match=HURT):
        users.test_a_workdir_through_a_link(project, machine, way)


def test_the_decoder_of_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire._ADAPTER, "validate_json", lambda data, strict: None)
    with pytest.raises(Exception, match=r".") as caught:
        graphs.test_a_malformed_graph()
    assert not isinstance(caught.value, graphs.PybuildError)


def test_the_parts_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key, "_SPLIT", (*key._SPLIT, "user"))
    with pytest.raises(AssertionError):
        caches.test_a_change_of_any_field_of_a_step(caches.Run)


def test_the_mounts_in_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = key.encode
    monkeypatch.setattr(key, "encode", lambda op: {**encode(op), "mounts": [{}] * len(getattr(op, "mounts", ()))})
    with pytest.raises(AssertionError):
        caches.test_a_change_of_any_field_of_a_mount(caches.BindMount)
