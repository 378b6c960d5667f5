"""What the care of a store tells: use of space, what a prune removed and kept and why, and what a check found."""

from __future__ import annotations

from typing import Literal

from buildkit_py.dataclass import dataclass

Kind = Literal["blob", "snapshot", "cache", "build", "partial", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindUsage:
    """The objects of one kind: how many, their bytes, and the bytes that neither an image nor a process holds."""

    kind: Kind
    count: int
    bytes: int
    reclaimable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUsage:
    """A named image: the bytes of its blobs that are in the store; `shared` are those that other names need as well,
    `unique` would go with this name. `created` is when it got the name, in seconds since 1970."""

    name: str
    digest: str
    created: float
    bytes: int
    shared: int
    unique: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUsage:
    """The directory of one `cache` mount: its id, bytes, and last use in seconds since 1970."""

    id: str
    bytes: int
    used: float
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The use of space, by kind, image and cache directory."""

    kinds: tuple[KindUsage, ...]
    images: tuple[ImageUsage, ...] = ()
    caches: tuple[CacheUsage, ...] = ()

    @property
    def bytes(self) -> int:
        """All bytes."""
        return sum(kind.bytes for kind in self.kinds)

    @property
    def reclaimable(self) -> int:
        """The bytes that `prune(all=True)` would free."""
        return sum(kind.reclaimable for kind in self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneItem:
    """One object that a prune looked at. `used` is its last use in seconds since 1970, `label` its name for people."""

    kind: Kind
    id: str
    label: str
    bytes: int
    used: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What was removed (or would be, in a dry run) and what was kept, each with the reason."""

    removed: tuple[PruneItem, ...]
    kept: tuple[PruneItem, ...]

    @property
    def bytes(self) -> int:
        """The bytes freed."""
        return sum(item.bytes for item in self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong in the store. `kind` and `id` name the object, `repaired` says that it was put right.

    `remedy` is how a repair does that: it removes the object, which the next build or pull makes again; mends what is
    wrong with it; or must wait for somebody else.
    """

    kind: str
    id: str
    problem: str
    repaired: bool = False
    remedy: Literal["remove", "mend", "wait"] = "remove"
