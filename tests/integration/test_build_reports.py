"""What a build says and leaves when a part of it fails: the line, everything that is wrong, all that is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.build import BASE, Build, Project
from tests.support.command import Pybuild


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


def refused(build: Build, code: int, *texts: str) -> None:
    """The build ended with that code before anything ran, and said so."""
    assert build.result.code == code, build.result.output
    assert build.of_kind("Started") == []
    for text in texts:
        assert text in build.result.stderr


@pytest.mark.parametrize(
    ("statement", "texts"),
    [
        ("copy ./pakage.json to /x", ("./pakage.json is not there", "did you mean ./package.json?")),
        ("copy ./*.toml to /x/", ("nothing matches ./*.toml",)),
        ("unpack ./t/nope.tar to /x", ("./t/nope.tar is not there",)),
        ("with mount(./t/nope, at: /in)\nrun true", ("./t/nope is not there",)),
    ],
)
def test_a_missing_source_is_said_before_anything_runs(
    project: Project, statement: str, texts: tuple[str, ...]
) -> None:
    project.write({"package.json": "{}"})
    project.image("run echo one > /one", statement)
    refused(project.attempt(), 14, "Buildfile:", "(in the directory of the build)", statement.split("\n")[-1], *texts)


def test_an_output_never_takes_the_place_of_a_file_of_ours(project: Project) -> None:
    project.write({"src.txt": "mine"})
    project.image("run echo one > /one", "output archive ./src.txt")
    refused(project.attempt(), 15, "Buildfile:5:", "src.txt is there and is no archive")
    assert (project.directory / "src.txt").read_text() == "mine"


def test_a_directory_made_for_outputs_is_no_source(project: Project) -> None:
    project.write({"f": "x"})
    project.image("copy ./f to /a/", "copy ./ to /b/", "output archive ./out/x.tar")
    digests = [project.build().digest for _ in range(3)]
    assert (project.directory / "out" / "x.tar").is_file()
    assert len(set(digests)) == 1


def test_what_is_whole_is_published_in_spite_of_a_failure(project: Project) -> None:
    project.file(
        f"image good {{\n{BASE}\nrun echo good > /x\noutput archive ./good.tar\n}}\n"
        f"image bad {{\n{BASE}\nrun exit 3\noutput archive ./bad.tar\n}}\n"
    )
    build = project.attempt()
    assert (build.result.code, build.of_kind("ImageDone")) == (5, [])
    build = project.attempt("--keep-going")
    assert build.result.code == 5
    assert list(build.digests) == ["good"]
    assert (project.directory / "good.tar").is_file()
    assert not (project.directory / "bad.tar").exists()
    assert [row["name"] for row in json.loads(project.pybuild.ok("ls", "--json").stdout)] == ["good"]
    shown = project.pybuild("build", ".", "--keep-going", "--progress", "plain", cwd=project.directory)
    assert shown.code == 5
    assert "image good (" in shown.stdout
    assert build.digest in shown.stdout


def test_all_tests_that_fail_are_shown_each_with_its_line(project: Project) -> None:
    project.image(
        "run echo one > /one",
        'test "t" {',
        "file /none",
        'text /one "two"',
        "file /one",
        "run exit 4",
        "}",
    )
    build = project.attempt()
    said = [line for line in build.result.stderr.splitlines() if " error: " in line]
    assert build.result.code == 6
    assert sorted((line.split(":")[1], line.partition(" error: ")[2]) for line in said) == [
        ("6", "test 't' of app: file /none is not there"),
        ("7", "test 't' of app: text /one does not hold 'two'"),
        ("9", "run exit 4: test 't' failed: ended with exit code: 4"),
    ]
    assert build.of_kind("ImageDone") == []


def test_an_output_that_fails_has_its_line_and_the_summary_stays(project: Project) -> None:
    project.write({"full/mine": ""})
    project.image("run echo one > /one", "output archive ./a.tar", "output rootfs ./full")
    shown = project.pybuild("build", ".", "--progress", "plain", cwd=project.directory)
    assert shown.code == 15
    assert "Buildfile:6:" in shown.stderr
    assert "not an empty directory" in shown.stderr
    assert "image app (" in shown.stdout
    assert "a.tar  written" in shown.stdout
    assert json.loads(project.pybuild.ok("ls", "--json").stdout)[0]["name"] == "app"


def test_an_image_is_found_by_how_its_digest_begins(project: Project) -> None:
    project.image("run echo one > /one", 'command ["sh"]', "expose 80", "workdir /srv")
    digest = project.build().digest
    for name in (digest, digest[:19], digest[7:19]):
        shown = project.pybuild.ok("inspect", name).stdout
        assert digest in shown
    for word in ("command", "expose", "workdir"):
        assert f"\n  {word} " in shown
    assert project.pybuild("inspect", "sha256:" + "0" * 12).code == 16


def test_the_platform_that_was_written_is_said(project: Project) -> None:
    project.file(
        'image app {\nplatforms linux/amd64, linux/arm64\nfrom scratch\nwrite /x "x"\noutput rootfs ./root\n}\n'
    )
    (output,) = project.build().of_kind("OutputDone")
    assert output["platform"] in ("linux/amd64", "linux/arm64")


def test_a_graph_says_its_file_and_takes_no_params(project: Project) -> None:
    project.write({"g.json": "[]"})
    project.image("run echo one > /one")
    refused(project.attempt("--graph", "g.json"), 4, "g.json: ")
    refused(project.attempt("--graph", "g.json", "--param", "x=1"), 2, "--param and --graph")


def test_a_lone_dockerfile_and_a_file_that_is_no_text(project: Project) -> None:
    project.write({"Dockerfile": "FROM scratch\n"})
    assert project.attempt().result.code == 0
    (project.directory / "Buildfile").write_bytes(b"buildfile 1\nimage \xff {}\n")
    refused(project.attempt(), 3, "Buildfile:2:7: error: not UTF-8")
