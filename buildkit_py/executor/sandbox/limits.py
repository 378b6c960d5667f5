"""Resource limits of a step (setrlimit(2)).

The step's init sets them as its last act but one, so that no runtime has to live within them. What is above the hard
limit that this process has must be raised by the worker before, which may do that; init may only lower it.
"""

from __future__ import annotations

import resource
import struct
from collections.abc import Iterator, Sequence

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox.callscript import Call, Data

_NAMES = """
cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime
"""
RESOURCES: dict[str, int] = {name: number for number, name in enumerate(_NAMES.split())}
"""Name without `RLIMIT_` → number, the same on every machine that steps run on."""
UNLIMITED = -1
_MAX = 2**63 - 1

Limit = tuple[str, int, int]
"""Name, soft, hard."""


def check_limits(limits: Sequence[Limit]) -> None:
    """Raise `SandboxError` for a limit that there can't be."""
    for name, soft, hard in limits:
        if name not in RESOURCES:
            raise SandboxError(f"not a resource limit: {name!r}", hint=f"one of {', '.join(RESOURCES)}")
        if not all(UNLIMITED <= value <= _MAX for value in (soft, hard)):
            raise SandboxError(f"the limit {name} must be a number, or -1 for none")
        if _exceeds(soft, hard):
            raise SandboxError(f"the soft limit {name} ({soft}) is above the hard one ({hard})")


def raise_hard(limits: Sequence[Limit]) -> None:
    """Raise hard limits of this process to those that a step is to have; raises `SandboxError`."""
    for name, _, hard in limits:
        soft, own = resource.getrlimit(RESOURCES[name])
        if not _exceeds(hard, own):
            continue
        try:
            resource.setrlimit(RESOURCES[name], (soft, hard))
        except (ValueError, OSError):
            raise SandboxError(
                f"the limit {name} can't be raised to {'unlimited' if hard == UNLIMITED else hard}",
                hint=f"{own} is the most that pybuild may give here",
            ) from None


def calls(limits: Sequence[Limit], data: Data) -> Iterator[Call]:
    """The system calls that set them."""
    for name, soft, hard in limits:
        value = struct.pack("<QQ", *(number & 0xFFFFFFFFFFFFFFFF for number in (soft, hard)))
        yield Call("prlimit64", (0, RESOURCES[name], data.add(value), 0))


def _exceeds(one: int, other: int) -> bool:
    return other != UNLIMITED and (one == UNLIMITED or one > other)
