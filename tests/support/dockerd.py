"""Debian's dockerd, with everything it keeps in one directory, ended by its own pid."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_STARTED = 30.0
"""Seconds that it may take to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerd:
    """A daemon that reaches no network but the host's loopback; clients find it at `host`."""

    host: str
    pids: tuple[int, ...]


@contextmanager
def serve_dockerd(root: Path) -> Iterator[Dockerd]:
    """Start dockerd, and stop it when the block ends; what it says is in `root/log`."""
    root.mkdir(parents=True)
    (root / "daemon.json").write_text("{}")
    host = f"unix://{root}/s"  # short: a socket's path has 107 characters at most
    places = ("--data-root", root / "data", "--exec-root", root / "exec", "--pidfile", root / "pid")
    network = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false")
    settings = ("--config-file", root / "daemon.json", "--group", "root", "--host", host)
    words = [os.fspath(word) for word in ("dockerd", *settings, *places, *network)]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_ENVIRONMENT)
    try:
        _wait(process, host, root / "log")
        yield Dockerd(host=host, pids=(process.pid, *_children(process.pid)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    end = time.monotonic() + _STARTED
    ask = ("/usr/bin/docker", "--host", host, "version")
    while subprocess.run(ask, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"dockerd does not start: {log.read_text()[-3000:]}")
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    found = [Path(f"/proc/{pid}/task/{task.name}/children") for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for file in found for child in file.read_text().split()]
