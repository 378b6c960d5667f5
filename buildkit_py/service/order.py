"""The order of services: who needs whom, and that nobody waits for itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from buildkit_py.errors import UsageError


def check_order(name: str, needs: Collection[str], others: Mapping[str, Collection[str]]) -> None:
    """Raise `UsageError` where a service that starts after `needs` would start after itself.

    `others` are the services that there are, each with those that it starts after.
    """
    path = _path_to(name, needs, others)
    if path is not None:
        raise UsageError(
            f"the services would wait for each other: {' after '.join((name, *path))}",
            hint="leave out --after or --requires in one of them",
        )


def _path_to(name: str, needs: Collection[str], others: Mapping[str, Collection[str]]) -> list[str] | None:
    """How a walk from `needs` comes to `name`."""
    seen: set[str] = set()
    pending = [[need] for need in sorted(needs)]
    while pending:
        path = pending.pop()
        if path[-1] == name:
            return path
        if path[-1] not in seen:
            seen.add(path[-1])
            pending += [[*path, need] for need in sorted(others.get(path[-1], ()))]
    return None
