"""The supervisor is forked while other threads hold locks that its processes can't have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BUSYBOX = shutil.which("busybox")
RUNTIMES = ("runc", "crun", "bwrap")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (package busybox-static)"),
]

PROGRAM = """
import builtins, importlib, logging, os, sys, threading, time
from pathlib import Path
from buildkit_py.executor.sandbox import CAPABILITIES, DirectoryRoot, Runner, SandboxSpec, pick_runtime

name, place = sys.argv[1], Path(sys.argv[2])
held, stop, parent = threading.Semaphore(0), threading.Event(), os.getpid()


class Late:
    "Tells of every import that a forked process makes."

    def find_spec(self, name, path=None, target=None):
        if os.getpid() != parent:
            os.write(2, f"late import: {name}\\n".encode())


def module_lock():
    (place / "slow.py").write_text("import builtins; builtins.reached(); builtins.go_on.wait()")
    sys.path.insert(0, str(place))
    builtins.reached, builtins.go_on = held.release, stop
    import slow


def lock(acquire):
    def run():
        with acquire():
            held.release()
            stop.wait()
    return run


def output():
    "Fills the pipe of stdout, and so holds the lock of its buffer."
    held.release()
    try:
        while True:
            sys.stdout.buffer.write(bytes(1 << 20))
    except OSError:
        pass


def garbage():
    held.release()
    while not stop.is_set():
        cycle = [bytes(1000) for _ in range(100)]
        cycle.append(cycle)


class Finalized:
    def __del__(self):
        if os.getpid() != parent:
            os.write(2, b"a finalizer ran\\n")


handler = logging.StreamHandler(sys.stderr)
works = [module_lock, output, garbage, garbage, lock(lambda: handler.lock), lock(threading.Lock)]
threads = [threading.Thread(target=work, daemon=True) for work in works]
for thread in threads:
    thread.start()
for _ in threads:
    held.acquire()
time.sleep(0.05)
sys.meta_path.insert(0, Late())
for _ in range(50):
    one = Finalized()
    one.itself = one
heard = []
granted = ("NET_RAW", "SYS_PTRACE")
with Runner(pick_runtime(name), place / "state") as runner:
    for capabilities in ((), granted):
        spec = SandboxSpec(
            root=DirectoryRoot(path=str(place / "tree")), args=("/busybox", "echo", "ran"), capabilities=capabilities
        )
        runner.run(spec, lambda stream, data: heard.append(data))
    refused = runner.overlay_refusal(place)
os.write(2, b"".join(heard) + str(refused).encode())
os._exit(0)
"""


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("_attempt", range(3))
def test_a_supervisor_is_forked_while_threads_hold_every_lock(name: str, _attempt: int, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert BUSYBOX is not None
    shutil.copy(BUSYBOX, tmp_path / "tree/busybox")
    command = [sys.executable, "-c", PROGRAM, name, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as ran:
        assert ran.stderr is not None
        said = ran.stderr.read()
    assert (ran.returncode, said.decode()) == (0, "ran\nran\nNone")
