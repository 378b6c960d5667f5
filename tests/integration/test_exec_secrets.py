"""Secrets in real builds: they reach the steps that are granted them, and nothing else ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.canary import VALUE, found_in
from tests.support.command import Pybuild
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")
HEAD = "secret token"


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    (tmp_path / "token").write_text(f"{VALUE}\n")
    made = Project(pybuild=pybuild, directory=directory, arguments=("--secret", f"id=token,src={tmp_path}/token"))
    made.base()
    return made


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_as_a_file_and_as_a_variable(project: Project, store: Path, runtime: str) -> None:
    body = f"""
    with secret(token)
    run grep -q -x -F '{VALUE[:-2]}'%7 /run/secrets/token; stat -c '%u %a %s' /run/secrets/token
    with secret(token, env: TOKEN)
    run echo ${{#TOKEN}}; test ! -e /run/secrets
    with secret(token, target: /etc/deep/token.conf, env: TOKEN)
    host wc -c < /etc/deep/token.conf; echo ${{#TOKEN}}
    user 77
    with secret(token)
    run head -c 7 /run/secrets/token; echo; stat -c '%u %a' /run/secrets/token
    run test ! -e /run/secrets/token; env | grep -c TOKEN || true
    """
    built = project.ok(body, "--runtime", runtime, head=HEAD)
    size = str(len(VALUE) + 1)
    # A variable holds the file's final newline too.
    assert built.printed() == [f"0 400 {size}", size, size, size, "correct", "77 400", "0"]
    assert found_in(store) == []
    assert not [name for name in project.added(body, head=HEAD) if "secret" in name or "deep" in name]


def test_an_optional_one_that_is_not_given(project: Project) -> None:
    head = "secret token\nsecret other"
    body = """
    with secret(other, optional: true), secret(token, env: T)
    run ls /run/secrets 2>/dev/null || echo none
    with secret(other, env: OTHER, optional: true)
    run echo "<$OTHER>"
    """
    assert project.lines(body, head=head) == ["none", "<>"]


def test_a_required_one_that_is_not_given(project: Project) -> None:
    built = project.build("run true\nwith secret(other)\nrun true", head='secret other "the other one"')
    assert built.code == 2
    assert "Buildfile:7:1: error: the step needs the secret 'other': the other one" in built.message
    assert not [event for event in built.events if event["event"] == "Started"]


@pytest.mark.parametrize(
    ("spec", "environment"),
    [
        ("id=token,env=FROM", {"FROM": VALUE}),
        (f"id=token,cmd=printf %s {VALUE}", {}),
        (f"id=token,cmd=sh -c 'echo noise >&2; echo {VALUE}'", {}),
    ],
)
def test_where_one_may_come_from(project: Project, spec: str, environment: dict[str, str]) -> None:
    other = Project(pybuild=project.pybuild.having(**environment), directory=project.directory)
    body = "with secret(token, env: T)\nrun echo $T ${#T}; echo ${FROM:-unseen}"
    assert other.lines(body, "--secret", spec, head=HEAD) == [f"*** {len(VALUE)}", "unseen"]


def test_a_command_that_fails_shows_nothing_of_itself(project: Project) -> None:
    other = Project(pybuild=project.pybuild, directory=project.directory)
    spec = f"id=token,cmd=sh -c 'echo {VALUE}; echo {VALUE} >&2; exit 3'"
    built = other.build("with secret(token)\nrun true", "--secret", spec, head=HEAD)
    assert built.code == 14
    assert "Buildfile:6:1: error:" in built.message
    assert "the command for the secret 'token' ended with status 3" in built.message
    assert VALUE not in built.result.output


MEET = """
import os, socket, sys, time
own, place = socket.socket(socket.AF_UNIX), "\\0{name}"
if sys.argv[1] == "read":
    own.bind(place)
    own.listen()
    while (got := own.accept()[0].recv(99)) == b"waits":
        pass
    print("got", got.decode().strip())
else:
    for _ in range(500):
        if not own.connect_ex(place):
            break
        time.sleep(0.02)
    own.send(os.environ.get("T", "waits").encode())
"""


def test_a_secret_of_another_step_is_redacted_too(project: Project) -> None:
    """It comes by way of the machine's network, to a step that began before the secret was read."""
    project.write({"meet.py": MEET.format(name=project.directory)})
    stages = """
    secret token
    stage script {
        from "oci:base"
        copy ./meet.py to /meet.py
    }
    stage reader {
        from script
        with network, tool(python3)
        host python3 $ROOTFS/meet.py read
    }
    stage waits {
        from script
        with network, tool(python3)
        host python3 $ROOTFS/meet.py write
    }
    stage writer {
        from waits
        with network, tool(python3), secret(token, env: T)
        host python3 $ROOTFS/meet.py write
    }
    """
    body = "copy /etc/passwd to /1 from reader\ncopy /etc/passwd to /2 from writer"
    assert project.lines(body, head=stages) == ["got ***"]


def test_the_value_is_in_no_key(project: Project, tmp_path: Path) -> None:
    body = 'with secret(token, env: T)\nrun test -n "$T"; touch /x'
    assert project.ok(body, head=HEAD).ran > 0
    (tmp_path / "token").write_text("another-value-altogether")
    assert project.ok(body, head=HEAD).ran == 0
