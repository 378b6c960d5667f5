"""Commands of little patience, so that no test has to wait for a minute."""

from __future__ import annotations


def none_for_the_stopped() -> None:
    """Who is stopped is waited for a moment only."""
    from buildkit_py.store import gc, index, leases, locks

    locks.STOPPED_SECONDS = 0.3
    leases.GC_SECONDS = gc.GC_SECONDS = 0.3
    index.Index.__init__.__kwdefaults__["busy_seconds"] = 0.3
