"""The command with one of its guards taken away, for the proof that a test notices."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.command import ROOT, Pybuild


def weakened(pybuild: Pybuild, directory: Path, patch: str) -> Pybuild:
    """The command, in whose processes `patch` ("module:function" of the tests) is called before anything else.

    The function replaces the guard in its module. `directory` is made.
    """
    module, _, function = patch.partition(":")
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(
        f"from importlib import import_module\n\nimport_module({module!r}).{function}()\n"
    )
    return pybuild.having(PYTHONPATH=f"{directory}{os.pathsep}{ROOT}")
