"""Host steps by the real command: the machine's programs change a tree, see nothing private and change nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import debian, packages
from tests.support.command import Pybuild
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")
CANARY = "canary-of-the-machine"


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(pybuild=pybuild.having(PLANTED=CANARY), directory=directory)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_host_step_needs_nothing_in_the_tree(project: Project, runtime: str) -> None:
    body = """
    with tool(python3)
    host {
        #!/usr/bin/env python3
        import os, pathlib
        root = pathlib.Path(os.environ["ROOTFS"])
        (root / "made").write_text("by the machine's python\\n")
        os.chown(root / "made", 1234, 5678)
        print(sorted(set(os.environ) - {"LC_CTYPE"}), os.getcwd())
    }
    """
    assert project.ok(body, "--runtime", runtime, start="scratch").printed() == [
        "['HOME', 'PATH', 'ROOTFS', 'SOURCE_DATE_EPOCH'] /"
    ]
    made = project.files(body, start="scratch")["/made"]
    assert (made.text, made.uid, made.gid, made.mtime) == ("by the machine's python\n", 1234, 5678, 0)


@pytest.fixture
def machine_tool() -> Iterator[Path]:
    """A program that host steps find; made for the test, and removed."""
    path = Path(f"/usr/local/bin/pybuild-test-tool-{os.getpid()}")
    path.write_text("#!/bin/sh\necho version 1\n")
    path.chmod(0o755)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def test_another_version_of_a_tool_is_another_key(project: Project, machine_tool: Path) -> None:
    body = f"with tool({machine_tool.name})\nhost {machine_tool.name} | tee $ROOTFS/version"
    assert project.ok(body, start="scratch").printed() == ["version 1"]
    assert project.ok(body, start="scratch").ran == 0
    machine_tool.touch()
    assert project.ok(body, start="scratch").ran == 0
    machine_tool.write_text("#!/bin/sh\necho version 2\n")
    assert project.ok(body, start="scratch").printed() == ["version 2"]
    machine_tool.unlink()
    built = project.build(body, start="scratch")
    assert built.code == 9
    assert f"the tool `{machine_tool.name}` is not installed" in built.message


def test_a_host_step_that_fails(project: Project) -> None:
    built = project.build("host echo on >&2; touch $ROOTFS/x; exit 4", start="scratch")
    assert built.code == 5
    assert "Buildfile:4:1: error: host echo on" in built.message
    assert ": ended with exit code: 4\n" in built.message


def test_dnf_installs_a_root(project: Project, tmp_path: Path) -> None:
    tree, repository = tmp_path / "tree", tmp_path / "repository"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/greet").write_text("#!/bin/sh\necho hello\n")
    (tree / "usr/bin/greet").chmod(0o755)
    repository.mkdir()
    packages.rpm(repository, "greet", "1.0", tree)
    packages.rpm_index(repository)
    shutil.copytree(repository, project.directory / "rpms")
    body = """
    with tool(dnf), mount(./rpms, at: /srv/rpms)
    host {
        dnf --quiet --assumeyes --installroot="$ROOTFS" --releasever=1 --setopt=reposdir=/none \\
            --repofrompath=local,file:///srv/rpms --nogpgcheck --setopt=install_weak_deps=0 install greet
        rpm --root "$ROOTFS" --query greet
    }
    """
    built = project.ok(body, start="scratch")
    assert built.printed()[-1].startswith("greet-1.0-1.")
    files = project.files(body, start="scratch")
    assert files["/usr/bin/greet"].mode == 0o755
    assert not [name for name in files if name.startswith(("/dev/", "/proc/", "/sys/"))]


@pytest.mark.slow
def test_mmdebstrap_makes_a_root_from_the_mirror_of_the_machine(project: Project) -> None:
    body = """
    with tool(mmdebstrap), network
    host mmdebstrap --quiet --variant=essential $SUITE "$ROOTFS"
    test "runs" {
        run dpkg --version
    }
    """.replace("$SUITE", debian.SUITE)
    built = project.ok(body, start="scratch")
    assert any("Debian 'dpkg' package management program" in line for line in built.printed())
    files = project.files(body, start="scratch")
    assert not [name for name in files if name.startswith(("/dev/", "/proc/", "/sys/"))]
    assert files["/etc/passwd"].uid == 0
