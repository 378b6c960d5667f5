"""Copying one image from one place to another: what is missing there, checked on the way, in bounded memory.

Blobs come first, a few at a time, each straight from the source to the destination; then manifests, each after those
that it names; then the name. A layer that is compressed otherwise lies in a file without a name in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryFile
from threading import Event
from typing import IO

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import OutputError, UsageError
from buildkit_py.oci import Descriptor, parse_config
from buildkit_py.registry.blobs import BlobStream, ImageReader, Progress
from buildkit_py.registry.incoming import Incoming
from buildkit_py.registry.layout import Span
from buildkit_py.registry.parallel import run_all
from buildkit_py.registry.retry import Cancel, Retry, either
from buildkit_py.transfer.convert import changed, check_wishes, recompress, to_compress
from buildkit_py.transfer.destination import Destination, Outcome, from_first
from buildkit_py.transfer.plan import Node, Plan, Wishes, read_plan

Ended = Callable[[Descriptor, Outcome], None]
"""Told of each blob that is at the destination, from any thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who wants to know how far a copy is, and whether it shall go on."""

    planned: Callable[[list[Descriptor]], None] = lambda _: None
    progress: Progress | None = None
    ended: Ended = lambda _, __: None
    cancel: Cancel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What a copy did. Digests of blobs by how they came to be there; `bytes` is the size of those that were copied.

    `digest` is that of the image at the destination; `converted` maps the digests that changed on the way. `chosen` is
    the platform that was taken where there were others, `offered` are all. `replaced` had the name before. `signatures`
    are the digests of the manifests of those that came along.
    """

    source: str
    destination: str
    digest: str
    media_type: str
    copied: tuple[str, ...]
    mounted: tuple[str, ...]
    existing: tuple[str, ...]
    bytes: int
    manifests: tuple[str, ...]
    converted: dict[str, str] = field(default_factory=dict)
    chosen: str | None = None
    offered: tuple[str, ...] = ()
    replaced: str | None = None
    signatures: tuple[str, ...] = ()


def copy(
    reader: ImageReader,
    destination: Destination,
    wishes: Wishes,
    *,
    called: str,
    name: str | None = None,
    retry: Retry | None = None,
    watch: Watch | None = None,
    admit: Callable[[Plan], None] = lambda _: None,
    carry: Callable[[Node], tuple[str, ...]] = lambda _: (),
) -> CopyReport:
    """Copy the image that `reader` reads. `called` is the destination's name for people; `name` what it shall call the
    image, None for what it says itself. `admit` raises where the image may not be copied; no blob is touched before.
    `carry` brings what hangs on the image, once it is all there and before it has its name; the digests of it.

    Raises what source and destination raise, `Cancelled`; `UsageError` for wishes that can't be met.
    """
    plan = read_plan(reader, wishes)
    admit(plan)
    if not destination.keeps_manifests and wishes.preserve:
        raise UsageError(f"{called} keeps no manifests, so no digest of one", hint="leave --preserve-digests out")
    check_wishes(plan.root, wishes)
    # The whole first: that there are several platforms says more than what one of them is.
    for node in reversed(list(plan.root.all())):
        destination.accept(node.document)
    work = _Work(reader, destination, wishes, plan, retry or Retry(), watch or Watch())
    if not work.squeezes and destination.holds(changed(plan.root, wishes, {}), name):
        work.found()
        return work.report(changed(plan.root, wishes, {}), called, None)
    final = changed(plan.root, wishes, work.blobs())
    for node in final.all():
        destination.document(node.descriptor, node.document)
    signatures = carry(final)
    replaced = destination.publish(final.descriptor, name)
    return replace(work.report(final, called, replaced), signatures=signatures)


