"""The daemons that a run needs, on loopback, each ended by its own pid: a registry, and dockerd for its client."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STARTED = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerd:
    """A daemon that reaches no network but the host's loopback."""

    host: str
    pids: tuple[int, ...]


@contextmanager
def serve_docker(root: Path) -> Iterator[Dockerd]:
    """Start dockerd with everything it keeps in `root`."""
    root.mkdir(parents=True)
    (root / "daemon.json").write_text("{}")
    host = f"unix://{root}/s"
    places = ("--data-root", root / "data", "--exec-root", root / "exec", "--pidfile", root / "pid")
    network = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false")
    settings = ("--config-file", root / "daemon.json", "--group", "root", "--host", host)
    words = [os.fspath(word) for word in ("dockerd", *settings, *places, *network)]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={"PATH": PATH}, start_new_session=True
        )
    try:
        _wait(process, Path(host.removeprefix("unix://")), root / "log")
        yield Dockerd(host=host, pids=(process.pid, *_children(process.pid)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    end = time.monotonic() + _STARTED
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"dockerd does not start: {log.read_text()[-3000:]}")
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    found = [Path(f"/proc/{pid}/task/{task.name}/children") for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for file in found for child in file.read_text().split()]
