"""A base of which only the names are needed: it is read once and not laid down, until a step needs its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.build import Project
from tests.support.command import Pybuild


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


def laid(project: Project) -> int:
    """How many snapshots the store has."""
    return len(list((project.pybuild.store / "snapshots").iterdir()))


def build(project: Project, *lines: str) -> list[str]:
    """Build a Dockerfile over the base; gives what ran."""
    project.write({"Dockerfile": "\n".join(("FROM oci:base", *lines, "")), "a": "a"})
    return project.build("-f", "Dockerfile").ran


def test_a_copy_lays_down_nothing(project: Project) -> None:
    build(project, "COPY a /etc/")
    assert laid(project) == 0
    files = project.unpacked("-f", "Dockerfile").files()
    assert files["/etc/a"].text == "a" and "/etc/passwd" in files
    assert laid(project) == 0
    project.check()


def test_the_names_are_read_once(project: Project) -> None:
    assert len([title for title in build(project, "COPY a /a") if "base" in title]) == 1
    blobs = project.directory / "base/blobs/sha256"
    largest = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    (project.pybuild.store / "blobs/sha256" / largest.name).unlink()
    largest.unlink()
    build(project, "COPY a /b", "COPY a /c/d")
    assert laid(project) == 0


def test_a_step_that_runs_finds_the_bytes_below_a_copy_of_an_earlier_build(project: Project) -> None:
    build(project, "COPY a /etc/")
    build(project, "COPY a /etc/", "RUN cat /etc/passwd /etc/a > /both")
    assert laid(project) == 3
    assert project.unpacked("-f", "Dockerfile").files()["/both"].text.endswith("a")


@pytest.mark.parametrize("line", ["COPY --chown=nobody a /a", "COPY --chown=nobody --link=false a /a"])
def test_a_name_of_a_user_needs_the_file_of_users(project: Project, line: str) -> None:
    build(project, line)
    assert project.unpacked("-f", "Dockerfile").files()["/a"].uid != 0


def test_a_linked_copy_below_a_step_that_runs(project: Project) -> None:
    build(project, "COPY --link a /a", "RUN cat /a /etc/passwd > /both")
    assert project.unpacked("-f", "Dockerfile").files()["/both"].text.startswith("a")


def test_two_stages_one_that_runs_and_one_that_copies(project: Project) -> None:
    build(project, "RUN echo made > /made", "FROM oci:base", "COPY --from=0 /made /etc/made")
    assert project.unpacked("-f", "Dockerfile").files()["/etc/made"].text == "made\n"


def test_a_file_that_was_never_laid_down_gets_another_owner(project: Project) -> None:
    """The bytes of what `chown` keeps come from a step whose files nobody needed before."""
    text = 'write /srv/data "kept"\nwrite /srv/other "o"'
    project.image(text)
    project.build()
    project.image(f"{text}\nchown 12:34 /srv/data")
    project.build()
    files = project.unpacked().files()
    assert (files["/srv/data"].text, files["/srv/data"].uid) == ("kept", 12)
