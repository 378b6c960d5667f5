"""A real registry for tests: Debian's `docker-registry` on loopback, on a port of its own, ended by its own pid."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = "docker-registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryServer:
    """A registry that is running; `name` is `host:port`, as in a reference."""

    host: str
    port: int
    pid: int
    root: Path

    @property
    def name(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def asked(self, method: str, part: str = "") -> list[str]:
        """The requests of that method whose path holds `part`, as `PATH STATUS`, out of the access log."""
        lines = re.findall(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" ([0-9]{3})', (self.root / "log").read_text())
        return [f"{path} {status}" for verb, path, status in lines if verb == method and part in path]


def available() -> bool:
    """Whether the program is installed."""
    return shutil.which(PROGRAM) is not None


@contextmanager
def serve_registry(
    directory: Path,
    *,
    auth: Mapping[str, Any] | None = None,
    tls: Mapping[str, str] | None = None,
    access_log: bool = False,
    delete: bool = True,
) -> Iterator[RegistryServer]:
    """Serve an empty registry that keeps its data in `directory`. `auth` and `tls` are its configuration's sections.

    `access_log` makes it write down every request; `delete` allows deletion.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": not access_log}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": delete}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "for tests", **({"tls": dict(tls)} if tls else {})},
    }
    if auth is not None:
        config["auth"] = dict(auth)
    file = directory / "config.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait(process, port, directory / "log")
        yield RegistryServer(host="127.0.0.1", port=port, pid=process.pid, root=directory)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def htpasswd(user: str, password: str) -> str:
    """A line of an htpasswd file, by bcrypt (the C library's own)."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    hashed = crypt(password.encode(), b"$2b$05$abcdefghijklmnopqrstuu")
    return f"{user}:{hashed.decode()}\n"


def write_config(path: Path, *plain_http: str, mirrors: Mapping[str, list[str]] | None = None) -> Path:
    """A `registries.toml` for registries that speak plain HTTP, and for mirrors."""
    lines = [f'[registry."{name}"]\nplain_http = true\n' for name in plain_http]
    lines += [f'[registry."{name}"]\nmirrors = {json.dumps(values)}\n' for name, values in (mirrors or {}).items()]
    path.write_text("\n".join(lines))
    return path


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the registry ended at once: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the registry does not listen")
