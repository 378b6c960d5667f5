"""The environment of the programs that a build starts: what who builds has in theirs is none of their business."""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import cache
from tests.support.command import ROOT
from tests.support.project import Project
from tests.support.repository import Repository, serve_repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with serve_repository(tmp_path / "repositories") as served:
        yield served


STRACE = ("strace", "-f", "-qq", "-v", "-s", "100000", "-e", "trace=execve,execveat", "-o")
LOOK = "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"
PROGRAM = re.compile(r'exec(?:ve|veat)\((?:[^"]*, )?"([^"]*)"')


def test_the_environment_of_every_helper(
    project: Project, repository: Repository, tmp_path: Path, way: tuple[str, ...]
) -> None:
    """CVE-2021-3602: of all that is executed, whoever executes it, pybuild alone is given the canary."""
    canary, log, key = secrets.token_hex(16), tmp_path / "executed", tmp_path / "key"
    cache.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    repository.commit(app_txt="one")
    pybuild = replace(project.pybuild.having(PLANTED_TOKEN=canary), wrapper=(*STRACE, str(log)))
    body = f"""
    git "{repository.url}" at main to /src
    with ssh, secret(word, env: WORD)
    run {LOOK}
    host {LOOK}
    """
    given = ("--ssh", f"default={key}", "--secret", "id=word,cmd=printenv HOME")
    built = Project(pybuild=pybuild, directory=project.directory).ok(body, *way, *given, head="secret word")
    lines = [line for line in log.read_text(errors="replace").splitlines() if PROGRAM.search(line)]
    told = [line for line in lines if canary in line]
    assert len(told) == 1 and "buildkit_py.cli" in told[0], "\n".join(told)[:4000]
    programs = {Path(found[1]).name for line in lines if (found := PROGRAM.search(line))}
    assert {"git", "ssh-agent", "ssh-add", "printenv", "cat", way[1]} <= programs, programs
    assert "WORD=***" in built.printed()
    assert canary not in built.result.output


STARTS = {"subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}
BARE = {
    "os.system",
    "os.popen",
    "os.execv",
    "os.execvp",
    "os.execl",
    "os.execlp",
    "os.spawnv",
    "os.spawnl",
    "os.spawnvp",
}


def test_every_program_is_given_an_environment_of_its_own() -> None:
    """CVE-2021-3602: none is started with what pybuild itself has, but the command that a person gives to `mount`."""
    found: list[str] = []
    for directory in ("buildkit_py", "frontends"):
        for file in sorted((ROOT / directory).rglob("*.py")):
            text = file.read_text()
            if not any(f"{name}(" in text for name in STARTS | BARE):
                continue
            for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
                name = ast.unparse(call.func)
                if name in BARE or (name in STARTS and not any(each.arg == "env" for each in call.keywords)):
                    found.append(str(file.relative_to(ROOT)))
    assert found == ["buildkit_py/cli/mount.py"]
