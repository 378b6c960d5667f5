"""Directories for `cache` mounts. They outlive builds, belong to no image, and are named by a hash of their id.

One id may have several directories: `locked` and `shared` use the first, `private` the first that is free. Whoever
uses a directory holds its lock, so nothing in use is removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Literal

from buildkit_py.store import files
from buildkit_py.store.faults import guard
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import Owner
from buildkit_py.store.locks import HeldLock, Waiting, acquire, try_acquire
from buildkit_py.store.snapshots import discard

Sharing = Literal["shared", "locked", "private"]
_ID_LIMIT = 4096
_NAME = re.compile(r"[0-9a-f]{64}/[0-9]{1,9}")


class Caches:
    """The cache directories of one store."""

    def __init__(self, layout: Layout, owner: Owner) -> None:
        self._layout = layout
        self._owner = owner

    @contextmanager
    def directory(
        self,
        id: str,  # noqa: A002 - the field's word
        *,
        sharing: Sharing,
        timeout: float | None = None,
        waiting: Waiting | None = None,
        begin: Callable[[Path], None] | None = None,
    ) -> Iterator[Path]:
        """The directory to mount, kept for the caller inside the block.

        `shared`: with any number of others; `locked`: alone, waiting for it; `private`: one that nobody else has now.
        `begin` fills a directory that is new.
        """
        home = self._layout.cache(id)
        with guard("making a cache directory", home):
            self._home(home, id)
        path, lock = self._take(home, id, sharing, timeout, waiting)
        try:
            self._owner.note("cache", cache_name(path))
            self._make(path, begin, timeout)
            yield path
        finally:
            lock.release()

    def doubt(self, paths: Iterable[Path]) -> Callable[[], None]:
        """Have the next start remove these directories if this process ends before what is returned is called."""
        names = [(self._owner.temporary(), cache_name(path)) for path in paths]
        with guard("marking a cache directory", self._layout.tmp):
            for mark, name in names:
                mark.symlink_to(name)
            files.fsync_directory(self._layout.tmp)

        def settle() -> None:
            for mark, _ in names:
                mark.unlink(missing_ok=True)

        return settle

    def forget(self, name: str) -> bool:
        """Remove the directory that `cache_name` calls so; False where somebody uses it."""
        path = self._layout.caches / name
        if not _NAME.fullmatch(name):
            return True
        lock = try_acquire(lock_path(self._layout, path))
        if lock is None:
            return False
        try:
            discard(path, self._owner)
        finally:
            lock.release()
        return True

    def _take(
        self, home: Path, name: str, sharing: Sharing, timeout: float | None, waiting: Waiting | None
    ) -> tuple[Path, HeldLock]:
        if sharing == "private":
            return next(
                (home / str(number), lock)
                for number in count()
                if (lock := try_acquire(lock_path(self._layout, home / str(number)))) is not None
            )
        path = home / "0"
        where, exclusive = lock_path(self._layout, path), sharing == "locked"
        what = f"cache {name}"
        return path, acquire(where, what, exclusive=exclusive, timeout=timeout, waiting=waiting, temporary=False)

    def _make(self, path: Path, begin: Callable[[Path], None] | None, timeout: float | None) -> None:
        """Whoever shares the directory finds it whole: it gets its name when it is filled."""
        if os.path.lexists(path):
            with guard("using a cache directory", path):
                files.refuse_link(path)
            return
        alone = acquire(self._layout.lock(f"cache-new-{cache_name(path)}"), f"cache {path.name}", timeout=timeout)
        try:
            if not path.exists():
                made = self._owner.temporary()
                with guard("making a cache directory", path):
                    made.mkdir()
                    made.chmod(0o755)
                    if begin is not None:
                        begin(made)
                    made.rename(path)
        finally:
            alone.release()

    def _home(self, home: Path, name: str) -> None:
        with suppress(FileExistsError):
            home.mkdir()
            home.chmod(0o700)
        # What steps write would land where a link leads.
        files.refuse_link(home)
        if not (home / "id").exists():
            files.replace(home / "id", name.encode("utf-8", "surrogatepass"), self._owner.temporary())


def lock_path(layout: Layout, path: Path) -> Path:
    """The lock file of one cache directory."""
    return layout.lock(f"cache-{cache_name(path)}")


def cache_name(path: Path) -> str:
    """How leases, times of use and reports name a cache directory: HEX/N."""
    return f"{path.parent.name}/{path.name}"


def all_directories(layout: Layout) -> list[Path]:
    """Every cache directory there is."""
    found: list[Path] = []
    for home in files.names(layout.caches):
        with suppress(FileNotFoundError, NotADirectoryError):
            numbers = [name for name in files.names(layout.caches / home) if name.isdigit()]
            found.extend(layout.caches / home / number for number in numbers)
    return found


def cache_id(path: Path) -> str:
    """The id that a cache directory was made for; empty where it can't be told."""
    with suppress(OSError):
        return files.read_regular(path.parent / "id", _ID_LIMIT).decode("utf-8", "replace")
    return ""
