"""What a cached build must not pay for."""

from __future__ import annotations

import subprocess
import sys


def test_the_identity_of_a_program_needs_no_sandbox() -> None:
    code = """
import sys
from buildkit_py.executor.tools import MachineTools, find_tool
find_tool("sh")
print([name for name in sys.modules if name.startswith("buildkit_py.executor.sandbox")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
