"""Which file describes a build, and which kind of build file it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildkit_py.engine.buildfile import find_build_file, frontend_of
from buildkit_py.engine.options import BuildOptions
from buildkit_py.errors import SourceInputError


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Buildfile", "", "buildfile"),
        ("Buildfile.dev", "FROM scratch", "buildfile"),
        ("Dockerfile", "buildfile 1", "dockerfile"),
        ("Dockerfile.dev", "", "dockerfile"),
        ("web.Dockerfile", "", "dockerfile"),
        ("web.dockerfile", "", "dockerfile"),
        ("Containerfile", "", "dockerfile"),
        ("dockerfile", "", "dockerfile"),
        ("web.build", "nonsense", "buildfile"),
        ("web", "buildfile 1\n", "buildfile"),
        ("web", "\n# a comment\n  buildfile 1\n", "buildfile"),
        ("web", "\ufeff# a comment\nFROM scratch\n", "dockerfile"),
        ("web", "", "dockerfile"),
        ("-", "FROM scratch", "dockerfile"),
        ("-", "buildfile 1", "buildfile"),
        ("-", "image a {\n}\n", "buildfile"),
        ("-", "# a comment\n\nparam x: string\n", "buildfile"),
        ("-", "image", "dockerfile"),
        ("-", "IMAGE a", "dockerfile"),
        ("-", "image: a\n", "dockerfile"),
    ],
)
def test_kinds(name: str, text: str, expected: str) -> None:
    assert frontend_of(name, text) == expected


@pytest.mark.parametrize(
    ("present", "found", "noted"),
    [
        (("Buildfile", "Dockerfile", "Containerfile"), "Buildfile", True),
        (("Dockerfile", "Containerfile"), "Dockerfile", True),
        (("Containerfile",), "Containerfile", False),
        (("dockerfile",), "dockerfile", False),
    ],
)
def test_the_first_of_the_usual_names(tmp_path: Path, present: tuple[str, ...], found: str, noted: bool) -> None:
    for name in present:
        (tmp_path / name).write_text("")
    file = find_build_file(BuildOptions(context=tmp_path))
    assert (file.path, bool(file.note)) == (tmp_path / found, noted)


def test_none_is_there(tmp_path: Path) -> None:
    with pytest.raises(SourceInputError, match=r"no Buildfile in .*, and no Dockerfile or Containerfile"):
        find_build_file(BuildOptions(context=tmp_path))


@pytest.mark.parametrize("named", [True, False])
def test_no_link_of_the_context_leads_out_of_it(tmp_path: Path, named: bool) -> None:
    context, outside = tmp_path / "context", tmp_path / "outside"
    context.mkdir()
    outside.write_text("canary")
    (context / "Dockerfile").symlink_to("../outside")
    file = context / "Dockerfile" if named else None
    with pytest.raises(SourceInputError, match="it leads out of the directory"):
        find_build_file(BuildOptions(context=context, file=file))
    (context / "Dockerfile").unlink()
    (context / "Dockerfile").symlink_to("inside")
    (context / "inside").write_text("FROM scratch")
    assert find_build_file(BuildOptions(context=context, file=file)).text == "FROM scratch"


def test_a_build_file_elsewhere_is_the_clients_own(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "real").write_text("FROM scratch")
    (tmp_path / "link").symlink_to("real")
    for path in (tmp_path / "link", tmp_path / "context/../link"):
        assert find_build_file(BuildOptions(context=tmp_path / "context", file=path)).text == "FROM scratch"


def test_a_build_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Pipe")
    with pytest.raises(SourceInputError, match="not a regular file"):
        find_build_file(BuildOptions(context=tmp_path, file=tmp_path / "Pipe"))


def test_a_text_that_came_from_elsewhere(tmp_path: Path) -> None:
    file = find_build_file(BuildOptions(context=tmp_path, file=Path("-"), text="FROM scratch\n"))
    assert (file.shown, file.frontend, file.text) == ("-", "dockerfile", "FROM scratch\n")


def test_how_people_know_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert BuildOptions(context=Path("src")).shown(Path("src/Dockerfile")) == "src/Dockerfile"
    copied = BuildOptions(context=tmp_path / "copy", temporary=True)
    assert copied.shown(tmp_path / "copy/sub/Dockerfile") == "sub/Dockerfile"
    assert copied.shown(tmp_path / "Dockerfile") == "Dockerfile"
