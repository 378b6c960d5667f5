"""Row 23: Ctrl-C and SIGTERM at any time leave no process, mount or cgroup, and a terminal as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import gate
from tests.support.boxes import RUNTIMES
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.faulty_registry import Handler, faulty_registry
from tests.support.gate import Call
from tests.support.leftovers import cgroups_of, deserted, leftovers
from tests.support.machines import hold_base
from tests.support.registry import write_config
from tests.support.running import heard, started
from tests.support.terminal import Terminal

SIGNALS = pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
# A process that heeds no signal, and one that has left its session; the second time it ends at once.
SLOW = (
    "with cache(/c)",
    "run test -e /c/second && exit; touch /c/second; trap '' INT TERM; (setsid sleep 600 &); echo begun; sleep 600",
)


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


@pytest.fixture(params=RUNTIMES)
def slow(project: Project, request: pytest.FixtureRequest) -> Project:
    """A project with a step that does not end by itself, by every runtime."""
    project.image(*SLOW)
    return replace(project, arguments=("--runtime", request.param))


@SIGNALS
def test_23_in_a_step(slow: Project, sign: int, code: int) -> None:
    words = ("build", ".", "--progress", "json", *slow.arguments)
    with started(slow.pybuild, *words, cwd=slow.directory) as process:
        heard(process.stdout, '"Log"', "begun")
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert b'"outcome": "cancelled"' in out
    assert leftovers(slow.directory.parent) == [] == cgroups_of(process.pid)
    assert list((slow.pybuild.store / "tmp").iterdir()) == []
    assert len(slow.build().processes) == 1
    slow.check()


@SIGNALS
def test_23_again_and_again(slow: Project, sign: int, code: int) -> None:
    """Whoever is impatient presses Ctrl-C until it ends; then the next start has something to tidy up."""
    words = ("build", ".", "--progress", "json", *slow.arguments)
    with started(slow.pybuild, *words, cwd=slow.directory) as process:
        heard(process.stdout, '"Log"', "begun")
        while process.poll() is None:
            process.send_signal(sign)
            try:
                process.wait(0.002)
            except subprocess.TimeoutExpired:
                continue
        err = process.stderr.read() if process.stderr else b""
    assert process.returncode in (code, -sign)
    assert b"Traceback" not in err, err.decode()
    deserted(slow.directory.parent)
    slow.check()
    assert list((slow.pybuild.store / "tmp").iterdir()) == []
    assert len(slow.build().processes) == 1


@pytest.mark.parametrize("keys", ["\x03", "\x03\x03\x03"], ids=["once", "thrice"])
def test_23_at_a_keyboard(project: Project, keys: str) -> None:
    project.image(*SLOW)
    command = (sys.executable, "-m", "buildkit_py.cli", "build", "--progress", "tty", str(project.directory))
    with Terminal(command, project.pybuild.variables()) as terminal:
        before = terminal.settings()
        terminal.expect("begun")
        terminal.type(keys)
        assert terminal.end() == 130
        assert terminal.settings() == before
    assert "Traceback" not in terminal.seen
    # What was switched off is switched on again: the cursor, the colours.
    assert terminal.seen.count("\x1b[?25l") == terminal.seen.count("\x1b[?25h")
    assert terminal.seen.rpartition("\x1b[")[2].startswith(("0m", "?25h", "2K"))
    deserted(project.directory.parent)
    project.check()


@SIGNALS
@pytest.mark.parametrize("at", ["syncfs", "rename", "index.json"])
def test_23_in_the_middle_of_a_commit(project: Project, sign: int, code: int, at: str) -> None:
    """While a snapshot is written out, while a blob gets its name, and while an image gets its own."""
    project.image("run echo x > /x")
    sent: list[Call] = []

    def answer(pid: int, call: Call) -> int:
        fits = call.paths[-1].endswith("index.json") if at == "index.json" else call.name == at
        if fits and not sent:
            sent.append(call)
            os.kill(pid, sign)
        return 0

    words = ("build", "-q", "-t", "app:1", ".")
    ended = gate.run(project.pybuild, *words, cwd=project.directory, below=project.pybuild.store, answer=answer)
    assert sent
    assert ended.result.code == code, ended.result.output
    assert "Traceback" not in ended.result.output
    deserted(project.directory.parent)
    project.check()
    assert list((project.pybuild.store / "tmp").iterdir()) == []
    assert project.build("-t", "app:1").digests


Interrupted = Callable[[Pybuild, str], tuple[str, ...]]


@SIGNALS
@pytest.mark.parametrize("command", ["pull", "push"])
def test_23_in_a_transfer(pybuild: Pybuild, tmp_path: Path, sign: int, code: int, command: str) -> None:
    """In the middle of a layer that comes in, or of one that goes out."""
    with faulty_registry() as registry:
        base = hold_base(registry)
        there = Pybuild(
            home=pybuild.home,
            store=pybuild.store,
            registries=write_config(tmp_path / "registries.toml", registry.name),
        )
        if command == "push":
            there.ok("pull", "-q", base)
            registry.blobs.clear()
        words = (command, base) if command == "pull" else (command, base, f"{registry.name}/other/app:1")
        reached: list[int] = []

        def interrupt(handler: Handler) -> bool:
            wanted = handler.command == "GET" if command == "pull" else handler.command in ("PATCH", "PUT")
            if not wanted or "/blobs/" not in handler.path or reached:
                return False
            if command == "pull":
                handler.reply(200, b"x" * 1000, Content_Length=2_000_000)
                handler.wfile.flush()
            else:
                handler.body(1000)
            reached.append(process.pid)
            process.send_signal(sign)
            process.wait(60)
            handler.close_connection = True
            return True

        registry.faults.append(interrupt)
        with started(there, *words, cwd=tmp_path) as process:
            _, err = process.communicate(timeout=60)
        registry.faults.clear()
        assert reached
        assert (process.returncode, b"Traceback" in err) == (code, False), err.decode()
        assert ("other/app", "1") not in registry.manifests
        there.ok("store", "check")
        there.ok(*words)
        assert command == "pull" or ("other/app", "1") in registry.manifests
        there.ok("store", "check")
