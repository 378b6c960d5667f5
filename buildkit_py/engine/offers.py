"""From the nodes of a build to the records that a shared cache may get."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py import canonical
from buildkit_py.dataclass import replace
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, NotFoundError, StepError
from buildkit_py.graph.op import ImageSource
from buildkit_py.layer.commit import LayerBlob, pack
from buildkit_py.layer.compose import carried
from buildkit_py.oci import Descriptor
from buildkit_py.protocol import StepResult
from buildkit_py.sharing.export import Offer
from buildkit_py.sharing.record import DIFF, MAX_DIFF, MAX_LAYERS, Record
from buildkit_py.solver.checks import CheckNode
from buildkit_py.solver.key import shared_key
from buildkit_py.solver.layers import LayerNode
from buildkit_py.solver.outlines import trees_of
from buildkit_py.solver.sources import SourceNode
from buildkit_py.solver.steps import StepNode

if TYPE_CHECKING:
    from buildkit_py.sharing.lookup import SharedCache
    from buildkit_py.solver.nodes import Node
    from buildkit_py.solver.session import Session
    from buildkit_py.store import Store


class Offers:
    """What one build used or made, as records. With `full`, the bytes of every step belong to them, else those that a
    layer of an image holds anyway. `cache` is what the build itself asked."""

    def __init__(self, session: Session, nodes: Sequence[Node], cache: SharedCache | None, *, full: bool) -> None:
        self._session = session
        self._store = session.store
        self._trees = session.trees
        self._nodes = nodes
        self._cache = cache
        self._full = full
        self._packing = Lock()

    def all(self) -> list[Offer]:
        """One offer a key, in the order of the graph. What is to run again each time is left out."""
        found: dict[str, Offer] = {}
        for node in self._nodes:
            for offer in self._of(node):
                found.setdefault(offer.record.key, offer)
        return list(found.values())

    def _of(self, node: Node) -> Iterator[Offer]:
        match node:
            case StepNode():
                yield from self._step(node)
            case LayerNode():
                yield from self._layer(node)
            case CheckNode():
                if node.tip in self._session.content and node.held:
                    yield Offer(record=Record(kind="check", key=shared_key("check", node.memo_key())))
            case SourceNode():
                if self._full and isinstance(node.vertex.op, ImageSource):
                    yield from self._names(node.vertex.op)
            case _:
                pass

    def _step(self, node: StepNode) -> Iterator[Offer]:
        if node.key is None:
            return
        for key, selection in node.shared_selections().items():
            yield Offer(record=Record(kind="selection", key=key, facts={"selection": selection}))
        plain = self._store.results.get(node.key.digest)
        if plain is None or node.id in self._session.definition.fresh:
            return
        result = StepResult.from_plain(plain)
        facts = {"content_id": result.content_id, "diff": result.diff}
        record = Record(kind="step", key=node.key.digest, facts=facts)
        wanted = result.diff is not None and (self._full or result.diff in self._carriers)
        yield Offer(record=record, whole=partial(self._whole, record) if wanted else None)

    def _layer(self, node: LayerNode) -> Iterator[Offer]:
        if node.blob is not None and node.name_of_blob is not None:
            record = Record(
                kind="layer",
                key=shared_key("layer", node.name_of_blob),
                facts={"diff_id": node.blob.diff_id},
                layers=(_described(node.blob),),
            )
            yield Offer(record=record)

    def _names(self, op: ImageSource) -> Iterator[Offer]:
        """What is where in a base image."""
        chain = trees_of(self._store, op)
        if not chain or len(chain) > MAX_LAYERS or not self._trees.described(chain[-1]):
            return
        raws = [self._trees.diff(digest).encoded for digest in self._trees.chain(chain[-1])]
        if max(map(len, raws)) <= MAX_DIFF:
            key, facts = shared_key("names", chain[-1]), {"content_id": chain[-1]}
            diffs = tuple(Descriptor.of(raw, DIFF) for raw in raws)
            yield Offer(record=Record(kind="names", key=key, facts=facts, diffs=diffs))

    @cached_property
    def _carriers(self) -> dict[str, Descriptor]:
        """The layers of images that hold all files of a diff, by the diff's digest."""
        found: dict[str, Descriptor] = {}
        for node in self._nodes:
            if not isinstance(node, LayerNode) or node.blob is None:
                continue
            digests = node.diffs()
            try:
                whole = carried([self._trees.diff(digest) for digest in digests])
            except (NotFoundError, IntegrityError):
                # The layer came from a cache: what it consists of was never asked for.
                continue
            for digest, holds in zip(digests, whole, strict=True):
                if holds:
                    found.setdefault(digest, _described(node.blob))
        return found

    def _whole(self, record: Record) -> Record:
        """A step's record with its bytes, where they are at hand or a cache has them."""
        digest = str(record.facts["diff"])
        try:
            raw = self._trees.diff(digest).encoded
            if len(raw) > MAX_DIFF:
                return record
            return replace(record, diffs=(Descriptor.of(raw, DIFF),), layers=self._holding(digest))
        except (NotFoundError, IntegrityError, StepError):
            return self._imported(record)

    def _holding(self, digest: str) -> tuple[Descriptor, ...]:
        """The layers that hold the files of a diff; raises `NotFoundError` where their bytes are nowhere."""
        if not any(entry.type == "file" for entry in self._trees.diff(digest).entries):
            return ()
        carrier = self._carriers.get(digest)
        return (carrier if carrier is not None else _described(self._packed(digest)),)

    def _packed(self, digest: str) -> LayerBlob:
        """A layer of one diff alone."""
        options = self._session.options
        parts = {"diff": digest, "compression": options.compression, "epoch": options.epoch}
        name = canonical.digest(parts).hex
        with self._packing:
            known = self._store.memo.get("packed", name)
            if known is not None and self._store.blobs.has(known["digest"]):
                return LayerBlob(**known)
            if not self._trees.readable(digest):
                raise NotFoundError(f"the bytes of the diff {digest} are not here")
            made = pack(self._store, self._trees, digest, compression=options.compression, epoch=options.epoch)
            self._store.memo.put("packed", name, made.to_plain())
            return made

    def _imported(self, record: Record) -> Record:
        """The record as a cache gave it, with the bytes that it has there; the store learns where they are."""
        found = self._cache.found(record.key) if self._cache is not None else None
        if found is None or found.record.facts != record.facts or not found.record.diffs:
            return record
        for blob in found.record.blobs:
            if not self._store.blobs.has(str(blob.digest)):
                self._store.memo.put("origin", str(blob.digest), found.place.origin)
        return found.record


class Sources:
    """Where the blobs of records are in a store: its own, and the diffs that stand with the bytes of snapshots."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def has(self, digest: str) -> bool:
        """Whether it can be opened."""
        return self._store.blobs.has(digest) or self._store.snapshots.has(digest)

    def open(self, digest: str) -> BinaryIO:
        """Its bytes."""
        if self._store.blobs.has(digest):
            return self._store.blobs.open(digest)
        return io.BytesIO(self._store.snapshots.index(digest))

    def check(self, digest: str) -> None:
        """Raise `IntegrityError` where its bytes are not those named; the index of a snapshot is checked when read."""
        if self._store.blobs.has(digest):
            self._store.blobs.check(digest)


def _described(blob: LayerBlob) -> Descriptor:
    return Descriptor(media_type=blob.media_type, digest=Digest.parse(blob.digest), size=blob.size)
