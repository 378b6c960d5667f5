"""What the cases fetch: a web server with a few files, and a repository behind git's own server, both on loopback."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.differential.case import archive
from tests.support import cache, httpd
from tests.support.layouts import Entry
from tests.support.registry import free_port

TEXT = b"fetched\n"
ARCHIVE = archive(Entry(name="p/y", data=b"y", mode=0o640, uid=3, gid=4))
COMMIT_LENGTH = 40


def checksum(data: bytes) -> str:
    """The digest of bytes as --checksum wants it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@contextmanager
def serve_places(root: Path) -> Iterator[Mapping[str, str]]:
    """Serve both; gives the address for each placeholder of a Dockerfile."""
    files = root / "files"
    files.mkdir(parents=True)
    (files / "file.txt").write_bytes(TEXT)
    (files / "other.txt").write_text("other\n")
    (files / "a.tar").write_bytes(ARCHIVE)
    _repository(root)
    with httpd.serve(files) as web, _git_server(root / "git") as git:
        yield {"@HTTP@": web.url.rstrip("/"), "@GIT@": git}


def _repository(root: Path) -> None:
    work = root / "work"
    (work / "sub").mkdir(parents=True)
    (work / "sub" / "b.txt").write_text("b\n")
    (work / "a.txt").write_text("first\n")
    _git(work, "init", "--quiet", "--initial-branch=main")
    _commit(work, "one")
    _git(work, "tag", "v1")
    (work / "a.txt").write_text("second\n")
    (work / "run").write_text("#!/bin/sh\n")
    (work / "run").chmod(0o755)
    _commit(work, "two")
    _git(root, "clone", "--quiet", "--bare", str(work), str(root / "git" / "repo.git"))
    shutil.rmtree(work)


def _commit(work: Path, message: str) -> None:
    _git(work, "add", ".")
    _git(work, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", message)


def _git(place: Path, *words: str) -> None:
    cache.run("git", *words, cwd=place, env={"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"})


@contextmanager
def _git_server(base: Path) -> Iterator[str]:
    port = free_port()
    where = (f"--base-path={base}", "--listen=127.0.0.1", f"--port={port}", str(base))
    words = ["git", "daemon", "--reuseaddr", "--export-all", *where]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
