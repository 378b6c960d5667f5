"""The quota of a store: how many bytes it may hold, and what is done before it would hold more.

    ROOT/quota            "20000000000\\n": bytes; no file, no limit
    facts, `bytes`        what the store holds, as it was measured last, and what was added since

Every object that gets its name is added to that sum first: one short transaction, and none without a quota. The store
is looked through only when the sum passes the quota; then the least recently used that nothing needs goes until a
tenth is free. What is under way (`tmp/`, `partial/`) counts when it gets its name. The sum can only be a little wrong
where two processes write at once, and is exact again when it matters.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from buildkit_py import amounts
from buildkit_py.errors import StoreError
from buildkit_py.store import files
from buildkit_py.store.faults import guard

if TYPE_CHECKING:
    from buildkit_py.store.report import PruneItem
    from buildkit_py.store.store import Store

_FILE = "quota"
_ADD = "UPDATE facts SET value = CAST(CAST(value AS INTEGER) + ? AS TEXT) WHERE name = 'bytes'"
_FULL = 0.9
"""The part of the quota that a collection leaves in use."""
_SHOWN = 4


class Space:
    """The room in one open store. Thread-safe. `tell` is told in plain words what had to go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._path = store.layout.root / _FILE
        self._mutex = threading.Lock()
        self.tell: Callable[[str], None] = lambda text: None

    @property
    def quota(self) -> int | None:
        """Bytes; None where there is no limit."""
        with guard("reading the quota", self._path):
            try:
                text = files.read_regular(self._path, 64).strip()
            except FileNotFoundError:
                return None
        if not text.isdigit():
            raise StoreError(
                f"the quota of the store can't be read: {self._path}", hint="set it again: `pybuild store quota SIZE`"
            )
        return int(text)

    def limit(self, quota: int | None) -> None:
        """Set the quota, in bytes, or take it away; nothing is removed by that."""
        with guard("writing the quota", self._path):
            if quota is None:
                self._path.unlink(missing_ok=True)
                files.fsync_directory(self._path.parent)
            else:
                files.replace(self._path, b"%d\n" % quota, self._store.owner.temporary())
        # What was added while there was no quota is in no sum.
        self._store.index.execute("DELETE FROM facts WHERE name = 'bytes'", durable=False)

    def make(self, size: int) -> None:
        """Make room for an object of so many bytes that is about to get its name.

        Raises `StoreError` where what may not be removed leaves too little.
        """
        quota = self.quota
        # Who holds a transaction can't wait for the lock of the collector, whose holder may wait for the transaction.
        if quota is None or self._added(size) <= quota or self._store.index.in_transaction:
            return
        with self._mutex:
            kept = self._collect(quota, size)
        if sum(item.bytes for item in kept) + size > quota:
            raise _overfull(quota, size, kept)

    def settle(self, *, measure: bool) -> None:
        """After work: bring the store below its quota again, as far as that goes; `measure` where cache directories
        may have grown. No failure of it costs what was done."""
        with suppress(StoreError):
            quota = self.quota
            if quota is not None and (measure or self._added(0) > quota):
                with self._mutex:
                    self._collect(quota, 0)

    def known(self, measured: int) -> None:
        """Take note of what the store holds, where that is asked for."""
        if self.quota is not None:
            self._store.index.execute(
                "INSERT OR REPLACE INTO facts (name, value) VALUES ('bytes', ?)", (str(measured),), durable=False
            )

    def _added(self, size: int) -> int:
        """The sum with so many more bytes; it is measured where it is not known."""
        with self._store.index.transaction(durable=False):
            self._store.index.execute(_ADD, (size,))
            row = self._store.index.row("SELECT value FROM facts WHERE name = 'bytes'")
        if row is not None and str(row[0]).isdecimal():
            return int(row[0])
        measured = self._store.df().bytes + size
        self.known(measured)
        return measured

    def _collect(self, quota: int, size: int) -> list[PruneItem]:
        """Remove what may go, if the store really is too large; gives what stays."""
        from buildkit_py.store.gc import Rules, prune
        from buildkit_py.store.inventory import Inventory

        objects = Inventory(self._store).objects()
        measured = sum(held.bytes for held in objects)
        if measured + size <= quota:
            # Somebody made room meanwhile, or the sum was too large.
            self.known(measured + size)
            return []
        report = prune(self._store, Rules(keep_bytes=max(0, int(quota * _FULL) - size)), objects)
        self.known(sum(item.bytes for item in report.kept) + size)
        if report.removed:
            self.tell(
                f"the store reached its quota of {amounts.size(quota)}: {len(report.removed)} objects that nothing "
                f"needs, {amounts.size(report.bytes)}, were removed"
            )
        return list(report.kept)


def _overfull(quota: int, size: int, kept: Iterable[PruneItem]) -> StoreError:
    """What holds the space, the largest first."""
    holders = Counter[str]()
    for item in kept:
        holders[item.why] += item.bytes
    shown = [f"{amounts.size(count)}: {why}" for why, count in holders.most_common(_SHOWN)]
    return StoreError(
        f"the store would hold more than its quota of {amounts.size(quota)}: {amounts.size(size)} more are needed, "
        f"and nothing else may go ({'; '.join(shown) or 'it is empty'})",
        hint="take names from images that nobody needs, or set another quota: `pybuild store quota SIZE`; "
        "`pybuild df -v` says what takes the space",
    )
