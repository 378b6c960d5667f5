"""Killing a process from inside, before or after the Nth of all calls that change something in a store.

For scripts of the tests, which run by themselves: after `arm`, the calls count; `count()` says how many there were.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

_CALLS = ("rename", "fsync", "unlink", "rmdir", "mkdir")
_STATEMENTS = ("COMMIT", "BEGIN", "INSERT", "DELETE")
_made = [0]


def arm(limit: int, when: str) -> None:
    """Let the call number `limit` be the last: `before` it is made, or `after`. 0 kills nobody."""
    from buildkit_py.store import files, index

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            _made[0] += 1
            mine = _made[0] == limit
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*arguments, **named)
            finally:
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)

        return wrapped

    class Connection(index.sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            run = super().execute
            return (deadly(run) if sql.startswith(_STATEMENTS) else run)(sql, *values)

    connect = index.sqlite3.connect
    index.sqlite3.connect = lambda *arguments, **named: connect(*arguments, **named, factory=Connection)  # type: ignore[assignment, misc]
    for name in _CALLS:
        setattr(os, name, deadly(getattr(os, name)))
    files.sync_file_system = deadly(files.sync_file_system)


def count() -> int:
    """How many calls there were."""
    return _made[0]
