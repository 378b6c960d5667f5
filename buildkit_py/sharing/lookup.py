"""Asking shared caches what a key came to, and for its bytes. Nothing is believed that does not fit what was asked for.

A cache can only help: what it lacks, what is wrong with it and that it can't be reached is told, and the step runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, RegistryError, SandboxError, SourceInputError
from buildkit_py.executor.source.meter import Meter
from buildkit_py.layer.commit import LayerBlob
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.layer.incoming import lay_down, parse_diff
from buildkit_py.protocol import StepResult
from buildkit_py.registry.download import fetch_blobs
from buildkit_py.registry.retry import Retry
from buildkit_py.sharing.places import Unreachable
from buildkit_py.sharing.record import MAX_DIFF, Kind, Record, parse, tag_of

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Tell
    from buildkit_py.layer.entry import Diff
    from buildkit_py.layer.stored import StoredTrees
    from buildkit_py.oci import Descriptor
    from buildkit_py.registry.blobs import Progress
    from buildkit_py.registry.retry import Cancel
    from buildkit_py.sharing.places import Place
    from buildkit_py.store import Store

_REFUSED = (IntegrityError, RegistryError, SourceInputError, SandboxError)
MOST_REFUSED = 20
"""A cache with more wrong records than that is not asked any more."""
Check = Callable[[Record], str | None]
"""What is wrong with a record in the eyes of who asks, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A record, and where it is."""

    record: Record
    place: Place


class SharedCache:
    """The caches of one build, asked in their order. Thread-safe. `warn` is told what is wrong with them.

    An answer is remembered, also that there is none; a cache that can't be reached is not asked again.
    """

    def __init__(self, store: Store, trees: StoredTrees, places: Sequence[Place], warn: Callable[[str], None]) -> None:
        self._store = store
        self._trees = trees
        self._places = list(places)
        self._warn = warn
        self._lock = Lock()
        self._dead: set[str] = set()
        self._known: dict[str, Found | None] = {}
        self._spent: set[str] = set()
        self._refused: dict[str, int] = {}
        self.used: dict[str, int] = {}
        """How many records of each cache were believed, by its name."""

    def found(self, key: str) -> Found | None:
        """What an earlier question for a key brought; nobody is asked."""
        return self._known.get(key)

    def step(self, key: str, base: str | None) -> StepResult | None:
        """The result of a step over the tree `base` (a content id); without it, of one whose tree nobody wants."""

        def check(record: Record) -> str | None:
            content_id, diff = record.facts["content_id"], record.facts["diff"]
            if base is None:
                return None
            if content_id is None:
                return "it names no tree"
            wanted = str(canonical.digest({"parent": base, "diff": diff})) if diff is not None else base
            return None if content_id == wanted else f"its diff makes {wanted}, not the tree {content_id} that it names"

        found = self._find("step", key, check)
        if found is None:
            return None
        facts = found.record.facts
        return StepResult(key=key, content_id=facts["content_id"], diff=facts["diff"], hit="key")

    def selection(self, key: str) -> str | None:
        """The digest of what is selected of a tree."""
        found = self._find("selection", key)
        return found.record.facts["selection"] if found is not None else None

    def check(self, key: str) -> bool:
        """Whether a check of a test is known to hold."""
        return self._find("check", key) is not None

    def layer(self, key: str) -> LayerBlob | None:
        """The blob that some diffs make. It stays where it is; the store knows from now on where that is."""
        found = self._find("layer", key)
        if found is None:
            return None
        (blob,) = found.record.layers
        digest = str(blob.digest)
        if not self._store.blobs.has(digest):
            self._store.memo.put("origin", digest, found.place.origin)
        diff_id = found.record.facts["diff_id"] or ""
        return LayerBlob(digest=digest, size=blob.size, diff_id=diff_id, media_type=blob.media_type)

    def restore(self, key: str, result: StepResult, epoch: int, *, tell: Tell, cancel: Cancel) -> bool:
        """Bring the bytes that a step added into the store; False where no cache has them."""
        found = self._kept(key, result)
        if found is None:
            return False
        return self._done(found, key, lambda: self._lay(found, epoch, tell, cancel))

    def tell(self, key: str, result: StepResult, cancel: Cancel) -> bool:
        """Learn what a step changed, without its bytes; False where no cache tells."""
        found = self._kept(key, result)
        if found is None:
            return False
        return self._done(found, key, lambda: self._trees.learn(self._diff(found.place, found.record.diffs[0], cancel)))

    def names(self, key: str, chain: Sequence[str], cancel: Cancel) -> bool:
        """Learn what is where in an image whose trees have these content ids, lowest first; False where no cache
        knows."""

        def check(record: Record) -> str | None:
            if record.facts["content_id"] != chain[-1]:
                return f"it is about the tree {record.facts['content_id']}"
            count = len(record.diffs)
            return None if count == len(chain) else f"it has {count} diffs for {len(chain)} layers"

        found = self._find("names", key, check)
        if found is None or key in self._spent:
            return False

        def learn() -> None:
            diffs = [self._diff(found.place, item, cancel) for item in found.record.diffs]
            for content_id, below, diff in zip(chain, (EMPTY_TREE, *chain), diffs, strict=False):
                self._trees.learn(diff)
                self._store.trees.put(content_id, below, diff.digest)

        return self._done(found, key, learn)

    def _kept(self, key: str, result: StepResult) -> Found | None:
        """The record of a step's result, if what it lists can be used."""
        found = self._find("step", key)
        if found is None or key in self._spent or not found.record.diffs or result.diff is None:
            return None
        return found if found.record.facts["diff"] == result.diff else None

    def _done(self, found: Found, key: str, act: Callable[[], None]) -> bool:
        """Whether something was done with what a record lists; if it can't be, it is told, and not tried again."""
        try:
            act()
        except _REFUSED as error:
            self._spent.add(key)
            self._refuse(found.place, key, error.message)
            return False
        return True

    def _find(self, kind: Kind, key: str, check: Check | None = None) -> Found | None:
        if key in self._known:
            return self._known[key]
        found = next(filter(None, (self._ask(place, kind, key, check) for place in self._places)), None)
        with self._lock:
            if found is not None and key not in self._known:
                self.used[found.place.name] = self.used.get(found.place.name, 0) + 1
            self._known[key] = found
        return found

    def _ask(self, place: Place, kind: Kind, key: str, check: Check | None) -> Found | None:
        if place.name in self._dead:
            return None
        try:
            raw = place.get(tag_of(key))
            if raw is None:
                return None
            record = parse(raw, kind, key, place.config)
            fault = check(record) if check is not None else None
            if fault is not None:
                raise IntegrityError(fault)
        except Unreachable as error:
            self._give_up(place, error.reason)
            return None
        except IntegrityError as error:
            self._refuse(place, key, error.message)
            return None
        return Found(record=record, place=place)

    def _lay(self, found: Found, epoch: int, tell: Tell, cancel: Cancel) -> None:
        (item,) = found.record.diffs
        diff = self._diff(found.place, item, cancel)
        absent = [layer for layer in found.record.layers if not self._store.blobs.has(str(layer.digest))]
        self._fetch(found.place, absent, cancel, Meter(tell, sum(layer.size for layer in absent)))
        with self._store.snapshots.area() as area:
            blobs = [partial(self._store.blobs.verified, str(layer.digest)) for layer in found.record.layers]
            size = lay_down(diff, blobs, area.fs, epoch)
            self._store.snapshots.commit(area, diff.digest, diff.encoded, size)
        self._trees.learn(diff)

    def _diff(self, place: Place, item: Descriptor, cancel: Cancel) -> Diff:
        self._fetch(place, [item], cancel)
        return parse_diff(self._store.blobs.read(str(item.digest), MAX_DIFF))

    def _fetch(
        self, place: Place, items: Sequence[Descriptor], cancel: Cancel, progress: Progress | None = None
    ) -> None:
        fetch_blobs(items, place.sources(), self._store.blobs, retry=Retry(), progress=progress, cancel=cancel)

    def _give_up(self, place: Place, reason: str) -> None:
        with self._lock:
            first = place.name not in self._dead
            self._dead.add(place.name)
        if first:
            self._warn(f"the cache {place.name} is not used: {reason}")

    def _refuse(self, place: Place, key: str, reason: str) -> None:
        self._warn(f"the record {tag_of(key)} of the cache {place.name} is refused: {reason}")
        with self._lock:
            self._refused[place.name] = count = self._refused.get(place.name, 0) + 1
        if count == MOST_REFUSED:
            self._give_up(place, f"{count} of its records were refused")
