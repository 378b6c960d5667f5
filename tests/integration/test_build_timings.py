"""Where the time of a build went, by the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.build import BASE, Project
from tests.support.command import Pybuild


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    project = Project.make(pybuild, tmp_path / "project")
    project.write({"src/a": "a\n", "src/b": "b\n"})
    project.file(
        f"stage build {{\n{BASE}\ncopy ./src/ to /src\nrun sleep 0.3; head -c 30000000 /dev/urandom > /out\n}}\n"
        f"image app {{\n{BASE}\nmkdir /quick\ncopy /out to /out from build\nrun sleep 0.1; cp /out /two\n"
        "output archive ./out.tar\n}\n"
    )
    return project


def timings(project: Project, *words: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(project.pybuild.ok("timings", "--json", *words).stdout)
    return plain


def phases(step: dict[str, Any]) -> dict[str, float]:
    return {each["name"]: each["end"] - each["begin"] for each in step["phases"]}


def test_each_step_has_its_phases_and_the_path_is_marked(project: Project) -> None:
    build = project.build()
    plain = timings(project)
    steps = {step["title"]: step for step in plain["steps"]}
    assert plain["build"] == build.of_kind("BuildStarted")[0]["build"]
    assert plain["outcome"] == "done"
    sleeper, layer = steps["run sleep 0.3; head -c 30000000 /dev/urandom > /out"], steps["layer 'app'"]
    assert phases(sleeper)["run"] >= 0.3
    assert phases(sleeper).keys() >= {"run", "hash", "write"}
    assert sleeper["at"] == "Buildfile:5"
    assert phases(steps["from oci:base"]).keys() & {"unpack", "transfer"}
    assert phases(layer).keys() >= {"hash", "compress"}
    assert "write" in phases(steps["archive out.tar"])
    path = [step["title"] for step in plain["steps"] if step["critical"]]
    assert [title for title in path if title.startswith("run ")] == [
        "run sleep 0.3; head -c 30000000 /dev/urandom > /out",
        "run sleep 0.1; cp /out /two",
    ]
    assert path[0] == "read the build file"
    assert path[-1] == "archive out.tar"
    assert "mkdir /quick" not in path
    assert plain["totals"]["run"] >= 0.4
    assert plain["critical"] <= plain["seconds"]


def test_steps_have_the_numbers_that_the_build_showed(project: Project) -> None:
    shown = project.pybuild.ok("build", ".", "--progress", "plain", cwd=project.directory).stderr
    for step in timings(project)["steps"]:
        if step["number"] is not None:
            assert any(
                line.startswith(f"#{step['number']} ") and f"start    {step['title']}" in line
                for line in shown.splitlines()
            )


def test_a_build_shows_its_times_and_draws_them(project: Project) -> None:
    drawing, trace = project.directory.parent / "times.svg", project.directory.parent / "times.json"
    done = project.pybuild.ok("build", ".", f"--timings={drawing}", cwd=project.directory)
    table = done.stdout.partition("\nbuild ")[2]
    assert "on the critical path (*)" in table
    assert "run sleep 0.3; head -c 30000000 /dev/urandom > /out" in table
    assert "compressing" in table and "hashing" in table
    root = ElementTree.fromstring(drawing.read_text())
    assert any("run sleep 0.3" in (each.text or "") for each in root.iter("{http://www.w3.org/2000/svg}title"))
    done = project.pybuild.ok("build", ".", "--timings", "--progress", "json", cwd=project.directory)
    assert all(line.startswith("{") for line in done.stdout.splitlines())
    assert "on the critical path (*)" in done.stderr
    done = project.pybuild.ok("build", "-q", f"--timings={trace}", ".", cwd=project.directory)
    assert done.stdout.startswith("sha256:") and done.stdout.count("\n") == 1
    assert json.loads(trace.read_text())["traceEvents"]


def test_a_drawing_takes_the_place_of_drawings_alone(project: Project) -> None:
    project.build()
    mine = project.directory / "Buildfile"
    before = mine.read_text()
    for words in (("timings", "--svg", mine), ("timings", "--trace", mine)):
        done = project.pybuild(*words)
        assert (done.code, mine.read_text()) == (15, before)
        assert "is no drawing of pybuild's" in done.stderr
    drawing = project.directory / "mine.svg"
    drawing.write_text("a picture\n")
    done = project.pybuild("build", ".", f"--timings={drawing}", cwd=project.directory)
    assert (done.code, drawing.read_text()) == (15, "a picture\n")
    drawing.unlink()
    for _ in range(2):
        project.pybuild.ok("timings", "--svg", drawing)


def test_a_drawing_without_a_place_is_refused_before_anything_runs(project: Project) -> None:
    build = project.attempt("--timings=no/where/times.svg")
    assert (build.result.code, build.events) == (15, ())
    assert "there is no directory no/where" in build.result.stderr


def test_builds_are_listed_with_how_they_ended(project: Project) -> None:
    first = project.build().of_kind("BuildStarted")[0]["build"]
    project.image("run exit 3")
    assert project.pybuild("build", ".", cwd=project.directory).code == 5
    rows = json.loads(project.pybuild.ok("builds", "--json").stdout)
    assert [row["outcome"] for row in rows] == ["failed", "done"]
    assert rows[1]["id"] == first and rows[1]["ran"] > 0 and rows[1]["images"]
    text = project.pybuild.ok("builds").stdout.splitlines()
    assert text[0].split() == ["BUILD", "ENDED", "TOOK", "OUTCOME", "RAN", "FILE", "IMAGES"]
    assert first in text[2] and "done" in text[2]
    project.image('write /x "x"')
    made = project.pybuild.ok("build", ".", "-t", "mal", "-t", "other:2", cwd=project.directory)
    again = project.pybuild.ok("build", ".", "-t", "mal", "-t", "other:2", cwd=project.directory)
    assert "\nimage mal, other:2 (" in made.stdout and "\nimage mal, other:2 (" in again.stdout
    named = json.loads(project.pybuild.ok("builds", "--json").stdout)[0]
    assert named["images"] == rows[1]["images"] and named["names"] == ["mal", "other:2"]
    assert project.pybuild.ok("builds").stdout.splitlines()[1].endswith("  mal, other:2")
    project.image("run exit 3")
    assert project.pybuild("build", ".", cwd=project.directory).code == 5
    rows = json.loads(project.pybuild.ok("builds", "--json").stdout)
    newest = project.pybuild.ok("builds", "-q", "-n", "1").stdout.strip()
    assert newest == rows[0]["id"] and project.pybuild.ok("timings", newest).stdout.startswith(f"build {newest} failed")
    assert project.pybuild("builds", "-n", "0").code == 2


def test_a_build_that_failed_has_times_too(project: Project) -> None:
    project.image("run echo one > /one", "run sleep 0.2; exit 3")
    done = project.pybuild("build", ".", "--timings", cwd=project.directory)
    assert done.code == 5
    assert "run sleep 0.2; exit 3 (failed)" in done.stdout
    plain = timings(project)
    assert plain["outcome"] == "failed"
    assert [step["title"] for step in plain["steps"] if step["outcome"] == "failed"] == ["run sleep 0.2; exit 3"]


def test_earlier_builds_are_found_by_how_their_ids_begin(project: Project) -> None:
    first = project.build().of_kind("BuildStarted")[0]["build"]
    second = project.build().of_kind("BuildStarted")[0]["build"]
    assert timings(project)["build"] == second
    assert timings(project, first)["build"] == first
    assert timings(project, first[:-1])["build"] == first
    assert project.pybuild("timings", "nothing").code == 16
    trace = project.directory.parent / "t.json"
    project.pybuild.ok("timings", first, "--trace", trace)
    spans = [each for each in json.loads(trace.read_text())["traceEvents"] if each["ph"] == "X"]
    assert {"run sleep 0.1; cp /out /two", "hash", "run"} <= {each["name"] for each in spans} | {"hash"}


def test_a_name_that_says_no_kind_of_drawing_is_refused_before_anything_runs(project: Project) -> None:
    build = project.attempt("--timings=times.png")
    assert (build.result.code, build.events) == (2, ())
    assert ".svg" in build.result.stderr


def test_waiting_for_a_place_is_waiting(project: Project) -> None:
    project.file(
        "\n".join(f"stage s{number} {{\n{BASE}\nrun sleep 0.2; echo {number} > /out\n}}" for number in range(3))
        + f"\nimage app {{\n{BASE}\n"
        + "\n".join(f"copy /out to /out{number} from s{number}" for number in range(3))
        + "\n}\n"
    )
    project.build("--jobs", "1")
    plain = timings(project)
    waits = [phases(step).get("wait", 0) for step in plain["steps"] if step["title"].startswith("run sleep")]
    assert sorted(waits)[1] >= 0.2
    assert sorted(waits)[2] >= 0.4
