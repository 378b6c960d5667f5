"""Layers as nodes: the diffs between two tips, written as one blob unless it is in the store already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event
from typing import Any

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import Cancelled, NotFoundError
from buildkit_py.layer.commit import LayerBlob, commit
from buildkit_py.layer.compose import needs_lower
from buildkit_py.solver.key import shared_key
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.session import Session
from buildkit_py.source import Span

_STOPPED_SECONDS = 2.0


def layer_id(lower: str, tip: str) -> str:
    """The id of the node that commits the steps above `lower` up to `tip`."""
    return f"layer-{canonical.digest([lower, tip]).hex}"


@dataclass(slots=True)
class LayerNode:
    """One layer to commit. `steps` are the vertices from just above `lower` up to the tip."""

    session: Session
    name: str
    lower: str
    steps: tuple[str, ...]
    span: Span | None = None
    kind: str = "commit"
    slow: bool = field(init=False)
    id: str = field(init=False)
    title: str = field(init=False)
    inputs: tuple[str, ...] = field(init=False)
    eager: tuple[str, ...] = ()
    blob: LayerBlob | None = None
    reused: bool = True
    name_of_blob: str | None = None
    """What the store knows the blob as: digits of a digest."""
    _asked: bool = False

    def __post_init__(self) -> None:
        self.slow = self.session.cache is not None
        self.id = layer_id(self.lower, self.steps[-1] if self.steps else self.lower)
        self.title = f"layer {self.name!r}"
        self.inputs = (self.lower, *self.steps)

    def identify(self) -> Identity:
        """Look for a blob made of the same diffs."""
        keys = (self._key(None), self._key(self.session.content[self.lower]))
        for key in keys:
            known = self.session.store.memo.get("layer", key)
            if known is not None and self.session.store.blobs.has(known["digest"]):
                return self._settle(key, LayerBlob(**known))
        return self._ask(keys)

    def _ask(self, keys: Iterable[str]) -> Identity:
        """Look for such a blob elsewhere; it stays there until somebody needs its bytes."""
        cache = self.session.cache
        if cache is not None:
            for key in keys:
                blob = cache.layer(shared_key("layer", key))
                if blob is not None:
                    self.session.store.memo.put("layer", key, blob.to_plain())
                    return self._settle(key, blob)
        return Identity(known=False)

    def _settle(self, key: str, blob: LayerBlob) -> Identity:
        self.name_of_blob, self.blob = key, blob
        return Identity(known=True, available=True)

    def look_ahead(self, stop: Event) -> None:
        """Nothing to look at."""

    def prepare(self) -> None:
        """Nothing to do."""

    def produce(self) -> Identity:
        """Compose the diffs and write the blob."""
        lower = self.session.content[self.lower]
        if not all(map(self.session.trees.readable, self._fitting())):
            raise InputNeeded(*self.steps)
        diffs = [self.session.trees.diff(digest) for digest in self.diffs()]
        depends = needs_lower(diffs)
        if depends and not self.session.trees.described(lower):
            raise InputNeeded(*self.session.stacks.legible(self.lower))
        self.session.begin(self)
        with self.session.alone(self, self.id):
            if self.identify().known:
                return Identity(known=True, available=True)
            blob = commit(
                self.session.store,
                self.session.trees,
                self.diffs(),
                lower if depends else None,
                compression=self.session.options.compression,
                epoch=self.session.options.epoch,
                took=lambda times: self.session.took(self, times),
                check=_stopper(self.session.stopping),
            )
            self.reused = False
            key = self._key(lower if depends else None)
            self.session.store.memo.put("layer", key, blob.to_plain())
        return self._settle(key, blob)

    def _fitting(self) -> list[str]:
        """The same of steps that lie upon each other: one may have been made again and come out other, and those above
        it must be made again too."""
        try:
            return self.diffs()
        except NotFoundError:
            if self._asked:
                raise
            self._asked = True
            raise InputNeeded(*self.steps) from None

    def cancel(self) -> None:
        """A commit is always useful and mostly short: it hears by itself that the build is stopped (see `_stopper`)."""

    def diffs(self) -> list[str]:
        """The digests of the diffs that the layer is made of, lowest first."""
        content = self.session.content
        return self.session.trees.above(content[self.inputs[-1]], content[self.lower])

    def _key(self, lower: str | None) -> str:
        parts: dict[str, Any] = {
            "diffs": self._fitting(),
            "lower": lower,
            "compression": self.session.options.compression,
            "epoch": self.session.options.epoch,
        }
        return canonical.digest(parts).hex


def _stopper(stopping: Event) -> Callable[[], None]:
    from buildkit_py.grace import Grace

    grace = Grace(stopping, _STOPPED_SECONDS)

    def check() -> None:
        if grace.over():
            raise Cancelled("the build was stopped")

    return check
