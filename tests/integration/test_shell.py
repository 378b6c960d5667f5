"""`pybuild shell`: a person at a terminal, or a script at its pipes, in an image that nothing leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import bases, layouts
from tests.support.command import Pybuild
from tests.support.layouts import Entry, folder
from tests.support.leftovers import leftovers
from tests.support.terminal import Terminal

RUNTIMES = ("runc", "crun", "bwrap")
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n"


@pytest.fixture
def image(pybuild: Pybuild, tmp_path: Path) -> Pybuild:
    """The image web:1 in the store: busybox, run as a user of its own."""
    more = layouts.layer([folder("home"), folder("home/app"), Entry(name="etc/passwd", data=PASSWD)])
    tiny = layouts.layers_of(bases.layout("tiny"))
    config = {"Env": ["PATH=/bin", "GREETING=hello there"], "User": "app", "WorkingDir": "/srv/app"}
    layouts.write_layout(tmp_path / "base", [*tiny, more], config)
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    where = ("--build-context", f"base=oci-layout://{tmp_path}/base")
    pybuild.ok("build", "-q", "-t", "web:1", *where, ".", cwd=tmp_path)
    pybuild.ok("shell", "web:1", "true")
    return pybuild


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def terminal(pybuild: Pybuild, *words: str) -> Terminal:
    command = [sys.executable, "-m", "buildkit_py.cli", "shell", *words]
    return Terminal(command, {**pybuild.variables(), "TERM": "vt220"})


def test_a_person_at_a_terminal(image: Pybuild, runtime: str) -> None:
    with terminal(image, "--runtime", runtime, "web:1") as screen:
        before = screen.settings()
        screen.expect("$ ")
        screen.type("tty; stty size; echo $TERM; pwd; id -u; echo x-$GREETING\n")
        screen.expect("/dev/pts/0\r\n30 90\r\nvt220\r\n/srv/app\r\n1000\r\nx-hello there\r\n")
        screen.type("sleep 600\n")
        screen.expect("sleep 600\r\n")
        time.sleep(0.3)
        screen.type("\x03")
        screen.expect("$ ")
        screen.type("echo status-$?\n")
        screen.expect("status-130")
        screen.type("sleep 500\n")
        time.sleep(0.3)
        screen.type("\x1a")
        screen.expect("Stopped")
        screen.type("kill %1; fg; echo fore-$?\n")
        screen.expect("fore-143")
        screen.resize(40, 100)
        screen.type("sleep 0.1; stty size\n")
        screen.expect("40 100")
        screen.type("sleep 700 &\n")
        screen.type("exit 7\n")
        assert screen.end() == 7
        assert screen.settings() == before
    assert leftovers(image.store) == []


def test_kill_leaves_nothing(image: Pybuild, runtime: str) -> None:
    with terminal(image, "--runtime", runtime, "--write", "web:1", "sh", "-c", "sleep 3210 & echo up; cat") as screen:
        screen.expect("up\r\n")
        assert any("sleep 3210" in line for line in processes())
        screen.process.kill()
        screen.process.wait()
        gone(lambda: not any("sleep 3210" in line for line in processes()))
        gone(lambda: leftovers(image.store) == [])
    assert json.loads(image.ok("store", "check", "--json").stdout) == []
    assert list((image.store / "tmp").iterdir()) == []


def processes() -> list[str]:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()


def gone(done: object) -> None:
    """Wait for what the kernel does in its own time."""
    for _ in range(600):
        if done():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("something is left")


def test_the_end_of_the_terminal_is_the_end(image: Pybuild) -> None:
    screen = terminal(image, "web:1")
    screen.expect("$ ")
    os.kill(screen.process.pid, signal.SIGHUP)
    assert screen.end() == 143
    screen.__exit__(None, None, None)


def test_pipes(image: Pybuild, runtime: str) -> None:
    data = os.urandom(300_000).hex().encode()
    script = "read line; wc -c; echo told >&2; test -t 0 || echo none; exit 3"
    ran = image("shell", "--runtime", runtime, "web:1", "--", "sh", "-c", script, stdin=b"first\n" + data)
    assert (ran.code, ran.stdout.split(), ran.stderr) == (3, [str(len(data)), "none"], "told\n")
    ran = image("shell", "--runtime", runtime, "web:1", "sh", "-c", "kill -9 $$")
    assert ran.code == 137
    assert image.ok("shell", "--runtime", runtime, "web:1", "cat", "/dev/stdin", stdin=b"by name").stdout == "by name"
    assert image.ok("shell", "--runtime", runtime, "web:1", stdin=b"echo a script\n").stdout == "a script\n"


def test_a_closed_stdin(image: Pybuild) -> None:
    """What the store opens would get its number, and be read by the process inside."""
    command = f"{sys.executable} -m buildkit_py.cli shell web:1 -- sh -c 'cat; echo end' <&-"
    ran = subprocess.run(["sh", "-c", command], env=image.variables(), capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "end\n", "")


def test_nothing_can_be_written_and_nobody_reached(image: Pybuild, runtime: str) -> None:
    script = "touch /x; mkdir /tmp/y; ls /sys/class/net; touch /srv/app/z && echo scratch; mount -o remount,rw /"
    ran = image("shell", "--runtime", runtime, "--user", "0", "web:1", "sh", "-c", script)
    assert ran.stdout.split() == ["lo", "scratch"]
    assert ran.stderr.count("Read-only file system") == 2
    assert ran.code != 0
    status = image.ok("shell", "--runtime", runtime, "web:1", "cat", "/proc/self/status").stdout
    assert "CapEff:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status


def test_what_is_written_is_thrown_away(image: Pybuild, runtime: str) -> None:
    write = "echo changed > /etc/passwd; rm /bin/vi; cat /etc/passwd"
    words = ("shell", "--runtime", runtime, "--write", "-u", "0:0", "web:1", "sh", "-c")
    assert image.ok(*words, write).stdout == "changed\n"
    assert image.ok(*words, "ls /bin/vi; head -n 1 /etc/passwd").stdout.split()[0] == "/bin/vi"
    assert list((image.store / "tmp").iterdir()) == []
    assert json.loads(image.ok("store", "check", "--json").stdout) == []


def test_what_it_is_given(image: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir(mode=0o777)
    (tmp_path / "given").chmod(0o777)
    (tmp_path / "given/file").write_text("of the machine\n")
    mounts = ("--mount", f"{tmp_path}/given:/in:ro", "--mount", f"{tmp_path}/given:/out", "--mount", "/etc/hostname:/h")
    script = "cat /in/file; pwd; echo $A $B $HOME; touch /in/x; echo made > /out/made; test -s /h && echo h"
    asked = ("--env", "A=1", "-e", "B", "-e", "NOT_HERE", "-w", "/home/app", *mounts)
    ran = image.having(B="2")("shell", *asked, "web:1", "sh", "-c", script)
    assert ran.stdout.splitlines() == ["of the machine", "/home/app", "1 2 /home/app", "h"]
    assert "/in/x: Read-only file system" in ran.stderr
    assert (tmp_path / "given/made").read_text() == "made\n"
    assert image.ok("shell", "--network", "web:1", "ls", "/sys/class/net").stdout.split() == sorted(
        os.listdir("/sys/class/net")
    )


def test_an_image_without_a_shell(pybuild: Pybuild, tmp_path: Path) -> None:
    program = Entry(name="app", data=Path("/bin/busybox").read_bytes(), mode=0o755)
    config = {"Entrypoint": ["/app", "serve"], "Cmd": ["--port", "80"]}
    layouts.write_layout(tmp_path / "base", [layouts.layer([program])], config)
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    where = ("--build-context", f"base=oci-layout://{tmp_path}/base")
    pybuild.ok("build", "-q", "-t", "bare:1", *where, ".", cwd=tmp_path)
    refused = pybuild("shell", "bare:1")
    assert refused.code == 16
    assert "bare:1 has no shell; it runs /app serve --port 80" in refused.stderr
    assert "pybuild shell bare:1 -- COMMAND" in refused.stderr
    missing = pybuild("shell", "bare:1", "/bin/ls")
    assert (missing.code, "/bin/ls: no such file" in missing.stderr) == (127, True)
    (tmp_path / "file").write_text("x")
    not_one = pybuild("shell", "--mount", f"{tmp_path}/file:/file", "bare:1", "/file")
    assert not_one.code == 126


def test_a_foreign_platform(pybuild: Pybuild, tmp_path: Path) -> None:
    layouts.write_layout(tmp_path / "base", [layouts.layer([Entry(name="a")])], architecture="s390x")
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    where = ("--platform", "linux/s390x", "--build-context", f"base=oci-layout://{tmp_path}/base")
    pybuild.ok("build", "-q", "-t", "far:1", *where, ".", cwd=tmp_path)
    refused = pybuild("shell", "far:1", "true")
    assert (refused.code, "far:1 is for linux/s390x" in refused.stderr) == (9, True), refused.output
