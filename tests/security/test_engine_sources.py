"""What a build is read from: files of directories and repositories that lead elsewhere, and words that git obeys."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import PybuildError
from buildkit_py.executor.source.git import resolve_ref
from tests.support import layouts
from tests.support.hostile import CANARY, UP, Machine, build_dockerfile
from tests.support.project import Built, Project
from tests.support.repository import Repository, serve_repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with serve_repository(tmp_path / "repositories") as served:
        yield served


def refused(built: Built, machine: Machine) -> None:
    machine.check(built.result.output)
    assert built.code in (3, 14), built.result.output
    assert re.search("leads out of|leaves the directory|can't be read|has no directory", built.message)


# --- what is no file, directory or link


def special(layout: Path) -> dict[str, tuple[bytes, int, tuple[int, int]]]:
    """Kind, size and device of what the last layer has below `d`."""
    with tarfile.open(fileobj=io.BytesIO(layouts.layers_of(layout)[-1])) as archive:
        found = {
            each.name: (each.type, each.size, (each.devmajor, each.devminor)) for each in archive if each.name != "d"
        }
    return {name.removeprefix("d/"): facts for name, facts in found.items()}


def test_what_is_no_file_directory_or_link_in_a_context(project: Project, tmp_path: Path) -> None:
    """None of it is opened, which could wait for ever or do something, and docs/security.md says what comes of it."""
    place = project.directory / "d"
    place.mkdir()
    os.mkfifo(place / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place / "sock"))
    pipe = (tarfile.FIFOTYPE, 0, (0, 0))
    assert special(project.layout("copy ./d/ to /d")) == {"pipe": pipe}
    os.mknod(place / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    refused = project.build("copy ./d/ to /d")
    assert refused.code == 14, refused.result.output
    assert "is a device" in refused.message
    words = ("-t", "a:1", "-o", f"layout:{tmp_path / 'out'}")
    built = build_dockerfile(project, "FROM scratch\nCOPY d /d\n", *words)
    assert built.code == 0, built.result.output
    null = (tarfile.CHRTYPE, 0, (1, 3))
    assert special(tmp_path / "out") == {"pipe": pipe, "null": null, "sock": (tarfile.REGTYPE, 0, (0, 0))}


# --- links of the context


DOCKERFILE = "FROM base\nCOPY . /all\n"
OWN = 'image a {\nfrom "oci:base"\ncopy ./ to /all\n}\n'


def leads_out(project: Project, machine: Machine, name: str) -> None:
    """Have a file of the directory be a link to one of the machine, which any reader could make sense of."""
    place = project.directory / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(os.path.relpath(machine.path / "secret", place.parent))


@pytest.mark.parametrize("name", ["Dockerfile", "Containerfile", "Buildfile"])
def test_a_build_file_that_is_a_link_out_of_the_context(project: Project, machine: Machine, name: str) -> None:
    """A build file came with its directory, so no link of the directory may lead it elsewhere."""
    leads_out(project, machine, name)
    for words in ((), ("-f", name), ("-f", project.directory / name)):
        built = Built(project.pybuild("build", ".", *words, cwd=project.directory), project)
        refused(built, machine)


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
def test_an_ignore_file_that_is_a_link_out_of_the_context(project: Project, machine: Machine, name: str) -> None:
    """What an ignore file holds shows in what is copied, and in messages about it."""
    leads_out(project, machine, name)
    refused(build_dockerfile(project, DOCKERFILE), machine)


def test_a_directory_that_is_a_link_out_of_the_context(project: Project, machine: Machine) -> None:
    """The same by a link above the build file, its ignore file, or what is copied."""
    (machine.path / "Dockerfile").write_text(DOCKERFILE)
    (machine.path / "Dockerfile.dockerignore").write_text(CANARY)
    (project.directory / "sub").symlink_to(machine.path)
    built = build_dockerfile(project, DOCKERFILE, "-f", "sub/Dockerfile")
    assert built.code == 14 and "leads out of" in built.message, built.result.output
    built = build_dockerfile(project, "FROM base\nCOPY sub/secret /x\n")
    assert built.code == 14 and "sub/secret is not there" in built.message, built.result.output
    assert CANARY not in built.result.output


def test_an_import_and_a_lock_that_are_links_out_of_the_context(project: Project, machine: Machine) -> None:
    """The same for what a Buildfile is made of beside its own text."""
    leads_out(project, machine, "lib.build")
    refused(project.build_file(f"buildfile 1\nimport ./lib.build as lib\n{OWN}"), machine)
    pin = machine.path / "secret"
    pin.write_text(f'version = 1\n[git."x"]\nmain = "{CANARY}"\n')
    leads_out(project, machine, "Buildfile.lock")
    built = project.build_file(f"buildfile 1\n{OWN}")
    updated = Built(project.pybuild("update", cwd=project.directory), project)
    for each in (built, updated):
        assert each.code in (8, 14) and CANARY not in each.result.output, each.result.output


def test_a_directory_of_a_repository_that_is_a_link_out_of_it(
    project: Project, repository: Repository, machine: Machine
) -> None:
    """`#ref:subdir` names a directory of the repository, by whatever way it is asked for."""
    (repository.path / "out").symlink_to(machine.path)
    (repository.path / "up").symlink_to(f"{UP}{machine.path}")
    (repository.path / "lib").mkdir()
    (repository.path / "lib/Dockerfile").symlink_to(machine.path / "secret")
    (repository.path / "lib/kept").write_text("kept")
    repository.commit(Dockerfile="FROM scratch\nCOPY kept /\n")
    for subdir in ("out/b", "up", "lib/../../.."):
        refused(project.build(f'git "{repository.url}" to /src subdir {subdir}', start="scratch"), machine)
    for subdir in ("out/b", "up"):
        refused(build_dockerfile(project, f"FROM base\nADD {repository.url}#main:{subdir} /src\n"), machine)
        refused(build_dockerfile(project, "", context=(f"{repository.url}#main:{subdir}",)), machine)
    refused(build_dockerfile(project, "", context=(f"{repository.url}#main:lib",)), machine)


# --- words that git would take for options


SHIM = """#!/bin/sh
for word; do printf '%s\\n' "$word"; done >> {log}
echo . >> {log}
exec {git} "$@"
"""


def watch_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in which every call of git is written down: a word a line, and a dot at its end."""
    log, place = tmp_path / "calls", tmp_path / "bin"
    place.mkdir()
    log.touch()
    (place / "git").write_text(SHIM.format(log=log, git=shutil.which("git")))
    (place / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return log


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return watch_git(tmp_path, monkeypatch)


REFS = (
    "--upload-pack=touch {}/pwned",
    "-x",
    "--",
    "-",
    "a..b",
    "main --upload-pack=id",
    "main\n--upload-pack=id",
    "@{{1}}",
)
URLS = (
    "--upload-pack=touch {}/pwned",
    "-x",
    "ext::sh -c 'touch {}/pwned'",
    "file://{}",
    "{}",
    "https://-oProxyCommand=touch {}/pwned/x",
    "ssh://-oProxyCommand=touch${{IFS}}{}/pwned/x",
    "git@host:-oProxyCommand=touch {}/pwned",
    "git@-oProxyCommand=id:x",
    "https://example.test/x\n--upload-pack=id",
    "https://example.test/x\0y",
)


def test_a_ref_that_git_would_take_for_an_option(calls: Path, machine: Machine, repository: Repository) -> None:
    """No such word reaches git."""
    repository.commit(app_txt="one")
    calls.write_text("")
    for ref in REFS:
        with pytest.raises(PybuildError):
            resolve_ref(repository.url, ref.format(machine.path))
    assert calls.read_text() == ""
    machine.check()


def test_a_url_that_git_would_take_for_an_option(calls: Path, machine: Machine) -> None:
    """No such word reaches git."""
    for url in URLS:
        with pytest.raises(PybuildError):
            resolve_ref(url.format(machine.path), "main")
    assert calls.read_text() == ""
    machine.check()


def test_words_that_git_would_take_for_options_at_every_way_in(
    project: Project, calls: Path, machine: Machine, repository: Repository
) -> None:
    """Both frontends and the command line; and where a good word reaches git, it stands behind `--`."""
    repository.commit(app_txt="one")
    project = Project(pybuild=project.pybuild.having(PATH=os.environ["PATH"]), directory=project.directory)
    calls.write_text("")
    pwn = f"--upload-pack=touch\\${{IFS}}{machine.path}/pwned"
    for built in (
        project.build(f'git "{repository.url}" at "{pwn}" to /src', start="scratch"),
        project.build(f'git "{pwn}" to /src', start="scratch"),
        build_dockerfile(project, f"FROM scratch\nADD {repository.url}#{pwn} /src\n"),
        build_dockerfile(project, "FROM scratch\n", context=(f"{repository.url}#{pwn}",)),
        build_dockerfile(project, "FROM scratch\n", context=("ssh://-oProxyCommand=id/x.git",)),
    ):
        assert built.code in (3, 14), built.result.output
    assert calls.read_text() == ""
    built = project.ok(f'git "{repository.url}" at main to /src', start="scratch")
    made = [call.split("\n") for call in calls.read_text().split("\n.\n")]
    reached = [call for call in made if repository.url in call]
    assert len(reached) >= 2
    assert all("--" in call[: call.index(repository.url)] for call in reached)
    machine.check(built.result.output)
