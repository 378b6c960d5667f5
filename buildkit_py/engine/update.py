"""Updating the lock file: everything in it, or what is named, is asked for anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildkit_py.engine.buildfile import BuildFile
from buildkit_py.engine.compile import load_build_file
from buildkit_py.errors import NotFoundError
from buildkit_py.lockfile import LockedResolver, LockFile

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.engine.resolver import EngineResolver

Row = tuple[str, str | None, str | None]


def update(resolver: EngineResolver, options: BuildOptions, file: BuildFile, names: Sequence[str]) -> list[Row]:
    """Compile the build file against the world as it is, and save the lock. Returns what changed: name, old, new."""
    resolver.lock_text()  # which refuses one that leads out of its directory, before any of it is told
    before = _rows(LockFile.load(file.lock_path))
    locked = LockedResolver(resolver, resolver.lock, refresh=names or "all")
    load_build_file(options, file, locked)
    if unknown := locked.unknown():
        raise NotFoundError(
            f"{file.lock_path.name} pins nothing called {unknown[0]!r}",
            hint="it pins " + (", ".join(sorted({name.partition(" ")[0] for name in before})) or "nothing"),
        )
    if not names:
        locked.drop_unused()
    resolver.save_lock()
    after = _rows(resolver.lock)
    return [
        (name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _rows(lock: LockFile) -> dict[str, str]:
    return {
        f"{name} {key}": value
        for pins in lock.pins.values()
        for name, by_key in pins.items()
        for key, value in by_key.items()
    }