class _Work:
    """One copy under way."""

    def __init__(
        self, reader: ImageReader, destination: Destination, wishes: Wishes, plan: Plan, retry: Retry, watch: Watch
    ) -> None:
        self._reader = reader
        self._destination = destination
        self._wishes = wishes
        self._plan = plan
        self._retry = retry
        self._watch = watch
        self._squeezed = to_compress(plan.root, wishes)
        self._diff_ids = self._known_diff_ids() if self._squeezed else frozenset()
        self._outcomes: dict[str, tuple[Descriptor, Outcome]] = {}
        self._converted: dict[str, Descriptor] = {}

    @property
    def squeezes(self) -> bool:
        """Whether a layer is compressed otherwise."""
        return bool(self._squeezed)

    def blobs(self) -> dict[str, Descriptor]:
        """Bring all blobs; the new descriptors of layers that were compressed otherwise, by the old digests."""
        items = self._plan.root.blobs()
        self._watch.planned(items)
        # Compressing uses every core by itself, and memory for each block.
        run_all(self._one, items, jobs=1 if self._squeezed else self._destination.jobs)
        return self._converted

    def _one(self, item: Descriptor, stop: Event) -> None:
        cancel = either(stop, self._watch.cancel)
        if str(item.digest) in self._squeezed:
            self._one_squeezed(item, cancel)
            return
        outcome = self._destination.blob(item, self._reader.sources(), self._watch.progress, cancel)
        self._ended(item, outcome)

    def _one_squeezed(self, item: Descriptor, cancel: Cancel) -> None:
        with _spool() as made:
            self._squeeze(item, made, cancel)
            new = self._converted[str(item.digest)]
            self._ended(new, self._destination.blob(new, [partial(_span, made.fileno())], None, cancel))

    def _squeeze(self, item: Descriptor, made: IO[bytes], cancel: Cancel) -> None:
        """Write the layer to `made`, compressed as it shall be."""
        wanted = self._wishes.compress
        assert wanted is not None

        def take(incoming: Incoming) -> Outcome:
            made.seek(0)
            made.truncate()
            self._converted[str(item.digest)] = recompress(incoming, wanted, self._diff_ids, made)
            return "copied"

        try:
            from_first(
                item, self._reader.sources(), take, retry=self._retry, progress=self._watch.progress, cancel=cancel
            )
            made.flush()
        except OSError as error:
            raise _no_room(error) from error

    def _ended(self, item: Descriptor, outcome: Outcome) -> None:
        self._outcomes[str(item.digest)] = (item, outcome)
        self._watch.ended(item, outcome)

    def _known_diff_ids(self) -> frozenset[str]:
        squeezed = (
            manifest
            for manifest in self._plan.root.manifests()
            if any(str(layer.digest) in self._squeezed for layer in manifest.layers)
        )
        configs = {str(manifest.config.digest): manifest.config for manifest in squeezed}
        parsed = [parse_config(self._reader.document(item), item.media_type) for item in configs.values()]
        return frozenset(str(diff_id) for config in parsed for diff_id in config.diff_ids)

    def found(self) -> None:
        """Take note that everything was there."""
        for item in self._plan.root.blobs():
            self._ended(item, "existing")

    def report(self, final: Node, called: str, replaced: str | None) -> CopyReport:
        """What was done."""

        def digests(outcome: Outcome) -> tuple[str, ...]:
            return tuple(digest for digest, (_, found) in self._outcomes.items() if found == outcome)

        before, after = list(self._plan.root.all()), list(final.all())
        moved = {str(old.descriptor.digest): str(new.descriptor.digest) for old, new in zip(before, after, strict=True)}
        moved |= {old: str(new.digest) for old, new in self._converted.items()}
        return CopyReport(
            source=self._reader.name,
            destination=called,
            digest=str(final.descriptor.digest),
            media_type=final.descriptor.media_type,
            copied=digests("copied"),
            mounted=digests("mounted"),
            existing=digests("existing"),
            bytes=sum(item.size for item, outcome in self._outcomes.values() if outcome == "copied"),
            manifests=tuple(str(node.descriptor.digest) for node in after),
            converted={old: new for old, new in moved.items() if old != new},
            chosen=str(self._plan.chosen) if self._plan.chosen is not None else None,
            offered=self._plan.offered,
            replaced=replaced,
        )


def _span(fd: int, item: Descriptor, offset: int) -> BlobStream:
    return Span(os.fdopen(os.dup(fd), "rb"), offset, item.size, offset)


def _spool() -> IO[bytes]:
    """A file without a name for a layer: not where files are kept in memory, as /tmp may be."""
    try:
        return TemporaryFile(dir=_room())
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> OutputError:
    return OutputError(
        f"a layer can't be kept in {_room()} while it is compressed: {error.strerror or error}",
        hint="name a directory with room for it by TMPDIR",
    )


def _room() -> str:
    return os.environ.get("TMPDIR") or "/var/tmp"
