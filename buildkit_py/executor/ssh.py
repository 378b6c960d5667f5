"""The client's ssh agent inside a step: a socket of our own, with the step's owner and mode, that passes on what asks
for keys and signatures. All else is refused: an agent that is asked to loads libraries, forgets keys, or locks itself.

A private key given instead of an agent is served by an `ssh-agent` that lives as long as the step.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from buildkit_py.errors import MissingToolError, SourceInputError
from buildkit_py.executor.secrets import SshSpec

_AT_ONCE = 64
"""How many connections a step may have: each costs pybuild descriptors, of which a process has few."""
_HEAD, _LARGEST = 4, 256 << 10
_LIST, _SIGN, _EXTENSION = 11, 13, 27
"""Requests of draft-ietf-sshm-ssh-agent: REQUEST_IDENTITIES, SIGN_REQUEST, EXTENSION."""
_SESSION_BIND = b"\0\0\0\x18session-bind@openssh.com"
"""By this ssh tells the agent which host it speaks to, as a key may be meant for some hosts only."""
_REFUSED = b"\0\0\0\x01\x05"
_WHILE_READ_FROM = 'ssh-agent -D -a "$1" & read -r _; kill $!; wait; rm -rf "${1%/*}"'
"""An agent that ends, with its directory, when nobody holds the other end of its standard input: so none outlives
`kill -9`."""


@contextmanager
def forwarded(spec: SshSpec, directory: Path, *, mode: int, uid: int, gid: int) -> Iterator[Path]:
    """A socket in `directory` that stands for the agent of `spec`."""
    kind, path = spec.source()
    if kind == "key":
        with _agent(path) as agent, _proxy(agent, directory / "agent", mode, uid, gid) as proxy:
            yield proxy
    else:
        with _proxy(Path(path), directory / "agent", mode, uid, gid) as proxy:
            yield proxy


@contextmanager
def _agent(key: str) -> Iterator[Path]:
    import subprocess
    import tempfile

    # The variables of who builds may hold tokens, and a key's askpass program must never run.
    plain = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if shutil.which("ssh-agent", path=plain["PATH"]) is None:
        raise MissingToolError("ssh-agent is not installed", hint="install the package openssh-client")
    # Where paths are short enough for the name of a socket.
    path = Path(tempfile.mkdtemp(prefix="pybuild-ssh-")) / "agent"
    process = subprocess.Popen(
        ["sh", "-c", _WHILE_READ_FROM, "sh", str(path)],
        env=plain,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        environment = {**plain, "SSH_AUTH_SOCK": str(path), "SSH_ASKPASS": "false"}
        for _ in range(100):
            if path.exists() or process.poll() is not None:
                break
            threading.Event().wait(0.05)
        done = subprocess.run(
            ["ssh-add", "-q", "--", key], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise SourceInputError(
                f"the ssh key {key} can't be used", hint="it must be readable and without a passphrase"
            )
        yield path
    finally:
        process.communicate()


@contextmanager
def _proxy(agent: Path, path: Path, mode: int, uid: int, gid: int) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        _bind(server, path)
        path.chmod(mode)
        os.chown(path, uid, gid)
        server.listen()
        thread = threading.Thread(target=_accept, args=(server, agent), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink(missing_ok=True)


def _bind(server: socket.socket, path: Path) -> None:
    """The name of a socket has 107 bytes at most (unix(7)), a path of a store may have more."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        server.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)


def _accept(server: socket.socket, agent: Path) -> None:
    places = threading.Semaphore(_AT_ONCE)
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        if places.acquire(blocking=False):
            threading.Thread(target=_serve, args=(client, agent, places), daemon=True).start()
        else:
            client.close()


def _serve(client: socket.socket, agent: Path, places: threading.Semaphore) -> None:
    try:
        with client, socket.socket(socket.AF_UNIX) as upstream, suppress(OSError):
            upstream.connect(str(agent))
            with client.makefile("rb") as asked, upstream.makefile("rb") as answered:
                _pass_on(client, asked, upstream, answered)
    finally:
        places.release()


def _pass_on(client: socket.socket, asked: BinaryIO, upstream: socket.socket, answered: BinaryIO) -> None:
    while request := _message(asked):
        answer = _REFUSED
        if _only_uses_keys(request):
            upstream.sendall(request)
            answer = _message(answered)
            if not answer:
                return
        client.sendall(answer)


def _message(source: BinaryIO) -> bytes:
    """One message with its head; nothing at the end, or where what comes is none."""
    head = source.read(_HEAD)
    length = int.from_bytes(head, "big")
    if not 0 < length <= _LARGEST:
        return b""
    body = source.read(length)
    return head + body if len(body) == length else b""


def _only_uses_keys(request: bytes) -> bool:
    kind, rest = request[_HEAD], request[_HEAD + 1 :]
    return kind in (_LIST, _SIGN) or (kind == _EXTENSION and rest.startswith(_SESSION_BIND))
