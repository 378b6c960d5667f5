"""Removing images: names go in one transaction; then the blobs that only those images needed, through the gate of every
collection (`store.gc.sweep`). Killed in between, a process leaves blobs that nothing refers to, for the next prune.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import StoreBusyError
from buildkit_py.store.faults import guard
from buildkit_py.store.gc import sweep
from buildkit_py.store.inventory import IN_USE, Held, Inventory
from buildkit_py.store.leases import holders
from buildkit_py.store.reach import in_use, needed

if TYPE_CHECKING:
    from buildkit_py.store.images import ImageRecord
    from buildkit_py.store.store import Store

CACHED = "a later build can use it"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBlob:
    """A blob of a removed image that stays, and why; `pid` is a process that uses it, where that is the reason."""

    digest: str
    bytes: int
    why: str
    pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The names that went, the blobs that went (or would, in a dry run), and those of these images that stay."""

    names: tuple[ImageRecord, ...]
    removed: tuple[tuple[str, int], ...]
    kept: tuple[KeptBlob, ...]

    @property
    def bytes(self) -> int:
        """The bytes freed."""
        return sum(size for _, size in self.removed)


def take_names(store: Store, records: Sequence[ImageRecord]) -> None:
    """Take names away, all or none; raises `StoreBusyError` where one is another image's by now, and where an image
    is mounted by it, or is mounted and has no other."""
    _keep_mounted(store, records)
    with store.transaction():
        for record in records:
            found = store.images.get(record.name)
            if found is None or found["digest"] != record.descriptor["digest"]:
                raise StoreBusyError(
                    f"the name {record.name!r} was taken away or given to another image meanwhile",
                    hint="look with `pybuild ls`, and run the command again",
                )
            store.images.remove(record.name)


def remove_images(store: Store, records: Sequence[ImageRecord], *, dry_run: bool = False) -> Removal:
    """Take names away, and free what only their images needed: no other named image, no live lease and no row by which
    a later build would find it.

    Not under a lease, which would hold what is looked at. Raises as `take_names` does.
    """
    with guard("removing an image", store.root):
        # Documents before what they name: a process that still finds one has everything, and holds it.
        blobs = dict.fromkeys(
            str(each["digest"]) for record in records for each in needed(store.layout, record.descriptor)
        )
        if dry_run:
            _keep_mounted(store, records)
        else:
            take_names(store, records)
        names = store.images.state
        gone = {record.name for record in records} if dry_run else set[str]()
        found = Inventory(store).blobs(blobs, without=gone)
        free = [held for held in found if held.reason is None and not held.wanted]
        stayed = {} if dry_run else sweep(store, free, names=names)
        pids = {use: pid for pid, uses in holders(store.layout) for use in in_use(store.layout, uses)}
    why = {held.id: held.reason or (CACHED if held.wanted else None) for held in found}
    why |= {digest: reason for (_, digest), reason in stayed.items()}
    return Removal(
        names=tuple(records),
        removed=tuple((held.id, held.bytes) for held in found if why[held.id] is None),
        kept=tuple(_kept(held, reason, pids) for held in found if (reason := why[held.id]) is not None),
    )


def _keep_mounted(store: Store, records: Sequence[ImageRecord]) -> None:
    """An image keeps the name that it was mounted by, and its last one: else nobody could name what is looked at."""
    mounted, going = store.holders(), {record.name for record in records}
    left = {record.descriptor["digest"] for record in store.images.list() if record.name not in going}
    for record in records:
        digest = record.descriptor["digest"]
        why = mounted.why("blob", digest)
        # A name may stand for another image by now than the one that is mounted.
        by_name = why is not None and mounted.why("image", record.name)
        if why is not None and (digest not in left or by_name):
            other = "" if by_name else ", or give it another name"
            raise StoreBusyError(
                f"{record.name} can't be removed: {why}",
                hint=f"`pybuild mount` lists all; unmount it by its directory (pybuild umount DIR){other}",
            )


def _kept(held: Held, why: str, pids: dict[tuple[str, str], int]) -> KeptBlob:
    pid = pids.get((held.kind, held.id)) if why == IN_USE else None
    return KeptBlob(digest=held.id, bytes=held.bytes, why=why, pid=pid)
