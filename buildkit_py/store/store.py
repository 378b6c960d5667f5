"""The store as a whole: opens it, holds its parts together, and cares for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from buildkit_py.errors import StoreError
from buildkit_py.store import files, reserve
from buildkit_py.store.additional import OtherTrees
from buildkit_py.store.blobs import Blobs
from buildkit_py.store.builds import Builds
from buildkit_py.store.caches import Caches
from buildkit_py.store.faults import guard
from buildkit_py.store.images import Images, fill_from_index_json
from buildkit_py.store.index import Index
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import Leases, Owner, Use
from buildkit_py.store.lines import Lines
from buildkit_py.store.listings import Listings
from buildkit_py.store.locks import Waiting, acquire
from buildkit_py.store.partial import stale_partials
from buildkit_py.store.records import SEPARATOR, Memo, Results, Trees
from buildkit_py.store.snapshots import Snapshots
from buildkit_py.store.space import Space

if TYPE_CHECKING:
    from buildkit_py.store.gc import Rules
    from buildkit_py.store.holders import Holders
    from buildkit_py.store.report import Finding, PruneReport, Usage


_SEALS = {
    "tree": "SELECT seal FROM trees WHERE id = ?",
    "result": "SELECT seal FROM results WHERE key = ?",
    "memo": "SELECT seal FROM memo WHERE kind = ? AND key = ?",
}


class Store:
    """One open store. Thread-safe; processes share a store, each opens its own; not for use after a fork.

    A build works under `lease()`: without one, nothing that is made or found is protected from a prune beside it.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.root = layout.root
        self.owner = Owner(layout, self.record_uses)
        self.index = Index(
            layout.index, layout.locks / "index", lambda connection: fill_from_index_json(layout, connection)
        )
        self.blobs = Blobs(layout, self.owner)
        self.snapshots = Snapshots(layout, self.owner)
        self.other_trees = OtherTrees(layout.stackable)
        self.trees = Trees(self.index, self.owner, self.snapshots, self.other_trees)
        self.results = Results(self.index, self.owner)
        self.memo = Memo(self.index, self.owner)
        self.listings = Listings(self.index, self.memo)
        self.lines = Lines(self.memo)
        self.images = Images(layout, self.index, self.owner, self.blobs)
        self.builds = Builds(self.index)
        self.caches = Caches(layout, self.owner)
        self.space = Space(self)
        self.owner.make_room = self.space.make

    @classmethod
    def open(cls, root: Path, *, create: bool = True, others: Sequence[Path] = (), removing: bool = False) -> Store:
        """Open the store at `root`, making it first if `create`; cleans up after processes that were killed.

        What `others` hold, additional stores that `additional.usable` found, can be read as if it were here. Who is
        `removing` something can do so on a full disk.
        Raises `NotFoundError` where there is none, `StoreError` for a foreign, newer or tampered one, `StoreBusyError`.
        """
        layout = Layout.open(root, create=create, others=others)
        (reserve.give_up if removing else reserve.keep)(layout.root)
        store = cls(layout)
        try:
            store.recover()
            store.images.mend()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Let go of everything. Needed only by programs that go on without the store."""
        self.owner.close()
        self.index.close()
        self.other_trees.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def lock(
        self,
        name: str,
        *,
        exclusive: bool = True,
        timeout: float | None = None,
        waiting: Waiting | None = None,
    ) -> Iterator[None]:
        """Hold a named lock, between processes and between threads. `timeout` in seconds, None waits for as long as the
        holder works.

        `waiting` is told the holder's pid once, if it has to wait. Raises `StoreBusyError` when the time is up.
        """
        held = acquire(self.layout.lock(name), name, exclusive=exclusive, timeout=timeout, waiting=waiting)
        try:
            yield
        finally:
            held.release()

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Protect what is made or looked up inside the block from collection, until the block is left."""
        grown = False
        try:
            with self.owner.lease():
                try:
                    yield
                finally:
                    grown = any(kind == "cache" for kind, _ in self.owner.noted)
        finally:
            if not self.owner.leased:
                self.space.settle(measure=grown)

    def transaction(self) -> AbstractContextManager[None]:
        """Make several changes of rows as one, durable when the block is left; nothing of it if that fails."""
        return self.index.transaction()

    def state_of(self, kind: str, id: str) -> bytes | bool | None:  # noqa: A002 - as leases call it
        """What there is of something that a lease can name: the seal of a row, or whether its bytes are there."""
        if kind in ("snapshot", "blob"):
            place = self.layout.find_snapshot(id) if kind == "snapshot" else self.layout.find_blob(id)
            return place.exists()
        query, values = _SEALS[kind], id.split(SEPARATOR, 1)
        row = self.index.row(query, tuple(values))
        if row is None and kind == "tree":
            other = self.other_trees.row(id)
            return other[2] if other is not None else None
        return row[0] if row is not None else None

    def recover(self) -> None:
        """Remove what killed processes and earlier boots left: work areas, their mounts, leases, downloads."""
        with guard("cleaning up after a killed process", self.root):
            # Before the leases: whoever made one of these names had a lease file by then.
            names = files.names(self.layout.tmp)
            leases = self.leases(names_only=True)
            for name in names:
                if name.rpartition("-")[0] not in leases.names:
                    self._reclaim(self.layout.tmp / name)
            for path in stale_partials(self.layout):
                path.unlink(missing_ok=True)

    def leases(self, *, names_only: bool = False) -> Leases:
        """One look at all leases, as `Leases.read`; what killed processes had used counts as used now."""
        leases = Leases.read(self.layout, names_only=names_only)
        if leases.left:
            self.record_uses(set(leases.left))
        return leases

    def holders(self) -> Holders:
        """Who holds what for longer than a process lives; records of what is mounted no more are dropped."""
        from buildkit_py.store.holders import Holders

        return Holders.read(self.layout, self.owner)

    def df(self) -> Usage:
        """The use of space, by kind of object."""
        from buildkit_py.store.inventory import Inventory

        with guard("looking through the store", self.root):
            return Inventory(self).usage()

    def prune(
        self,
        keep_bytes: int | None = None,
        older_than: float | None = None,
        all: bool = False,  # noqa: A002 - the word of the command line
        dry_run: bool = False,
    ) -> PruneReport:
        """Remove what no image, no live lease and no rule holds, the least recently used first.

        `older_than` keeps what was used in the last so many seconds; `keep_bytes` keeps that much in all. Without
        either, only what nothing refers to goes, or with `all` everything that is not held.
        """
        from buildkit_py.store.gc import Rules

        return self.prune_by(Rules(keep_bytes=keep_bytes, older_than=older_than, all=all), dry_run=dry_run)

    def prune_by(self, rules: Rules, *, dry_run: bool = False) -> PruneReport:
        """Remove what no rule keeps; see `gc.Rules`."""
        from buildkit_py.store.gc import prune

        return prune(self, rules, dry_run=dry_run)

    def check(self, repair: bool = False) -> list[Finding]:
        """Verify every object against its name; `repair` removes what is damaged, so that it is made again."""
        from buildkit_py.store.check import Check

        return Check(self, repair=repair).run()

    def record_uses(self, uses: set[Use]) -> None:
        """Say that objects were used now."""
        now = time.time()
        # Times of use only order the next prune: a full disk or a crash may cost them, never a build.
        with suppress(StoreError), self.index.transaction(durable=False):
            self.index.execute_many(
                "INSERT OR REPLACE INTO uses (kind, id, at) VALUES (?, ?, ?)", [(*use, now) for use in sorted(uses)]
            )

    def _reclaim(self, path: Path) -> None:
        """Remove what a dead process left; what can't be removed now is tried again at the next start."""
        from buildkit_py.store.mounts import detach

        detach(path)
        with suppress(OSError):
            # A link is the mark of a cache directory that may hold a secret.
            if not path.is_symlink() or self.caches.forget(os.readlink(path)):
                files.remove(path)
