"""Starts a step without a runtime, for what bubblewrap can't do: it sets no_new_privs, which nothing takes back.

The worker has made the root already, so all that is missing is what bubblewrap would make: a pid and a mount
namespace, /proc, and a root that is the only one. The step's init does the rest, as it does under bubblewrap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from buildkit_py.executor.sandbox import kernel, system
from buildkit_py.executor.sandbox.init import PROGRAM, Init
from buildkit_py.executor.sandbox.runtime import Prepared


def spawn(step: Prepared, init: Init) -> int:
    """Start the step's init as the first process of new namespaces; returns its pid."""
    return init.spawn((PROGRAM,), _entrance(step))


def _entrance(step: Prepared) -> Callable[[], None]:
    return partial(_enter, str(step.rootfs.path), step.spec.cwd, step.spec.insecure)


def _enter(root: str, cwd: str, insecure: bool) -> None:
    os.setsid()
    os.chdir(root)
    target = os.open("proc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    null = os.open("dev/null", os.O_PATH | os.O_NOFOLLOW)
    system.mount_proc(target, null, whole=insecure)
    kernel.make_root(".")
    for fd in (target, null):
        os.close(fd)
    os.chdir(cwd)
