"""Sending records to a shared cache: only what it lacks, several at a time, and each record after all of its blobs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from threading import Event
from typing import BinaryIO

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor
from buildkit_py.registry.blobs import Opens
from buildkit_py.registry.parallel import run_all
from buildkit_py.sharing.record import CONFIG, EMPTY, Record, parse
from buildkit_py.sharing.targets import JOBS, Bring, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A record that a cache may get. `whole` gives it with the blobs that belong to it, which may take work: it is
    asked only where the cache lacks them. Without it the record is whole."""

    record: Record
    whole: Callable[[], Record] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an export did: records `sent` and there `before`; `blobs` and their `bytes` that were sent."""

    sent: int
    before: int
    blobs: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Sends to one cache. `bring` fetches a blob that the store lacks, `origin_of` says where one was last seen."""

    target: Target
    blobs: Opens
    bring: Bring
    origin_of: Callable[[str], str | None]

    def send(self, offers: Sequence[Offer]) -> Report:
        """Send what the cache lacks. Raises `RegistryError`, `OutputError`, and what `bring` raises."""
        self.target.begin()
        chosen = [record for record in run_all(self._choose, offers, JOBS) if record is not None]
        shelf = _Shelf(self.blobs)
        for record in chosen:
            shelf.lay(record)
        origins = {digest: self.origin_of(digest) for digest in shelf.wanted}
        self.target.expect({origin for origin in origins.values() if origin is not None})

        def one(item: Descriptor, stop: Event) -> bool:
            return self.target.send(item, shelf, self.bring, origins[str(item.digest)], stop.is_set)

        items = list(shelf.wanted.values())
        sent = [item for item, new in zip(items, run_all(one, items, JOBS), strict=True) if new]
        if chosen:
            self.target.publish(chosen)
        return Report(
            sent=len(chosen),
            before=len(offers) - len(chosen),
            blobs=len(sent),
            bytes=sum(item.size for item in sent),
        )

    def _choose(self, offer: Offer, stop: Event) -> Record | None:
        """The record to send, if the cache has none that is as good."""
        record = offer.record
        raw = self.target.get(record.tag)
        known = _known(raw, record) if raw is not None else None
        if known is not None and known.facts == record.facts and (offer.whole is None or known.diffs):
            return None
        whole = offer.whole() if offer.whole is not None else record
        return None if whole == known else whole


def _known(raw: bytes, record: Record) -> Record | None:
    """What the cache has for a key, if that makes sense."""

    def absent(descriptor: Descriptor) -> bytes:
        raise IntegrityError("the configuration is not in the manifest")

    try:
        return parse(raw, record.kind, record.key, absent)
    except IntegrityError:
        return None


@dataclass(slots=True)
class _Shelf:
    """What is to be sent: blobs of the store, and small ones that are only in memory."""

    blobs: Opens
    wanted: dict[str, Descriptor] = field(default_factory=dict)
    _own: dict[str, bytes] = field(default_factory=dict)

    def lay(self, record: Record) -> None:
        """Add what a record needs."""
        config = Descriptor.of(record.config, CONFIG)
        self._own[str(config.digest)] = record.config
        self._own[str(EMPTY.digest)] = b"{}"
        for item in (config, *record.blobs):
            self.wanted[str(item.digest)] = item

    def has(self, digest: str) -> bool:
        """Whether it can be opened."""
        return digest in self._own or self.blobs.has(digest)

    def open(self, digest: str) -> BinaryIO:
        """Its bytes."""
        data = self._own.get(digest)
        return io.BytesIO(data) if data is not None else self.blobs.open(digest)

    def check(self, digest: str) -> None:
        """Raise `IntegrityError` where its bytes are not those named."""
        if digest not in self._own:
            self.blobs.check(digest)
