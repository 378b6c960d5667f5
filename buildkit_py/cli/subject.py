"""From what a command line calls an image to the image: a name or a digest of the store, or a place to read it from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Images
    from buildkit_py.image.subject import Subject
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store

IMAGE = "an image: its name in the store, or its digest, or how that begins; or docker://REF, oci:DIR, or another place"


def subject_of(store: Store, text: str, platform: str | None) -> Subject:
    """The image of one platform; raises `NotFoundError`, and what reading it from elsewhere raises."""
    from buildkit_py.image.subject import read_subject, stored_subject
    from buildkit_py.platform import Platform
    from buildkit_py.transfer.place import Place

    wanted = Platform.parse(platform) if platform else None
    if Place.parse(text, Path.cwd()).kind == "store":
        return stored_subject(store, text, wanted)
    from buildkit_py.registry.source import open_reader

    reader = open_reader(text, images_of(store).client, directory=Path.cwd())
    return read_subject(store, reader, wanted or Platform.host())


def images_of(store: Store) -> Images:
    """What knows the way to registries, and where the layers of bases were left."""
    from buildkit_py.executor.source.image import Images

    return Images(store, Path.cwd())


def bring(store: Store, subject: Subject, layers: list[Descriptor]) -> None:
    """Fetch layers that the store does not have."""
    missing = [layer for layer in layers if not store.blobs.has(str(layer.digest))]
    if not missing:
        return
    images = images_of(store)
    if subject.reader is None:
        images.fetch(missing)
        return
    from buildkit_py.registry.download import fetch_blobs

    fetch_blobs(missing, subject.reader.sources(), store.blobs, retry=images.client.retry)
