"""Images: pinned by their documents alone; layers are fetched and unpacked when a step needs their bytes.

What the store remembers of an image, so that nobody has to be asked again (kinds of `store.memo`):

    base     manifest digest → content id of the image's tree
    origin   layer digest    → the reference it can be fetched from
    root     manifest digest → digest of the index that it was found by
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError, SourceInputError
from buildkit_py.executor.source.arrivals import Arrivals
from buildkit_py.executor.source.meter import Meter
from buildkit_py.executor.waiting import enter_patiently
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.platform import Platform
from buildkit_py.reference import is_local
from buildkit_py.registry.pull import PulledImage, fetch_layers, fetch_metadata, stored_documents, stored_image
from buildkit_py.registry.retry import check, either

if TYPE_CHECKING:
    from buildkit_py.executor.workshop import Workshop
    from buildkit_py.graph.op import ImageSource
    from buildkit_py.layer.entry import Diff
    from buildkit_py.oci import Descriptor, ImageConfigDoc, Manifest
    from buildkit_py.registry.blobs import BlobSource, BlobStream, ImageReader, Progress
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.registry.download import Arrived
    from buildkit_py.registry.retry import Cancel
    from buildkit_py.registry.source import OfferedLayout
    from buildkit_py.store import Store
    from buildkit_py.trust.gate import Gate

Lay = Callable[["Workshop", "_Layer"], None]
"""Makes one layer's tree known to the store."""
Tell = Callable[[int, int | None], None]
"""Told how many bytes were moved, and of how many, where that is known."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer of an image: its blob, what its configuration says of it, and the trees above and below it."""

    blob: Descriptor
    diff_id: Digest
    content_id: str
    parent: str

    def check(self, diff_id: str) -> None:
        """Raise `IntegrityError` unless the layer holds what the configuration says."""
        if diff_id != str(self.diff_id):
            raise IntegrityError(
                f"the layer {self.blob.digest} holds {diff_id}, but the image's configuration says {self.diff_id}"
            )


