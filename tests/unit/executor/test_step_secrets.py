"""Reading secrets beside each other."""

from __future__ import annotations

import threading
from pathlib import Path

from buildkit_py.executor.secrets import SecretSpec, SecretStore


def test_a_command_that_takes_its_time_keeps_nobody_waiting(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "quick").write_text("a quick secret")
    command = f"sh -c 'while ! test -e {gate}; do sleep 0.01; done; echo a slow secret'"
    store = SecretStore(
        [
            SecretSpec(id="slow", kind="command", where=command),
            SecretSpec(id="quick", kind="file", where=str(tmp_path / "quick")),
        ]
    )
    threads = [threading.Thread(target=store.get, args=("slow",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert store.get("quick") == b"a quick secret"
    assert store.known() == {"quick": b"a quick secret"}
    gate.touch()
    for thread in threads:
        thread.join()
    assert store.known()["slow"] == b"a slow secret"
