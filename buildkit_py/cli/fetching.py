"""What is told while layers are fetched that a command needs and the store has left where they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildkit_py.cli.shell import Shell


class Fetching:
    """Takes the bytes that came so far, and of how many; on a terminal one line that changes, else one line alone."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._terminal = shell.err.isatty()
        self._told = False

    def __call__(self, done: int, total: int | None) -> None:
        """Tell of it."""
        from buildkit_py.progress.text import size

        if total is None or (self._told and not self._terminal):
            return
        self._told = True
        if self._terminal:
            end = "\n" if done == total else ""
            self._shell.complain(f"\r\x1b[Kpybuild: fetching layers: {size(done)} of {size(total)}{end}")
        else:
            self._shell.complain(f"pybuild: fetching layers, {size(total)}\n")
