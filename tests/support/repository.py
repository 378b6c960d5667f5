"""A git repository on loopback, offered by git's own daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import cache
from tests.support.registry import free_port


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository with a working directory; `url` is where the daemon offers it."""

    path: Path
    url: str

    def git(self, *arguments: str) -> str:
        """What git says to a command."""
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
        return cache.run("git", *who, *arguments, cwd=self.path).strip()

    def commit(self, **files: str) -> str:
        """Commit all there is, and files whose names have `_` for the dot; gives the commit."""
        for name, text in files.items():
            (self.path / name.replace("_", ".")).write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", "x")
        return self.git("rev-parse", "HEAD")


@contextmanager
def serve_repository(root: Path) -> Iterator[Repository]:
    """An empty repository `app` in the new directory `root`."""
    (root / "app").mkdir(parents=True)
    port = free_port()
    made = Repository(root / "app", f"git://127.0.0.1:{port}/app")
    made.git("init", "--quiet")
    words = ("--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={root}", "--reuseaddr", str(root))
    process = subprocess.Popen(["git", "daemon", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            threading.Event().wait(0.02)
        yield made
    finally:
        # The command forks the daemon proper: both are its own process group's, or its children.
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), 15)
        process.terminate()
        process.wait()
