"""An image to be looked at, in the store or where a reader finds it: its documents are at hand, its layers perhaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError
from buildkit_py.image.stored import one_image, read
from buildkit_py.image.view import find
from buildkit_py.oci import Descriptor, ImageConfigDoc, Index, Manifest
from buildkit_py.registry.pull import fetch_metadata

if TYPE_CHECKING:
    from buildkit_py.digest import Digest
    from buildkit_py.platform import Platform
    from buildkit_py.registry.blobs import ImageReader
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One image of one platform, called `name` by who asks. `platforms` are those of the whole; `reader` is where its
    layers can be read that the store does not have, None for an image of the store."""

    name: str
    manifest: Manifest
    config: ImageConfigDoc
    platforms: tuple[str, ...]
    reader: ImageReader | None = None

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers' blobs, lowest first."""
        return self.manifest.layers

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of what is in them."""
        return self.config.diff_ids

    @property
    def platform(self) -> str:
        """What it is made for; empty where its configuration does not say."""
        return str(self.config.platform or "")


def stored_subject(store: Store, name: str, platform: Platform | None = None) -> Subject:
    """An image of the store by its name or how its digest begins; of an index that of `platform`, else of this machine.

    Raises `NotFoundError`.
    """
    descriptor = find(store, name)
    image = one_image(store, descriptor, platform)
    document = read(store, descriptor)
    entries = document.manifests if isinstance(document, Index) else ()
    found = tuple(str(item.platform) for item in entries if item.platform) or (str(image.platform),)
    return _checked(Subject(name=name, manifest=image.manifest, config=image.config, platforms=found))


def read_subject(store: Store, reader: ImageReader, platform: Platform) -> Subject:
    """An image that is read from elsewhere; its documents are then in the store, without a name."""
    pulled = fetch_metadata(reader, platform, store)
    root = read(store, pulled.root)
    entries = root.manifests if isinstance(root, Index) else ()
    found = tuple(str(item.platform) for item in entries if item.platform) or (str(pulled.config.platform),)
    return _checked(
        Subject(name=reader.name, manifest=pulled.manifest, config=pulled.config, platforms=found, reader=reader)
    )


def _checked(subject: Subject) -> Subject:
    if len(subject.layers) != len(subject.diff_ids):
        raise IntegrityError(
            f"{subject.name} has {len(subject.layers)} layers, but its configuration lists {len(subject.diff_ids)}"
        )
    return subject
