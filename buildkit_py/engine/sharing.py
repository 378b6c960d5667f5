"""Shared caches of one build: which are asked, and what is sent to them when it has ended.

What is sent are results that the build used or made. `mode=min` keeps their bytes only where a layer of an image holds
them anyway, `mode=max` of all steps. Never sent: what is to run again each time, and layers of base images, which have
a registry of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.engine.offers import Offers, Sources
from buildkit_py.engine.phases import PUSH
from buildkit_py.errors import PybuildError
from buildkit_py.events import Finished, Note, Progress, Started
from buildkit_py.executor.source.meter import Meter
from buildkit_py.reference import Reference
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.retry import Retry
from buildkit_py.sharing.lookup import SharedCache
from buildkit_py.sharing.places import Layout, Registry

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions, CachePlace
    from buildkit_py.executor.source.image import Images
    from buildkit_py.layer.stored import StoredTrees
    from buildkit_py.sharing.export import Report
    from buildkit_py.sharing.places import Place
    from buildkit_py.solver.nodes import Node
    from buildkit_py.solver.session import Session
    from buildkit_py.store import Store

_ATTEMPTS = 2
"""Tries at a question: where there is no answer the step runs, so it is not worth waiting for long."""


def open_caches(
    store: Store, trees: StoredTrees, images: Images, options: BuildOptions, warn: Callable[[str], None]
) -> SharedCache:
    """The caches that a build asks, in their order; nothing is asked yet. A directory that this very build will make is
    none yet."""
    clients: list[RegistryClient] = []
    coming = {place.value for place in options.cache_to if place.kind == "local" and not Path(place.value).exists()}

    def opened(wanted: CachePlace) -> Place:
        if wanted.kind == "local":
            return Layout(Path(wanted.value))
        if not clients:
            clients.append(RegistryClient(images.client.config, retry=Retry(attempts=_ATTEMPTS)))
        return Registry(clients[0], Reference.parse(wanted.value))

    places = [opened(wanted) for wanted in options.cache_from if wanted.value not in coming]
    return SharedCache(store, trees, places, warn)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheWriter:
    """Sends what a build came to to the caches that it was told of. `cache` is what the build itself asked."""

    session: Session
    images: Images
    nodes: Sequence[Node]
    cache: SharedCache | None

    def write(self, places: Sequence[CachePlace], *, failed: bool = False) -> None:
        """Send to all of them, then raise the first failure. Of a build that has `failed` itself, and of places that
        may fail, a failure is only told."""
        failures: list[PybuildError] = []
        for number, place in enumerate(places, start=1):
            try:
                self._write(number, place)
            except PybuildError as error:
                if failed or place.ignore_error:
                    self._say(f"the cache {place.value} was not written: {error.message}", level="warning")
                else:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _write(self, number: int, place: CachePlace) -> None:
        name, now, emit = f"cache-{number}", self.session.now, self.session.emit
        emit(Started(at=now(), id=name, title=f"{PUSH} the cache {place.value}", kind="output"))
        try:
            meter = Meter(lambda done, total: emit(Progress(at=now(), id=name, done=done, total=total)))
            report = self._send(place, meter)
        except PybuildError as error:
            emit(Finished(at=now(), id=name, outcome="failed", error=error.message))
            raise
        emit(Finished(at=now(), id=name, outcome="done"))
        self._say(
            f"cache {place.value}: {report.sent} records sent ({report.blobs} blobs, {report.bytes} bytes), "
            f"{report.before} there before"
        )

    def _send(self, place: CachePlace, meter: Meter) -> Report:
        from buildkit_py.sharing.export import Exporter
        from buildkit_py.sharing.targets import LayoutTarget, RegistryTarget

        if place.kind == "local":
            target: LayoutTarget | RegistryTarget = LayoutTarget(Path(place.value), meter)
        else:
            target = RegistryTarget(self.images.client, Reference.parse(place.value), meter)
        exporter = Exporter(
            target=target,
            blobs=Sources(self.session.store),
            bring=lambda blob: self.images.fetch([blob]),
            origin_of=lambda digest: self.session.store.memo.get("origin", digest),
        )
        return exporter.send(Offers(self.session, self.nodes, self.cache, full=place.mode == "max").all())

    def _say(self, text: str, level: str = "note") -> None:
        self.session.emit(Note(at=self.session.now(), text=text, level="warning" if level == "warning" else "note"))
