"""What a second build does: nothing but what the change asks for. Shown by what was executed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import bases, layouts
from tests.support.build import BASE, Project
from tests.support.command import Pybuild
from tests.support.registry import serve_registry, write_config


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    project = Project.make(pybuild, tmp_path / "project")
    project.write({"src/a": "a\n", "src/b": "b\n"})
    project.image(
        "copy ./src/a to /a",
        "run cat /a > /from-a",
        'layer "b" {',
        "    copy ./src/b to /b",
        "    run cat /b > /from-b",
        "}",
    )
    return project


def test_a_second_build_runs_nothing(project: Project) -> None:
    first = project.build()
    assert first.processes == ["run cat /a > /from-a", "run cat /b > /from-b"]
    second = project.build()
    assert (second.ran, second.committed, second.digest) == ([], [], first.digest)
    (done,) = second.of_kind("BuildDone")
    assert (done["ran"], done["cached"]) == (0, 4)


def test_a_changed_file_reruns_what_depends_on_it_and_nothing_else(project: Project) -> None:
    first = project.build()
    project.write({"src/b": "other\n"})
    second = project.build()
    assert second.ran == ["copy ./src/b → /b", "run cat /b > /from-b"]
    assert second.committed == ["b"]
    assert second.digest != first.digest


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("run cat /a", "# a comment\n\n\nrun  cat /a"), id="comment"),
        pytest.param(lambda text: text.replace('layer "b"', 'layer "renamed"'), id="layer-name"),
        pytest.param(lambda text: text.replace("buildfile 1\n", "buildfile 1\nparam unused: int = 3\n"), id="param"),
    ],
)
def test_what_says_nothing_about_a_step_reruns_nothing(project: Project, change: Callable[[str], str]) -> None:
    first = project.build()
    file = project.directory / "Buildfile"
    file.write_text(change(file.read_text()))
    second = project.build()
    assert second.ran == []
    assert second.digests == first.digests or "renamed" in file.read_text()
    assert second.committed == []


def test_the_times_and_owners_of_files_mean_nothing(project: Project) -> None:
    first = project.build()
    for name in ("src/a", "src/b", "Buildfile", "src"):
        os.utime(project.directory / name, (1_000_000, 1_000_000))
        os.chown(project.directory / name, 1234, 1234)
    second = project.build()
    assert (second.ran, second.digest) == ([], first.digest)


def test_a_step_that_makes_the_same_again_keeps_what_follows(project: Project) -> None:
    project.image("run echo one > /one", "run cp /one /two")
    first = project.build()
    project.image("run echo 'one' > /one", "run cp /one /two")
    second = project.build()
    assert second.processes == ["run echo 'one' > /one"]
    assert (second.digest, second.committed) == (first.digest, [])


def test_only_what_is_copied_of_a_stage_counts(project: Project) -> None:
    project.file(
        f"stage build {{\n{BASE}\ncopy ./src/a to /a\nrun grep -c . /a > /count; date > /when\n}}\n"
        f"image app {{\n{BASE}\ncopy /count to /count from build\nrun cp /count /copy\n}}"
    )
    first = project.build()
    project.write({"src/a": "another line\n"})
    second = project.build()
    assert second.processes == ["run grep -c . /a > /count; date > /when"]
    assert (second.digest, second.committed) == (first.digest, [])


def test_no_cache_runs_everything_and_gives_the_same(project: Project) -> None:
    first = project.build()
    second = project.build("--no-cache")
    assert second.processes == first.processes
    assert (second.digest, second.committed) == (first.digest, [])
    assert project.build().ran == []


def test_refresh_runs_the_steps_that_have_the_network(project: Project) -> None:
    project.image("run echo one > /one", "with network", "run echo two > /two", "run echo three > /three")
    first = project.build()
    second = project.build("--refresh")
    assert second.processes == ["run echo two > /two"]
    assert second.digest == first.digest


def test_environment_that_a_step_does_not_mention_is_not_in_its_key(project: Project) -> None:
    def write(value: str) -> None:
        text = (
            f'param colour: string = "{value}"\nimage app {{\n{BASE}\nrun echo one > /one\nrun echo $colour > /two\n}}'
        )
        project.file(text)

    write("red")
    project.build()
    write("blue")
    assert project.build().processes == ["run echo $colour > /two"]


def test_a_known_result_is_enough_where_its_bytes_are_gone(project: Project) -> None:
    """A base that nobody needs is never fetched; a tree that a new step stands on is made again."""
    first = project.build()
    project.pybuild.ok("prune")
    snapshots = project.pybuild.store / "snapshots"
    for path in snapshots.iterdir():
        subprocess.run(["rm", "-rf", str(path)], check=True)
    assert project.build().ran == []
    project.write({"src/b": "new\n"})
    second = project.build()
    assert second.processes == ["run cat /a > /from-a", "run cat /b > /from-b"]
    (done,) = second.of_kind("BuildDone")
    assert done["cached"] == 1  # the copy of `a`: its files are laid down again, by what is known of it
    assert first.digest != second.digest
    project.check()


def test_a_step_that_comes_out_other_takes_what_lies_upon_it_along(project: Project) -> None:
    """Its bytes are gone, and those of the copy upon it are there: they do not fit each other any more."""
    lines = ("run cat /proc/sys/kernel/random/uuid > /id", "copy ./src/a to /a", "run cat /a /id > /both")
    project.image(*lines)
    project.build()
    snapshots = project.pybuild.store / "snapshots"
    (made,) = [path for path in snapshots.iterdir() if '"id"' in (path / "index").read_text()]
    subprocess.run(["rm", "-rf", str(made)], check=True)
    project.image(*lines, "run cat /both /id > /third")
    files = project.unpacked().files()
    assert len(set(files["/third"].text.split()) - {"a"}) <= 2
    project.check()


def test_nothing_is_asked_of_a_registry_again(pybuild: Pybuild, tmp_path: Path) -> None:
    with serve_registry(tmp_path / "registry") as server:
        bases.push("tiny", server.name, "tiny", "latest")
        config = write_config(tmp_path / "registries.toml", server.name)
        project = Project.make(pybuild.having(PYBUILD_REGISTRIES=str(config)), tmp_path / "project")
        project.file(f'image app {{\nfrom "{server.name}/library/tiny:latest"\nrun echo one > /one\n}}')
        first = project.build()
    (*_, last) = first.of_kind("Progress")
    assert last["done"] == last["total"] == first.of_kind("LayerDone")[0]["size"]
    project.pybuild.ok("prune")
    second = project.build()
    assert (second.ran, second.digest) == ([], first.digest)
    project.file(f'image app {{\nfrom "{server.name}/library/tiny:latest"\nrun echo one > /one\nmkdir /two\n}}')
    assert project.build().ran == ["mkdir /two"]


def test_a_local_base_that_changed_is_another_base(project: Project) -> None:
    base = project.directory / "base"
    shutil.rmtree(base)
    layouts.write_layout(base, [layouts.layer([layouts.Entry(name="a")])])
    project.image("mkdir /new")
    first = project.build()
    assert project.build().ran == []
    layouts.write_layout(base, [layouts.layer([layouts.Entry(name="b")])])
    second = project.build()
    assert second.digest != first.digest
    project.build("-o", "rootfs:out")
    assert sorted(path.name for path in (project.directory / "out").iterdir()) == ["b", "new"]


HEAVY = (
    "lark", "pydantic", "rich", "cryptography", "urllib3", "ssl", "subprocess", "asyncio", "http.client", "zstandard",
    "buildkit_py.progress.timeline", "buildkit_py.engine.why", "buildkit_py.solver.listing", "html",
    "buildkit_py.executor.sandbox", "buildkit_py.registry.client", "buildkit_py.sharing", "buildkit_py.solver.names",
    "frontends", "grammar", "isal",
)  # fmt: skip


def test_a_build_that_does_nothing_imports_nothing_big(project: Project) -> None:
    project.build()
    program = (
        "import sys; from buildkit_py.cli.run import run\n"
        "code = run(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "build", ".", "--progress", "json"],
        cwd=project.directory,
        env=dict(project.pybuild.variables()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"ran": 0' in done.stdout
    assert [name for name in HEAVY if name in done.stderr.split()] == []


def test_a_file_that_is_edited_while_a_process_runs_is_taken_as_it_is_then(project: Project) -> None:
    """The process was used to read it ahead; what counts is how it is when its own step looks at it."""
    project.write({"src/a": "before\n"})
    project.image("run sleep 1; true > /ran", "copy ./src/ to /src")
    edit = threading.Timer(0.7, lambda: project.write({"src/a": "after\n"}))
    edit.start()
    unpacked = project.unpacked()
    edit.join()
    assert (unpacked.rootfs / "src/a").read_text() == "after\n"
