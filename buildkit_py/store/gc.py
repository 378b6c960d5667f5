"""Collection: removes only what no image, no live lease and no rule to keep holds, the least recently used first.

Choosing is a pure function of the inventory and the rules. Sweeping asks the leases once more under the `gc` lock,
moves what is still free into tmp/, and deletes it after letting go: a killed prune leaves whole objects or none.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.amounts import ago
from buildkit_py.dataclass import dataclass
from buildkit_py.errors import StoreError
from buildkit_py.store import files
from buildkit_py.store.caches import lock_path
from buildkit_py.store.faults import guard
from buildkit_py.store.inventory import IN_USE, MOUNTED, Held, Inventory, holders
from buildkit_py.store.leases import GC_SECONDS
from buildkit_py.store.locks import HeldLock, acquire, try_acquire
from buildkit_py.store.mounts import Mounts
from buildkit_py.store.reach import in_use
from buildkit_py.store.report import PruneItem, PruneReport
from buildkit_py.store.rows import expire_rows

if TYPE_CHECKING:
    from buildkit_py.store.layout import Layout
    from buildkit_py.store.leases import Leases
    from buildkit_py.store.store import Store

_BATCH = 64
_HASHED = 64
_LOCKED = ("cache", "partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What to keep: objects used in the last `older_than` seconds, or `since` a time (when the last `last` builds had
    begun), those whose label or name fits one of `names`, and as much as makes `keep_bytes` in all.

    Without any of these, only what nothing refers to goes, or with `all` everything that is not held. `kinds` are those
    that may go (empty: any), and then all of them as with `all`. With `images` the names of images go by the same rules
    first, and what only they needed with them.
    """

    keep_bytes: int | None = None
    older_than: float | None = None
    all: bool = False
    since: float | None = None
    last: int = 0
    names: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    images: bool = False

    @property
    def everything(self) -> bool:
        """Whether no rule keeps anything by its age or the store's size."""
        return self.keep_bytes is None and self.older_than is None and self.since is None


@dataclass(frozen=True, slots=True)
class Choice:
    """One object, whether it is to go, and why."""

    held: Held
    remove: bool
    why: str

    def item(self) -> PruneItem:
        """For a report."""
        held = self.held
        return PruneItem(kind=held.kind, id=held.id, label=held.label, bytes=held.bytes, used=held.used, why=self.why)


def choose(objects: Iterable[Held], rules: Rules, now: float) -> list[Choice]:
    """Decide about every object; `now` in seconds since 1970."""
    ordered = sorted(objects, key=lambda held: (held.kind != "image", held.wanted, held.used, held.kind, held.id))
    images = [held for held in ordered if held.kind == "image"] if rules.images else []
    names = [held.id for held in images if held.reason is None and _ruled(held, rules, now) is None]
    keep = rules.keep_bytes
    if keep is None:
        return _choices(ordered, rules, now, frozenset(names))

    def fits(count: int) -> bool:
        choices = _choices(ordered, rules, now, frozenset(names[:count]))
        return sum(choice.held.bytes for choice in choices if not choice.remove) <= keep

    # A name goes only where all that no name needs is not enough.
    least = bisect_left(range(len(names)), True, key=fits)
    return _choices(ordered, rules, now, frozenset(names[:least]))


def _choices(ordered: Sequence[Held], rules: Rules, now: float, gone: frozenset[str]) -> list[Choice]:
    total = sum(held.bytes for held in ordered)
    choices: list[Choice] = []
    for held in ordered:
        remove, why = _decide(held, rules, now, total, gone)
        total -= held.bytes if remove else 0
        choices.append(Choice(held, remove, why))
    return choices


def _decide(held: Held, rules: Rules, now: float, total: int, gone: frozenset[str]) -> tuple[bool, str]:
    if held.kind == "image":
        small = "the store is not larger than what is to be kept" if rules.images else "names of images are not to go"
        return (
            (True, _unused(held, now)) if held.id in gone else (False, held.reason or _ruled(held, rules, now) or small)
        )
    if (holder := held.holder(gone)) is not None:
        return False, holder
    if rules.kinds and held.kind not in rules.kinds:
        return False, "only other kinds are to go"
    if not held.wanted and not rules.kinds:
        return True, "nothing refers to it"
    if (kept := _ruled(held, rules, now)) is not None:
        return False, kept
    if not held.wanted:
        return True, "nothing refers to it"
    if rules.everything:
        chosen = rules.all or bool(rules.kinds)
        return chosen, "no image needs it" if chosen else "a later build can use it"
    if rules.keep_bytes is not None and total <= rules.keep_bytes:
        return False, "the store is not larger than what is to be kept"
    return True, _unused(held, now)


def _ruled(held: Held, rules: Rules, now: float) -> str | None:
    """The rule that keeps an object by its name or its last use, in words."""
    fits = next((pattern for pattern in rules.names if fnmatchcase(held.label, pattern)), None)
    if fits is not None:
        return f"its name fits {fits!r}"
    if rules.since is not None and held.used >= rules.since:
        return "the last build used it" if rules.last == 1 else f"one of the last {rules.last} builds used it"
    if rules.older_than is not None and now - held.used < rules.older_than:
        return f"it was used {ago(now - held.used)} ago"
    return None


def _unused(held: Held, now: float) -> str:
    return f"it was not used for {ago(now - held.used)}"


def inventory(store: Store, rules: Rules) -> list[Held]:
    """Everything that a prune by these rules decides about."""
    found = Inventory(store)
    return [*(found.names() if rules.images else ()), *found.objects()]


