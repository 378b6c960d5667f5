"""Row 15: no process that pybuild starts gets the descriptor of a lock, or any other that is not meant for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.build import BASE, Project
from tests.support.command import Pybuild
from tests.support.faulty_registry import Handler, faulty_registry
from tests.support.registry import write_config
from tests.support.running import heard, started

# What `ls` opens itself is the directory that it lists.
LIST = "ls -l /proc/self/fd"
SECRET = "a secret of this test"


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def strangers(listing: str, store: Path) -> list[str]:
    """The lines of a listing that show more than the three streams and `ls`'s own directory."""
    found = [line for line in listing.splitlines() if " -> " in line]
    assert len(found) >= 3, listing
    known = re.compile(r" [012] -> (?:pipe:|socket:|/dev/null|/dev/pts/|\S*/listing-\w+$)| \d -> /proc/\d+/fd$")
    return [line for line in found if not known.search(line) or str(store) in line]


def test_15_steps_and_what_gives_their_secrets(project: Project, tmp_path: Path) -> None:
    """A step, a step of the host and a command for a secret, while their build holds locks of steps and caches."""
    command = program(tmp_path / "bin/secret", f"{LIST} > {tmp_path}/listing-secret\necho '{SECRET}'")
    steps = (
        f"with cache(/c, sharing: locked), secret(token, target: /t)\nrun {LIST}; test -s /t",
        f"with cache(/c, sharing: locked), tool(ls)\nhost {LIST}",
    )
    project.file("\n".join(('secret token "for the test"', "image app {", BASE, *steps, "}")))
    build = project.build("--secret", f"id=token,cmd={command}")
    listings = {event["id"]: "" for event in build.of_kind("Log")}
    assert len(listings) == 2
    for event in build.of_kind("Log"):
        listings[event["id"]] += f"{event['text']}\n"
    listings["secret"] = (tmp_path / "listing-secret").read_text()
    for name, listing in listings.items():
        assert strangers(listing, project.pybuild.store) == [], name


def test_15_git(project: Project, tmp_path: Path) -> None:
    """It fetches while the build holds the lock of the step."""
    git = shutil.which("git")
    program(tmp_path / "bin/git", f'{LIST} >> {tmp_path}/listing-git\nexec {git} "$@"')
    path = f"{tmp_path}/bin:{project.pybuild.variables()['PATH']}"
    project.file(f'image app {{\nfrom scratch\ngit "https://127.0.0.1:1/x.git" at {"a" * 40} to /x\n}}')
    failed = Project(pybuild=project.pybuild.having(PATH=path), directory=project.directory).attempt()
    assert failed.result.code == 14, failed.result.output
    assert strangers((tmp_path / "listing-git").read_text(), project.pybuild.store) == []


def test_15_a_credential_helper(pybuild: Pybuild, tmp_path: Path) -> None:
    answer = json.dumps({"Username": "u", "Secret": SECRET})
    program(tmp_path / "bin/docker-credential-test", f"{LIST} > {tmp_path}/listing-helper\necho '{answer}'")

    def refuse(handler: Handler) -> bool:
        if "Authorization" in handler.headers:
            return False
        handler.reply(401, WWW_Authenticate='Basic realm="test"')
        return True

    with faulty_registry() as registry:
        registry.faults.append(refuse)
        (pybuild.home / ".docker").mkdir()
        (pybuild.home / ".docker/config.json").write_text(json.dumps({"credHelpers": {registry.name: "test"}}))
        there = Pybuild(
            home=pybuild.home,
            store=pybuild.store,
            registries=write_config(tmp_path / "registries.toml", registry.name),
            environment={"PATH": f"{tmp_path}/bin:{pybuild.variables()['PATH']}"},
        )
        assert there("pull", f"{registry.name}/app:1").code == 10
    assert strangers((tmp_path / "listing-helper").read_text(), pybuild.store) == []


def test_15_an_agent_for_a_key_ends_with_a_killed_build(project: Project, tmp_path: Path) -> None:
    """The agent that serves a private key is a process of its own: it gets no descriptor, and does not outlive us."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    project.image("with ssh\nrun echo begun; sleep 600")
    words = ("build", ".", "--progress", "json", "--ssh", f"default={key}")
    # Not below the test's directory: a socket's name is short.
    temporary = tempfile.TemporaryDirectory(prefix="pybuild-")
    with temporary as place, started(project.pybuild.having(TMPDIR=place), *words, cwd=project.directory) as process:
        heard(process.stdout, '"Log"', "begun")
        (agent,) = agents_of(process.pid)
        fds = [os.readlink(path) for path in Path(f"/proc/{agent}/fd").iterdir()]
        assert [name for name in fds if str(project.pybuild.store) in name] == []
        process.kill()
        while Path(f"/proc/{agent}").exists():
            assert Path(f"/proc/{agent}/comm").read_text() == "ssh-agent\n"
            time.sleep(0.02)
        while os.listdir(place):
            time.sleep(0.02)


def test_15_what_forwards_an_agent_is_gone_with_a_killed_build(project: Project) -> None:
    """Its socket lies in the store, where the next start removes what nobody uses."""
    project.image("with ssh\nrun echo begun; sleep 600")
    words = ("build", ".", "--progress", "json", "--ssh")
    with tempfile.TemporaryDirectory(prefix="pybuild-") as place, socket.socket(socket.AF_UNIX) as agent:
        agent.bind(f"{place}/agent")
        agent.listen()
        forwarding = project.pybuild.having(TMPDIR=place)
        with started(forwarding, *words, f"default={place}/agent", cwd=project.directory) as process:
            heard(process.stdout, '"Log"', "begun")
            process.kill()
        assert os.listdir(place) == ["agent"]
    project.pybuild.ok("store", "check")
    assert not [*(project.pybuild.store / "tmp").rglob("agent")]


def agents_of(pid: int) -> list[int]:
    """The agents among the descendants of a process."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], check=True, capture_output=True, text=True).stdout
    table = [line.split(None, 2) for line in rows.splitlines()]
    below = {str(pid)}
    for _ in range(3):
        below |= {row[0] for row in table if row[1] in below}
    return [int(number) for number, _, name in table if number in below and name == "ssh-agent"]
