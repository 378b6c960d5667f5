"""What the machine keeps or shows of a secret: core files, swap, agents that outlive a build, reports of faults; and
what a host step can't see of who builds."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.support import bases
from tests.support.boxes import Box
from tests.support.canary import found_in, holds, planted
from tests.support.command import Pybuild
from tests.support.planted import Planted
from tests.support.project import Project
from tests.support.weaken import weakened

Way = tuple[str, ...]


def test_a_step_that_crashes_leaves_no_core_file(pybuild: Pybuild, tmp_path: Path) -> None:
    """Also none for a program that cores are piped to, which a limit of 0 would not stop (core(5)); who wants one says
    so."""
    planted = Planted.make(pybuild, tmp_path, "Dockerfile")
    planted.write("grep 'core file' /proc/self/limits; touch /meet/up")
    result = planted.build()
    assert result.code == 0, result.output
    assert "Max core file size        1 " in result.stdout
    assert "Max core file size        4096 " in planted.build("--no-cache", "--ulimit", "core=4096").stdout


def test_a_secret_file_is_never_swapped_out(box: Box) -> None:
    """It lies on a file system in memory of its own, which the kernel may not page out."""
    from buildkit_py.executor.sandbox import FileMount

    mount = FileMount(data=b"s3cret", target="/run/secrets/key")
    (line,) = box.lines("grep ' /run/secrets/key ' /proc/self/mountinfo", mounts=(mount,))
    assert " - tmpfs " in line and "noswap" in line.rpartition(" - ")[2]


def test_a_report_of_a_fault_shows_no_secret(pybuild: Pybuild, tmp_path: Path) -> None:
    """An error of pybuild's own holds all that it knows of a step."""
    planted = Planted.make(weakened(pybuild, tmp_path / "patch", "tests.security.weak_leaks:tell_all"), tmp_path)
    planted.write("touch /meet/up")
    result = planted.build()
    assert "internal error" in result.stderr and "SandboxSpec(" in result.output, result.output
    assert not planted.said(result)
    assert planted.left() == []


@pytest.fixture
def home(pybuild: Pybuild, tmp_path: Path) -> Pybuild:
    """Somebody who builds, with credentials where programs look for them."""
    secret = planted()
    for name in (
        ".docker/config.json",
        ".netrc",
        ".ssh/id_ed25519",
        ".config/containers/auth.json",
        ".aws/credentials",
    ):
        place = pybuild.home / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"auths": {"r.example": {"auth": secret}}}))
    variables = ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PYBUILD_KEY_PASSWORD", "DOCKER_AUTH_CONFIG")
    return pybuild.having(
        **dict.fromkeys(variables, secret), DOCKER_CONFIG=str(pybuild.home / ".docker"), PLANTED=secret
    )


def test_a_host_step_sees_nothing_of_who_builds(home: Pybuild, tmp_path: Path, way: Way) -> None:
    """Not the environment, the home, the agent's socket, /var, /etc/shadow, other processes or abstract sockets."""
    secret = home.environment["PLANTED"]
    bases.place("tiny", tmp_path / "project/base")
    with socket.socket(socket.AF_UNIX) as agent, socket.socket(socket.AF_UNIX) as abstract:
        agent.bind(f"/var/tmp/{secret[:8]}")
        agent.listen()
        abstract.bind(f"\0{secret[:8]}")
        abstract.listen()
        try:
            owner = home.having(SSH_AUTH_SOCK=f"/var/tmp/{secret[:8]}")
            project = Project(pybuild=owner, directory=tmp_path / "project", arguments=way)
            built = project.ok(_looks(home.home, f"/var/tmp/{secret[:8]}", secret[:8]))
        finally:
            Path(f"/var/tmp/{secret[:8]}").unlink()
    assert built.printed() == ["0", "/tmp", "none", "0", "0", "0"]
    assert not holds(built.result.output.encode(), secret)
    assert found_in(tmp_path / "store", secret) == []


def _looks(home: Path, agent: str, abstract: str) -> str:
    places = f"{home} {home}/.docker/config.json {agent} /etc/shadow /var/lib/dpkg /run/docker.sock"
    return f"""
    host {{
        cat /proc/*/environ | tr '\\0' '\\n' | grep -c -e PLANTED -e TOKEN -e AWS -e DOCKER -e PYBUILD || true
        echo "$HOME"
        echo "${{SSH_AUTH_SOCK:-none}}"
        ls -d {places} 2> /dev/null | wc -l
        ls -A /root /home /var/lib 2> /dev/null | grep -v : | grep -c . || true
        grep -c {abstract} /proc/net/unix || true
    }}
    """
