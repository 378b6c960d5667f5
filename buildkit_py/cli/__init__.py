"""The command line: arguments → engine → events. `main` is the entry point; everything else is imported when needed."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""The exit code after Ctrl-C."""
_CYCLES = 50_000
"""Containers made and not freed before Python looks for cycles; its own measure is 700."""


def program() -> None:
    """Run the command line of this process, and end it. Python would first take every module apart, which takes a tenth
    of a small build and changes nothing: all that must be closed was closed.

    Cycles of garbage are looked for seldom: importing and lists of files make many objects that stay, and looking
    through them again and again takes another tenth.
    """
    gc.set_threshold(_CYCLES, 20, 20)
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return the exit code; never raises, never exits."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["version"], ["--version"], ["-V"]) and _told_version():
        return 0
    try:
        from buildkit_py.cli.run import run

        return run(words)
    except KeyboardInterrupt:
        # Before there was a command, or while its fault was told.
        print("\npybuild: interrupted", file=sys.stderr)
        return INTERRUPTED


def _told_version() -> bool:
    """Answer at once; where that fails, the long way tells why."""
    from buildkit_py import __version__

    try:
        sys.stdout.write(f"pybuild {__version__}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True