class Images:
    """Reads images for one build; connections are shared. Local paths are relative to `directory`; `layouts` are what
    the client offers from elsewhere, as `oci:NAME`. The trust policy is `policy`, or where none is given the one that
    holds on this machine."""

    def __init__(
        self,
        store: Store,
        directory: Path,
        layouts: Mapping[str, OfferedLayout] | None = None,
        policy: Path | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._layouts = dict(layouts or {})
        self._policy = policy
        self._client: RegistryClient | None = None
        self._gate: Gate | None = None

    @property
    def client(self) -> RegistryClient:
        """The way to registries, configured when it is first needed."""
        if self._client is None:
            from buildkit_py.registry.client import RegistryClient
            from buildkit_py.registry.config import load

            self._client = RegistryClient(load())
        return self._client

    @property
    def gate(self) -> Gate:
        """What holds images against the trust policy, which is read when it is first needed."""
        if self._gate is None:
            from buildkit_py.trust.gate import Gate

            self._gate = Gate(self._store, lambda: self.client, given=self._policy)
        return self._gate

    @property
    def policy_files(self) -> Mapping[str, str]:
        """What was read of the trust policy so far, with the stamps of the files."""
        return self._gate.files if self._gate is not None else {}

    def admit(self, ref: str, digest: str, index: str | None = None) -> None:
        """Return if the trust policy lets an image be used: its manifest's digest, and that of the index it was found
        by. Raises `TrustError`."""
        from buildkit_py.trust.gate import Candidate

        name, files = (self._absolute(ref), self._files(ref)) if is_local(ref) else (ref, None)
        found_by = Digest.parse(index) if index is not None else None
        self.gate.admit(Candidate(name=name, digest=Digest.parse(digest), index=found_by, files=files))

    def describe(self, ref: str, platform: Platform, digest: str | None = None) -> PulledImage:
        """Pin an image (at `digest`, if it is given), hold it against the trust policy and remember what it consists
        of. Raises `TrustError`."""
        reader = self._reader(ref)
        known = stored_image(reader, digest, self._store) if digest is not None else None
        pinned = Digest.parse(digest) if digest is not None else None
        pulled = known or fetch_metadata(reader, platform, self._store, pinned=pinned)
        self.admit(ref, str(pulled.digest), str(pulled.root.digest) if pulled.root.digest != pulled.digest else None)
        self._remember(ref, pulled)
        return pulled

    def documents(self, op: ImageSource) -> tuple[Manifest, ImageConfigDoc]:
        """Manifest and configuration of a pinned image; nobody is asked for what the store has."""
        known = stored_documents(op.digest, self._store) if op.digest is not None else None
        if known is not None:
            return known
        pulled = self.describe(op.ref, Platform.parse(op.platform), op.digest)
        return pulled.manifest, pulled.config

    def unpack(self, shop: Workshop, op: ImageSource, cancelled: Event, tell: Tell) -> str:
        """Bring an image's tree into the store; returns its content id. `tell` gets the bytes that were fetched."""
        return self._bring_base(shop, op, shop.trees.complete, self._unpack_layer, cancelled, tell)

    def unpack_stored(
        self, shop: Workshop, blobs: Sequence[Descriptor], diff_ids: Sequence[Digest], cancelled: Event, tell: Tell
    ) -> str:
        """As `unpack`, for an image of the store that has these layers, lowest first; what was left where it came from
        is fetched from there."""
        fetch = partial(self._fetch_known, cancelled, tell)
        return self._bring(shop, _layers_of(blobs, diff_ids), shop.trees.complete, self._unpack_layer, fetch, cancelled)

    def outline(self, shop: Workshop, op: ImageSource, cancelled: Event, tell: Tell) -> str:
        """As `unpack`, but bring only what is where in the tree, not the bytes of its files."""
        return self._bring_base(shop, op, shop.trees.described, self._outline_layer, cancelled, tell)

    def _bring_base(
        self, shop: Workshop, op: ImageSource, there: Callable[[str], bool], lay: Lay, cancelled: Event, tell: Tell
    ) -> str:
        pulled = self.describe(op.ref, Platform.parse(op.platform), op.digest)
        fetch = partial(self._fetch_layers, pulled, cancelled, tell)
        return self._bring(shop, _layers_of(pulled.layers, pulled.diff_ids), there, lay, fetch, cancelled)

    def _bring(
        self,
        shop: Workshop,
        layers: Sequence[_Layer],
        there: Callable[[str], bool],
        lay: Lay,
        fetch: Callable[[Sequence[_Layer], Callable[[str], None], Event], None],
        cancelled: Event,
    ) -> str:
        """Have `lay` do its work for every tree of the image's chain that is not `there`."""

        def tell(holder: str) -> None:
            shop.note(f"waiting for {holder}, which unpacks the same image")

        missing = [layer.content_id for layer in layers if not there(layer.content_id)]
        if missing:
            with ExitStack() as stack:
                # From the bottom up, as every image that shares a layer does: nobody waits in a circle.
                for content_id in missing:
                    enter_patiently(stack, partial(self._hold, content_id), cancelled, tell)
                absent = [layer for layer in layers if not there(layer.content_id)]
                with Arrivals(partial(fetch, absent)) as arrivals:
                    for layer in absent:
                        arrivals.wait(str(layer.blob.digest))
                        check(cancelled.is_set)
                        lay(shop, layer)
        return layers[-1].content_id if layers else EMPTY_TREE

    def _hold(self, content_id: str, seconds: float) -> AbstractContextManager[None]:
        return self._store.lock(f"unpack-{content_id}", timeout=seconds)

    def _fetch_layers(
        self,
        pulled: PulledImage,
        cancelled: Event,
        tell: Tell,
        layers: Sequence[_Layer],
        arrived: Callable[[str], None],
        stop: Event,
    ) -> None:
        wanted = {layer.blob.digest: layer.blob for layer in layers}
        absent = [blob.size for blob in wanted.values() if not self._store.blobs.has(str(blob.digest))]
        meter, cancel = Meter(tell, sum(absent)), either(stop, cancelled.is_set)
        fetch_layers(pulled, self._store, only=wanted, cancel=cancel, progress=meter, arrived=arrived)

    def _fetch_known(
        self, cancelled: Event, tell: Tell, layers: Sequence[_Layer], arrived: Callable[[str], None], stop: Event
    ) -> None:
        """Layers of which the store knows at most where they were seen last."""
        absent: list[Descriptor] = []
        for blob in {layer.blob.digest: layer.blob for layer in layers}.values():
            if self._store.blobs.has(str(blob.digest)):
                arrived(str(blob.digest))
            else:
                absent.append(blob)
        meter, cancel = Meter(tell, sum(blob.size for blob in absent)), either(stop, cancelled.is_set)
        self.fetch(absent, progress=meter, cancel=cancel, arrived=arrived)

    def remember(self, digests: Iterable[str], ref: str) -> None:
        """Note that a registry has blobs, so that the next push to it mounts them from there."""
        with self._store.index.transaction(durable=False):
            for digest in digests:
                self._store.memo.put("origin", digest, ref)

    def fetch(
        self,
        descriptors: Iterable[Descriptor],
        progress: Progress | None = None,
        origins: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
        arrived: Arrived | None = None,
    ) -> None:
        """Bring layers that were left where they are into the store.

        `origins` are the references to ask first, by the digest of the layer; then comes where it was last seen.
        `arrived` is told of each that is there.
        """
        from buildkit_py.registry.download import fetch_blobs

        first = frozenset((origins or {}).values())
        by_origins: dict[tuple[str, ...], list[Descriptor]] = {}
        for descriptor in descriptors:
            by_origins.setdefault(self._origins(descriptor, origins or {}), []).append(descriptor)
        for refs, wanted in by_origins.items():
            readers = [self._reader(ref) if ref in first else self._remembered(ref) for ref in refs]
            sources = [source for reader in readers for source in reader.sources()]
            with _only_there(wanted[0], refs[0]):
                fetch_blobs(
                    wanted,
                    sources,
                    self._store.blobs,
                    retry=self.client.retry,
                    progress=progress,
                    cancel=cancel,
                    arrived=arrived,
                )

    def elsewhere(self, descriptor: Descriptor) -> list[BlobSource]:
        """Where a layer that was left where it is can be read, best first; raises `IntegrityError` where that is not
        known."""

        def told(ref: str, source: BlobSource) -> BlobSource:
            def stream(item: Descriptor, offset: int) -> BlobStream:
                with _only_there(item, ref):
                    return source(item, offset)

            return stream

        refs = self._origins(descriptor, {})
        return [told(ref, source) for ref in refs for source in self._remembered(ref).sources()]

    def _origins(self, descriptor: Descriptor, first: Mapping[str, str]) -> tuple[str, ...]:
        digest = str(descriptor.digest)
        known: str | None = self._store.memo.get("origin", digest)
        refs = tuple(dict.fromkeys(ref for ref in (first.get(digest), known) if ref is not None))
        if not refs:
            if self._store.blobs.has(digest):
                from buildkit_py.store.blobs import damaged

                raise damaged(digest)
            raise IntegrityError(f"the blob {digest} is not in the store", hint="build once with --no-cache")
        return refs

    def _reader(self, ref: str) -> ImageReader:
        from buildkit_py.registry.source import offered, open_reader

        layout = offered(ref, self._layouts)
        if layout is not None:
            return layout.reader(ref)
        return open_reader(ref, self.client, directory=self._directory, open_at=self._open_below)

    def _remembered(self, ref: str) -> ImageReader:
        """A reader of a place that the store knows, which may be in another build's directory."""
        from buildkit_py.registry.source import open_reader

        return open_reader(ref, self.client, directory=self._directory)

    def _open_below(self, path: Path, flags: int) -> int:
        """Open what a build names: neither its path nor a link may lead out of the directory."""
        import errno

        from buildkit_py.layer.openat import Root, open_below

        outside = OSError(errno.EXDEV, "it is not below the directory of the build")
        if not path.is_relative_to(self._directory):
            raise outside
        with Root(self._directory) as root:
            try:
                return open_below(root.fd, str(path.relative_to(self._directory)), flags, links=True)
            except OSError as error:
                raise (outside if error.errno == errno.EXDEV else error) from None

    def _remember(self, ref: str, pulled: PulledImage) -> None:
        digest = str(pulled.digest)
        origin = self._absolute(ref) if is_local(ref) else ref.partition("@")[0]
        with self._store.transaction():
            for layer in pulled.layers:
                # The place that was named last: the one before may be gone.
                if self._store.memo.get("origin", str(layer.digest)) != origin:
                    self._store.memo.put("origin", str(layer.digest), origin)
            if pulled.root.digest != pulled.digest:
                self._store.memo.put("root", digest, str(pulled.root.digest))
            if self._store.memo.get("base", digest) is None:
                chain = _trees_of(pulled.layers)
                self._store.memo.put("base", digest, {"content_id": chain[-1] if chain else EMPTY_TREE})

    def _absolute(self, ref: str) -> str:
        if self._layouts:
            from buildkit_py.registry.source import offered

            layout = offered(ref, self._layouts)
            if layout is not None:
                return f"oci:{layout.path.absolute()}"
        kind, _, rest = ref.partition(":")
        return f"{kind}:{(self._directory / rest).absolute()}"

    def _files(self, ref: str) -> tuple[Path, str | None]:
        """Where an image in files is, and its name there; a colon may be a part of this build's directory."""
        from buildkit_py.registry.source import offered, split

        layout = offered(ref, self._layouts)
        if layout is not None:
            return layout.path.absolute(), layout.name
        kind, _, rest = ref.partition(":")
        path, name = (rest, None) if kind == "dir" else split(kind, rest)
        return self._directory / path, name

    def _unpack_layer(self, shop: Workshop, layer: _Layer) -> None:
        from buildkit_py.layer.apply import apply_layer

        with self._store.snapshots.area() as area, self._store.blobs.verified(str(layer.blob.digest)) as blob:
            applied = apply_layer(blob, area.fs, lower=shop.trees.tree(layer.parent))
            layer.check(applied.diff_id)
            self._store.snapshots.commit(area, applied.diff.digest, applied.diff.encoded, applied.size)
        self._know(shop, layer, applied.diff)

    def _outline_layer(self, shop: Workshop, layer: _Layer) -> None:
        from buildkit_py.layer.apply import outline_layer

        with self._store.blobs.verified(str(layer.blob.digest)) as blob:
            applied = outline_layer(blob, lower=shop.trees.tree(layer.parent))
        layer.check(applied.diff_id)
        self._store.blobs.put(applied.diff.encoded)
        self._know(shop, layer, applied.diff)

    def _know(self, shop: Workshop, layer: _Layer, diff: Diff) -> None:
        self._store.trees.put(layer.content_id, layer.parent, diff.digest)
        shop.trees.learn(diff)


@contextmanager
def _only_there(layer: Descriptor, ref: str) -> Iterator[None]:
    """Why an image of the store needs what could not be reached."""
    try:
        yield
    except (RegistryError, SourceInputError) as error:
        left = f"the layer {layer.digest} is not in the store, and was last seen in {ref}"
        error.hint = f"{left}; {error.hint}" if error.hint else left
        raise


def _trees_of(blobs: Iterable[Descriptor]) -> list[str]:
    from buildkit_py.layer.stored import image_content_ids

    return image_content_ids(str(blob.digest) for blob in blobs)


def _layers_of(blobs: Sequence[Descriptor], diff_ids: Sequence[Digest]) -> list[_Layer]:
    chain = _trees_of(blobs)
    rows = zip(blobs, diff_ids, chain, (EMPTY_TREE, *chain), strict=False)
    return [_Layer(*row) for row in rows]
