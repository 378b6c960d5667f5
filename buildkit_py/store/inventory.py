"""Everything in a store that takes space, with who holds it; `df` and `prune` both start from here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError
from buildkit_py.store import files
from buildkit_py.store.caches import all_directories, cache_id, cache_name, lock_path
from buildkit_py.store.locks import is_held
from buildkit_py.store.mounts import Mounts
from buildkit_py.store.reach import closure, in_use, mentioned, needed
from buildkit_py.store.report import CacheUsage, ImageUsage, Kind, KindUsage, Usage
from buildkit_py.store.schema import AT, CREATED
from buildkit_py.store.snapshots import snapshot_size

if TYPE_CHECKING:
    from buildkit_py.store.images import ImageRecord
    from buildkit_py.store.store import Store

_KINDS: tuple[Kind, ...] = ("blob", "snapshot", "cache", "build", "partial")
RECEIPT = "receipt"
"""The kind of facts that receipts are kept as (`buildkit_py.receipt`)."""
IN_USE = "a running process uses it"
MOUNTED = "a file system is mounted on it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object: where it is (None for a row), why it must stay, and whether a build may want it.

    `names` are the images that need it: it stays while one of them has its name. Of the name of an image, `digest` is
    what it stands for.
    """

    kind: Kind
    id: str
    label: str
    bytes: int
    used: float
    path: Path | None
    reason: str | None
    wanted: bool
    names: tuple[str, ...] = ()
    digest: str = ""

    def holder(self, gone: Collection[str] = ()) -> str | None:
        """Why it must stay when the names `gone` are taken away; None where it may go."""
        left = next((name for name in self.names if name not in gone), None)
        return self.reason if left is None else f"image {left} needs it"


