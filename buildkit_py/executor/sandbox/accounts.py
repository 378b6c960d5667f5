"""What runc reads of a tree by itself before a step begins, whoever that runs as: /etc/passwd and /etc/group.

It would wait for a pipe, and never come to the end of a device, so such a tree is refused. All runtimes refuse it, so
that a step does not depend on which one a machine has.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import inroot, kernel

MAX_BYTES = 16 << 20
_FILES = ("etc/passwd", "etc/group")
_SYSTEM = ("dev", "proc", "sys")


def check_accounts(root: int) -> None:
    """Raise `SandboxError` for what no runtime may be left alone with; what can't be opened is read by none."""
    for path in _FILES:
        with suppress(OSError):
            real = inroot.real_path(root, path)
            # What they will hold is not there yet.
            if real.partition("/")[0] in _SYSTEM:
                raise _refusal(path)
            file = kernel.openat2(root, real, os.O_PATH, kernel.RESOLVE_NO_SYMLINKS)
            facts = os.fstat(file)
            os.close(file)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_BYTES:
                raise _refusal(path)


def _refusal(path: str) -> SandboxError:
    return SandboxError(
        f"/{path} of the image is not a file of a sensible size, and a runtime would read it",
        hint="put a regular file in its place first: nothing has to run to copy one there, or to remove it",
    )
