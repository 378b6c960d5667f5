"""Sources: how an image, a URL or a commit becomes a tree of the store."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.errors import InfrastructureError
from buildkit_py.graph.op import GitSource, HttpSource, ImageSource, Source

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Tell
    from buildkit_py.executor.workshop import Workshop


def fetch_source(shop: Workshop, source: Source, epoch: int, cancelled: Event, tell: Tell) -> str:
    """Bring the tree of a pinned source into the store; returns its content id. `tell` gets the bytes that came."""
    if isinstance(source, ImageSource):
        return shop.images.unpack(shop, source, cancelled, tell)
    if isinstance(source, HttpSource):
        from buildkit_py.executor.source.http import lay_out

        return lay_out(shop, source, epoch, cancelled)
    if isinstance(source, GitSource):
        from buildkit_py.executor.source.git import lay_out as lay_out_commit

        return lay_out_commit(shop, source, epoch, cancelled)
    raise InfrastructureError(f"a source of type {source.type!r} has nothing to fetch")