class Inventory:
    """One look at a store. What appears or vanishes meanwhile may be seen or not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._layout = store.layout
        self._mounts = Mounts()
        # After the leases: what is mounted is held by a record before its lease ends.
        self._live = in_use(store.layout, store.leases().uses)
        self._holders = store.holders()
        self._used = {(kind, name): at for kind, name, at in store.index.rows(f"SELECT kind, id, {AT} FROM uses")}
        self._records = store.images.list()

    def objects(self) -> list[Held]:
        """Every object that takes space, by kind."""
        return [*self._blobs(), *self._snapshots(), *self._caches(), *self._builds(), *self._partials()]

    def names(self) -> list[Held]:
        """The names of images; they take no space themselves. Those of mounted images stay."""
        return [self._name(record.name, str(record.descriptor["digest"]), record.created) for record in self._records]

    def _name(self, name: str, digest: str, created: float) -> Held:
        return Held(
            kind="image",
            id=name,
            label=name,
            bytes=0,
            used=max(created, self._used.get(("blob", digest), 0.0)),
            path=None,
            reason=self._holders.why("image", name) or self._holders.why("blob", digest),
            wanted=True,
            digest=digest,
        )

    def usage(self) -> Usage:
        """The sums by kind, the images, and the cache directories."""
        objects = self.objects()
        return Usage(
            kinds=tuple(_sum(kind, [held for held in objects if held.kind == kind]) for kind in _KINDS),
            images=tuple(_images(self._records, objects)),
            caches=tuple(
                CacheUsage(id=held.label, bytes=held.bytes, used=held.used, in_use=held.reason is not None)
                for held in objects
                if held.kind == "cache"
            ),
        )

    def blobs(self, digests: Iterable[str], *, without: Collection[str] = ()) -> list[Held]:
        """These blobs, as if the names `without` were gone; what is no digest is passed over.

        What the receipt of a build tells of is not wanted: where it is gone, that build is done the long way.
        """
        named = holders(self._store, without=without)
        wanted = closure(self._layout, self._mentioned(besides=RECEIPT))
        found: list[Held] = []
        for digest in digests:
            with suppress(IntegrityError):
                path = self._layout.blob(digest)
                reason = named.get(("blob", digest)) or self._kept("blob", digest)
                found += self._held("blob", digest, path, reason=reason, wanted=digest in wanted)
        return found

    def _blobs(self) -> Iterator[Held]:
        names: dict[str, list[str]] = {}
        for record in self._records:
            for descriptor in needed(self._layout, record.descriptor):
                names.setdefault(str(descriptor["digest"]), []).append(record.name)
        wanted = closure(self._layout, self._mentioned())
        for algorithm in files.names(self._layout.root / "blobs"):
            for path in _entries(self._layout.root / "blobs" / algorithm):
                digest = f"{algorithm}:{path.name}"
                needs = tuple(names.get(digest, ()))
                reason = self._kept("blob", digest)
                yield from self._held("blob", digest, path, reason=reason, wanted=digest in wanted, names=needs)

    def _snapshots(self) -> Iterator[Held]:
        wanted = {diff for (diff,) in self._store.index.rows("SELECT DISTINCT diff FROM trees")}
        for path in _entries(self._layout.snapshots):
            digest = f"sha256:{path.name}"
            reason = self._kept("snapshot", digest, mounted=self._mounts.uses(path))
            yield from self._held("snapshot", digest, path, reason=reason, wanted=digest in wanted)

    def _caches(self) -> Iterator[Held]:
        for path in all_directories(self._layout):
            name = cache_name(path)
            reason = MOUNTED if self._mounts.uses(path) else self._in_use("cache", name)
            if is_held(lock_path(self._layout, path)):
                reason = IN_USE
            yield from self._held("cache", name, path, reason=reason, wanted=True, label=cache_id(path) or name)

    def _builds(self) -> Iterator[Held]:
        for name, created, size in self._store.index.rows(
            f"SELECT id, {CREATED}, COALESCE(length(record), 0) FROM builds"
        ):
            name = str(name)
            yield Held(kind="build", id=name, label=name, bytes=size, used=created, path=None, reason=None, wanted=True)

    def _partials(self) -> Iterator[Held]:
        for path in _entries(self._layout.partial):
            digest = path.name.partition(".")[0].replace("-", ":")
            reason = IN_USE if is_held(self._layout.lock(f"partial-{digest}")) else None
            yield from self._held("partial", digest, path, reason=reason, wanted=False)

    def _held(
        self,
        kind: Kind,
        id: str,  # noqa: A002 - the field's word
        path: Path,
        *,
        reason: str | None,
        wanted: bool,
        label: str = "",
        names: tuple[str, ...] = (),
    ) -> Iterator[Held]:
        with suppress(FileNotFoundError):
            made = path.lstat()
            if kind == "snapshot":
                size, made = self._snapshot(path)
            else:
                size = files.tree_size(path) if kind == "cache" else made.st_size
            used = max(self._used.get((kind, id), 0.0), made.st_mtime)
            yield Held(
                kind=kind,
                id=id,
                label=label or id,
                bytes=size,
                used=used,
                path=path,
                reason=reason,
                wanted=wanted,
                names=names,
            )

    def _snapshot(self, path: Path) -> tuple[int, os.stat_result]:
        size = snapshot_size(path)
        # The time of `meta` is when the snapshot was made; its directory has the time of a later removal, if any.
        with suppress(FileNotFoundError):
            return (files.tree_size(path / "fs") if size is None else size), (path / "meta").lstat()
        return (files.tree_size(path) if size is None else size), path.lstat()

    def _kept(self, kind: Kind, id: str, *, mounted: bool = False) -> str | None:  # noqa: A002
        return self._holders.why(kind, id) or (MOUNTED if mounted else self._in_use(kind, id))

    def _in_use(self, kind: Kind, id: str) -> str | None:  # noqa: A002
        return IN_USE if (kind, id) in self._live else None

    def _mentioned(self, *, besides: str = "") -> set[str]:
        """The digests that rows name, but for facts of the kind `besides`."""
        # Of a tree that was only looked at, the diff itself is a blob; of a build, its graph.
        texts = self._store.index.rows(
            "SELECT value FROM memo WHERE kind != ?"
            " UNION ALL SELECT value FROM results UNION ALL SELECT diff FROM trees"
            " UNION ALL SELECT summary FROM builds",
            (besides,),
        )
        return {digest for (text,) in texts for digest in mentioned(text)}


def holders(store: Store, *, without: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """The blobs that named images need, each with the reason that keeps it; `without` are names that do not count."""
    return {
        ("blob", str(descriptor["digest"])): f"image {record.name} needs it"
        for record in store.images.list()
        if record.name not in without
        for descriptor in needed(store.layout, record.descriptor)
    }


def _entries(directory: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return [directory / name for name in files.names(directory)]
    return []


def _sum(kind: Kind, objects: list[Held]) -> KindUsage:
    return KindUsage(
        kind=kind,
        count=len(objects),
        bytes=sum(held.bytes for held in objects),
        reclaimable=sum(held.bytes for held in objects if held.holder() is None),
    )


def _images(records: Iterable[ImageRecord], objects: Iterable[Held]) -> Iterator[ImageUsage]:
    whole, unique = Counter[str](), Counter[str]()
    for held in objects:
        for name in held.names:
            whole[name] += held.bytes
            unique[name] += held.bytes if len(held.names) == 1 else 0
    for record in records:
        name = record.name
        yield ImageUsage(
            name=name,
            digest=str(record.descriptor["digest"]),
            created=record.created,
            bytes=whole[name],
            shared=whole[name] - unique[name],
            unique=unique[name],
        )
