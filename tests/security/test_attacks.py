"""What was tried by somebody who reads the source, beyond the rows; what succeeded once, and what never did."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support import bases
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.running import interrupted


def test_git_obeys_no_repository_that_the_build_is_in(pybuild: Pybuild, tmp_path: Path) -> None:
    """A context with a `.git` of its own named a program, which git started to reach another repository."""
    context, canary = tmp_path / "context", tmp_path / "canary"
    subprocess.run(["git", "init", "--quiet", context], check=True)
    program = context / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\n")
    program.chmod(0o755)
    with (context / ".git/config").open("a") as file:
        file.write(f"[core]\n\tgitProxy = {program}\n\tsshCommand = {program}\n[credential]\n\thelper = !{program}\n")
    for url in ("git://127.0.0.1:9/x.git", "ssh://127.0.0.1:9/x.git", "http://127.0.0.1:9/x.git"):
        (context / "Dockerfile").write_text(f"FROM scratch\nADD {url} /x\n")
        assert pybuild("build", ".", cwd=context).code != 0
    assert not canary.exists()


def test_a_file_larger_than_the_disk_keeps_nobody_waiting(pybuild: Pybuild, tmp_path: Path) -> None:
    """A sparse file costs a step nothing; whoever stops the build while it is read has it stopped."""
    project = Project.make(pybuild, tmp_path / "project")
    project.image('layer "l" {', "run truncate -s 8000G /sparse && echo written", "}")
    assert interrupted(pybuild, cwd=project.directory, at="written") == 130


def test_a_tree_deeper_than_any_path(pybuild: Pybuild, tmp_path: Path) -> None:
    """Directories in one another, joined by renames until no path reaches the last: refused, and cleaned up."""
    project = Project.make(pybuild, tmp_path / "project")
    chain = "/".join("d" for _ in range(1_900))
    script = f"mkdir -p /w/a/{chain} /w/b/{chain} && mv /w/a /w/b/{chain}/"
    project.write({"deep.sh": script})
    project.image('layer "l" {', "copy ./deep.sh to /deep.sh", "run sh /deep.sh", "}")
    build = project.attempt()
    assert build.result.code == 5
    assert "leads through more than 255 directories" in build.result.output
    project.check()


def test_a_build_file_names_no_base_of_another(pybuild: Pybuild, tmp_path: Path) -> None:
    """`output store "docker.io/library/python:3"` made an image that later builds took for Python."""
    project = Project.make(pybuild, tmp_path / "project")
    name = "docker.io/library/planted:3"
    project.image('write /planted "x"', f'output store "{name}"')
    project.build()
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "Dockerfile").write_text("FROM planted:3\n")
    (tmp_path / "nowhere.toml").write_text('[registry."docker.io"]\nmirrors = ["127.0.0.1:9"]\n')
    offline = pybuild.having(
        PYBUILD_REGISTRIES=str(tmp_path / "nowhere.toml"), https_proxy="http://127.0.0.1:9", no_proxy=""
    )
    refused = offline("build", ".", cwd=victim)
    assert refused.code == 10, refused.output
    assert "FROM sees only names that were given" in refused.stderr
    project.build("-t", name)
    given = pybuild.ok("inspect", name).stdout
    project.image('write /planted "y"', f'output store "{name}"')
    assert "the name was given to another image" in project.build().result.output
    assert pybuild.ok("inspect", name).stdout == given


def test_build_files_that_are_none(pybuild: Pybuild, tmp_path: Path) -> None:
    """A pipe that never ends, a file larger than memory, text that a terminal would obey."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "huge").touch()
    os.truncate(context / "huge", 1 << 40)
    os.mkfifo(context / "pipe")
    (context / "loud").write_text("FROM scratch\nCOPY \x1b]0;title\x07\x1b[2J /x\n\x1b[31mRUN\n")
    (context / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:\x1b[2Jx"\n}\n')
    for arguments in (("-f", "huge"), ("-f", "pipe"), ("-f", "loud"), ("-f", "Buildfile")):
        refused = pybuild("build", *arguments, ".", cwd=context)
        assert refused.code in (3, 14), refused.output
        assert "\x1b" not in refused.output
    for name in (".dockerignore", "Buildfile.lock"):
        for odd in ("huge", "pipe"):
            (context / "Buildfile").write_text("buildfile 1\nimage a {\nfrom scratch\ncopy . to /x\n}\n")
            (context / "Dockerfile").write_text("FROM scratch\nCOPY loud /x\n")
            (context / odd).rename(context / name)
            file = "Dockerfile" if name == ".dockerignore" else "Buildfile"
            assert pybuild("build", "-f", file, ".", cwd=context).code != 0
            (context / name).rename(context / odd)


def test_what_lies_beside_the_directory_of_a_build(pybuild: Pybuild, tmp_path: Path) -> None:
    """A layout elsewhere, a link to one, a lock file that is a link: none is read as a base, none is written."""
    bases.place("tiny", tmp_path / "private")
    context, canary = tmp_path / "context", tmp_path / "canary"
    context.mkdir()
    canary.write_text("canary\n")
    (context / "link").symlink_to("../private")
    for name in (f"oci:{tmp_path}/private", "oci:../private", "oci:link", f"docker-archive:{canary}"):
        (context / "Dockerfile").write_text(f"FROM {name}\nCOPY Dockerfile /x\n")
        assert pybuild("build", ".", cwd=context).code != 0
        (context / "Dockerfile").write_text(f"FROM scratch\nCOPY --from={name} / /x\n")
        assert pybuild("build", ".", cwd=context).code != 0
    (context / "Buildfile").write_text("buildfile 1\nimage a {\nfrom scratch\ncopy ./Buildfile to /x\n}\n")
    (context / "Buildfile.lock").symlink_to(canary)
    assert pybuild("build", "-f", "Buildfile", ".", cwd=context).code != 0
    assert canary.read_text() == "canary\n"
