"""What made a step run again, by the real command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.store import Store
from tests.support import layouts
from tests.support.build import BASE, Project
from tests.support.command import Pybuild


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    project = Project.make(pybuild, tmp_path / "project")
    project.write({"src/a": "a\n", "src/b": "b\n", "src/gone": ""})
    return project


def staged(project: Project, command: str = "cat /src/* > /out", last: str = "cp /out /two") -> None:
    project.file(
        f"stage build {{\n{BASE}\ncopy ./src/ to /src\nrun {command}\n}}\n"
        f"image app {{\n{BASE}\ncopy /out to /out from build\nrun {last}\n}}\n"
    )


def why(project: Project, *words: str) -> list[dict[str, Any]]:
    plain = json.loads(project.pybuild.ok("why", "--json", *words).stdout)
    steps: list[dict[str, Any]] = plain["steps"]
    return steps


def parts(step: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change["part"]: (change["old"], change["new"]) for change in step["changes"]}


def test_a_first_build_has_nothing_to_compare_with(project: Project) -> None:
    staged(project)
    project.build()
    assert {step["verdict"] for step in why(project, "--all")} == {"first", "bytes"}
    assert "no earlier build" in project.pybuild.ok("why", "cp /out").stdout
    project.build()
    assert why(project, "--all") == []
    assert project.pybuild.ok("why", "--all").stdout.startswith("nothing ran in the build ")
    assert "did not run: its result was known" in project.pybuild.ok("why", "cp /out").stdout


def test_changed_files_are_named_and_are_the_root_of_all_that_follows(project: Project) -> None:
    staged(project)
    project.build()
    project.write({"src/a": "other\n", "src/new": "new\n"})
    (project.directory / "src/gone").unlink()
    project.build()
    (copy,) = why(project, "copy ./src")
    (change,) = copy["changes"]
    assert change["part"] == "select.from"
    files = {"changed": ["a"], "added": ["new"], "removed": ["gone"]}
    assert change["files"] == files
    (last,) = why(project, "cp /out")
    assert (last["verdict"], list(parts(last))) == ("changed", ["input.base"])
    assert [root["title"] for root in last["because"]] == ["copy ./src/ → /src"]
    assert last["because"][0]["changes"][0]["files"] == files
    (taken,) = why(project, "copy /out")
    assert taken["changes"][0]["files"] == {"changed": ["out"], "added": [], "removed": []}
    shown = project.pybuild.ok("why", "cp /out").stdout
    for line in ("because of", "~ a", "+ new", "- gone", "1 changed, 1 added, 1 removed"):
        assert line in shown


def test_an_edited_step_shows_the_old_text_and_the_new(project: Project) -> None:
    staged(project)
    project.build()
    staged(project, last="cp /out /three")
    project.build()
    (step,) = why(project, "Buildfile:10")
    assert step["title_before"] == "run cp /out /two"
    assert parts(step).keys() == {"op.args"}
    shown = project.pybuild.ok("why", "#5").stdout + project.pybuild.ok("why", "--all").stdout
    assert "- cp /out /two" in shown
    assert "+ cp /out /three" in shown


def test_a_param_and_a_secret_are_named_parts(project: Project) -> None:
    project.write({"token.txt": "a long enough secret"})
    project.file(
        f'secret token\nparam colour: string = "red"\nimage app {{\n{BASE}\n'
        "with secret(token, optional: true)\nrun echo $colour > /two\n}"
    )
    project.build()
    project.build("--param", "colour=blue", "--secret", "id=token,src=token.txt")
    (step,) = why(project, "echo $colour")
    assert parts(step) == {"env.colour": ("red", "blue"), "secret.token": ("absent", "given")}
    shown = project.pybuild.ok("why", "echo $colour").stdout
    assert "the variable colour changed" in shown
    assert "the secret token changed\n      - absent\n      + given\n" in shown
    assert "long enough" not in shown


def test_another_base_is_named_with_both_digests(project: Project) -> None:
    base = project.directory / "base"
    shutil.rmtree(base)
    layouts.write_layout(base, [layouts.layer([layouts.Entry(name="a")])])
    project.image("mkdir /new")
    project.build()
    layouts.write_layout(base, [layouts.layer([layouts.Entry(name="b")])])
    project.build()
    (step,) = why(project, "mkdir")
    (root,) = step["because"]
    old, new = parts(root)["pin"]
    assert root["title"] == "from oci:base"
    assert old != new and old.startswith("sha256:") and new.startswith("sha256:")
    assert "its digest changed" in project.pybuild.ok("why", "mkdir").stdout


def test_what_runs_whatever_is_known_is_said_to(project: Project) -> None:
    project.image("run echo one > /one", "with network", "run echo two > /two")
    project.build()
    project.build("--no-cache")
    assert {step["verdict"] for step in why(project, "--all")} == {"no-cache"}
    project.build("--refresh")
    assert [(step["title"], step["verdict"]) for step in why(project, "--all")] == [("run echo two > /two", "refresh")]
    assert "because of --refresh" in project.pybuild.ok("why", "echo two").stdout


def test_a_result_that_was_removed_is_said_to_be(project: Project) -> None:
    project.image("run echo one > /one", "run cp /one /two")
    project.build()
    with Store.open(project.pybuild.store) as store:
        store.index.execute("DELETE FROM results")
    project.build()
    assert {step["verdict"] for step in why(project, "--all")} == {"forgotten"}
    assert "removed from the store" in project.pybuild.ok("why", "cp /one").stdout


def test_a_tree_whose_files_are_gone_is_made_again(project: Project) -> None:
    project.image("run echo one > /one", "run cp /one /two")
    project.build()
    for path in (project.pybuild.store / "snapshots").iterdir():
        shutil.rmtree(path)
    project.image("run echo one > /one", "run cp /one /three")
    project.build()
    (first,) = why(project, "echo one")
    assert (first["verdict"], first["changes"]) == ("bytes", [])
    assert why(project, "cp /one")[0]["verdict"] == "changed"


def test_a_step_that_failed_runs_again(project: Project) -> None:
    project.image("run echo one > /one", "run exit 3")
    project.attempt()
    project.attempt()
    (step,) = why(project, "exit 3")
    assert (step["verdict"], step["changes"]) == ("failed", [])
    project.image("run echo one > /one", "run exit 4")
    project.attempt()
    (step,) = why(project, "exit 4")
    assert (step["verdict"], list(parts(step))) == ("changed", ["op.args"])


def test_builds_of_other_directories_do_not_count(project: Project, tmp_path: Path) -> None:
    project.image("run echo one > /one")
    first = project.build().of_kind("BuildStarted")[0]["build"]
    other = Project.make(project.pybuild, tmp_path / "other")
    other.image("run echo two > /one")
    other.build()
    assert why(project, "echo two")[0]["verdict"] == "first"
    project.image("run echo three > /one")
    project.build()
    assert why(project, "echo three")[0]["compared_with"] == first


def test_a_dockerfile_says_its_lines_and_its_arguments(project: Project) -> None:
    def build(*words: str) -> None:
        place = f"base=oci-layout://{project.directory / 'base'}"
        project.build("-f", project.directory / "Dockerfile", "--build-context", place, *words)

    project.write({"Dockerfile": "FROM base\nARG V=1\nRUN echo $V > /v\nCOPY src /src\nRUN cat /src/a /v > /w\n"})
    build()
    build("--build-arg", "V=2")
    (step,) = why(project, "Dockerfile:3")
    assert parts(step)["env.V"] == ("1", "2")
    (copy,) = why(project, "Dockerfile:4")
    assert parts(copy).keys() == {"input.base"}
    project.write({"src/a": "changed\n"})
    build("--build-arg", "V=2")
    (copy,) = why(project, "Dockerfile:4")
    assert copy["changes"][0]["files"]["changed"] == ["a"]


def test_what_is_asked_for_must_be_there(project: Project) -> None:
    project.image("run echo one > /one")
    project.build()
    for words, code in ((("nothing",), 16), (("--all", "--build", "nothing"), 16), ((), 2), (("#1", "--all"), 2)):
        assert project.pybuild("why", *words).code == code
    assert "a layer is written" in project.pybuild.ok("why", "layer").stdout
