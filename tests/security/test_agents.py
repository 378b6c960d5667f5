"""An ssh agent of the person who builds, in the hands of a step: it may use the keys, and do nothing to the agent."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project

BOUND = b"\x1b\0\0\0\x18session-bind@openssh.com"
OTHER = b"\x1b\0\0\0\x05query"
ASK = """
import os, socket
for request in [bytes([kind]) for kind in range(1, 256) if kind != 27] + [{bound!r}, {other!r}]:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(os.environ["SSH_AUTH_SOCK"])
        agent.sendall(len(request).to_bytes(4, "big") + request)
        answer = agent.recv(5)
        if answer != bytes([0, 0, 0, 1, 5]):
            print("taken:", request[0], flush=True)
"""
MANY = """
import os, socket
def ask(agent):
    agent.settimeout(20)
    try:
        agent.connect(os.environ["SSH_AUTH_SOCK"])
        agent.sendall(bytes([0, 0, 0, 1, 11]))
        return len(agent.recv(5))
    except ConnectionError:
        return 0
agents = [socket.socket(socket.AF_UNIX) for _ in range(300)]
print("at once:", sum(ask(agent) > 0 for agent in agents), flush=True)
for agent in agents:
    agent.close()
while not ask(socket.socket(socket.AF_UNIX)):
    pass
print("still there", flush=True)
"""


class Recorder:
    """Stands for an agent: agrees to everything, and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[bytes] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as file:
            while head := file.read(4):
                self.asked.append(file.read(int.from_bytes(head, "big")))
                client.sendall(b"\0\0\0\x01\x06")


@pytest.fixture
def agent() -> Iterator[Recorder]:
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        made = Recorder(Path(directory, "socket"))
        yield made
        made.close()


def asking(project: Project, agent: Recorder, script: str) -> list[str]:
    project.write({"ask.py": script})
    body = 'copy ./ask.py to /ask.py\nwith ssh, tool(python3)\nhost python3 "$ROOTFS/ask.py"'
    return project.lines(body, "--ssh", f"default={agent.path}")


def test_a_step_may_use_keys_and_nothing_else_of_an_agent(project: Project, agent: Recorder) -> None:
    """CVE-2023-38408: who may ask an agent for anything has it load a library of the machine; or forget its keys, take
    others, lock itself."""
    lines = asking(project, agent, ASK.format(bound=BOUND, other=OTHER))
    assert lines == ["taken: 11", "taken: 13", "taken: 27"]
    assert agent.asked == [b"\x0b", b"\x0d", BOUND]


def test_a_step_that_never_closes_a_connection_leaves_pybuild_its_descriptors(
    project: Project, agent: Recorder
) -> None:
    assert asking(project, agent, MANY) == ["at once: 64", "still there"]