def prune(store: Store, rules: Rules, objects: Sequence[Held] | None = None, *, dry_run: bool = False) -> PruneReport:
    """Collect; see `Rules`. `objects` is the inventory, if there is a fresh one."""
    now = time.time()
    with guard("looking through the store", store.root):
        # Names that came after objects that are older than this look are looked at again.
        names = store.images.state if objects is None else ""
        choices = choose(inventory(store, rules) if objects is None else objects, rules, now)
        chosen = [choice.held for choice in choices if choice.remove]
        stayed = {} if dry_run else sweep(store, chosen, names=names)
        if not dry_run:
            with _no_new_uses(store) as live:
                expire_rows(
                    store.index, live.uses, _cutoff(rules, now), lambda digest: store.blobs.path(digest).exists()
                )
            _remove_free_locks(store.layout)
    done = [_outcome(choice, stayed) for choice in choices]
    report = PruneReport(
        removed=tuple(choice.item() for choice in done if choice.remove),
        kept=tuple(choice.item() for choice in done if not choice.remove),
    )
    if not dry_run:
        store.space.known(sum(item.bytes for item in report.kept))
    return report


def sweep(store: Store, objects: Sequence[Held], *, names: str | None = None) -> dict[tuple[str, str], str]:
    """Remove objects for good; gives those that stay after all, with the reason.

    `names` is the state of the images' names when the objects were chosen for not being needed. Where it is another one
    by now, a build may have named an image and ended meanwhile: what images need is looked at again.
    """
    stayed: dict[tuple[str, str], str] = {}
    needed: dict[tuple[str, str], str] = {}
    for batch in _batches(objects):
        moved: list[tuple[Held, Path]] = []
        with _no_new_uses(store) as live:
            mounts, mounted, used = Mounts(), store.holders(), in_use(store.layout, live.uses)
            if names is not None and names != (state := store.images.state):
                names, needed = state, holders(store)
            for held in batch:
                use = (held.kind, held.id)
                reason = IN_USE if use in used else mounted.why(*use) or needed.get(use)
                if held.kind == "image":
                    reason = reason or mounted.why("blob", held.digest)
                reason = reason or _move_away(store, held, mounts, moved)
                if reason is not None:
                    stayed[held.kind, held.id] = reason
        for parent in {held.path.parent for held, _ in moved if held.path is not None}:
            files.fsync_directory(parent)
        for _, doomed in moved:
            with guard("removing an object", doomed):
                files.remove(doomed)
        gone = [(held.kind, held.id) for held in batch if (held.kind, held.id) not in stayed]
        store.index.execute_many("DELETE FROM uses WHERE kind = ? AND id = ?", gone)
        if names is not None and batch[0].kind == "image":
            # Of the names that stayed after all, what they need stays too.
            names = ""
    return stayed


def _batches(objects: Sequence[Held]) -> Iterator[list[Held]]:
    """Names of images first, by themselves: they are gone for good before anything moves that they needed."""
    for names in (True, False):
        chosen = [held for held in objects if (held.kind == "image") == names]
        for start in range(0, len(chosen), _BATCH):
            yield chosen[start : start + _BATCH]


@contextmanager
def _no_new_uses(store: Store) -> Iterator[Leases]:
    """All that live leases name, with the certainty that no name is added inside the block.

    It is one transaction: begun before the lock is taken, since who writes rows may wait for the lock, and committed
    before it is let go, since who names a row then must not find it any more.
    """
    with ExitStack() as stack, store.index.transaction():
        lock = acquire(store.layout.locks / "gc", "gc", timeout=GC_SECONDS, temporary=False)
        stack.callback(lock.release)
        yield store.leases()


def _move_away(store: Store, held: Held, mounts: Mounts, moved: list[tuple[Held, Path]]) -> str | None:
    if held.kind == "image":
        return None if store.images.drop(held.id, held.digest) else "it stands for another image by now"
    if held.path is None:
        store.index.execute("DELETE FROM builds WHERE id = ?", (held.id,))
        return None
    if mounts.uses(held.path):
        return MOUNTED
    doomed = store.owner.temporary()
    lock = _own_lock(store.layout, held)
    if lock is None and held.kind in _LOCKED:
        return IN_USE
    try:
        held.path.rename(doomed)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"can't remove {held.path}: {error.strerror}") from error
    finally:
        if lock is not None:
            lock.release()
    moved.append((held, doomed))
    return None


def _own_lock(layout: Layout, held: Held) -> HeldLock | None:
    """The lock of an object that is worked with under a lock; None where it is not free, or there is none."""
    if held.kind == "cache" and held.path is not None:
        return try_acquire(lock_path(layout, held.path))
    if held.kind == "partial":
        return try_acquire(layout.lock(f"partial-{held.id}"), temporary=True)
    return None


def _remove_free_locks(layout: Layout) -> None:
    """Remove the lock files that killed processes left; the fixed ones have short names."""
    for name in files.names(layout.locks):
        if len(name) == _HASHED and (lock := try_acquire(layout.locks / name, create=False, temporary=True)):
            lock.release()


def _cutoff(rules: Rules, now: float) -> float | None:
    """Rows not used since then go; None keeps all."""
    if rules.kinds:
        return None
    times = [] if rules.older_than is None else [now - rules.older_than]
    if rules.since is not None:
        times.append(rules.since)
    if times:
        return min(times)
    return float("inf") if rules.all and rules.keep_bytes is None else None


def _outcome(choice: Choice, stayed: dict[tuple[str, str], str]) -> Choice:
    why = stayed.get((choice.held.kind, choice.held.id))
    return choice if why is None else Choice(choice.held, False, why)
