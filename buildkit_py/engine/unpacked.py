"""An image of the store with its files at hand: unpacked into snapshots, and fetched before that where need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError
from buildkit_py.executor.secrets import SecretStore
from buildkit_py.executor.source.image import Images, Tell
from buildkit_py.executor.workshop import Workshop
from buildkit_py.image.stored import StoredImage, one_image
from buildkit_py.image.view import find
from buildkit_py.layer.contexts import Contexts
from buildkit_py.layer.stored import StoredTrees

if TYPE_CHECKING:
    from buildkit_py.layer.tree import Tree
    from buildkit_py.oci import Descriptor
    from buildkit_py.platform import Platform
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackedImage:
    """One image of one platform. `root` is what its name stands for: an index, or the manifest itself."""

    shop: Workshop
    root: Descriptor
    image: StoredImage
    content_id: str

    @property
    def tree(self) -> Tree:
        """The merged tree."""
        return self.shop.trees.tree(self.content_id)

    @property
    def directories(self) -> list[Path]:
        """The directories to stack, lowest first."""
        return self.shop.trees.directories(self.content_id)

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The digests of the snapshots that those are in."""
        return self.shop.trees.chain(self.content_id)


@contextmanager
def unpacked(
    store: Store, name: str, platform: Platform | None, *, tell: Tell, note: Callable[[str], None]
) -> Iterator[UnpackedImage]:
    """The image of that name, kept from collection inside the block. `tell` gets the bytes that had to be fetched.

    Raises `NotFoundError`, `IntegrityError`, and what a fetch raises.
    """
    with store.lease(), closing(Contexts({}, store.root / "stat.db")) as contexts:
        root = find(store, name)
        image = one_image(store, root, platform)
        if len(image.layers) != len(image.config.diff_ids):
            listed = len(image.config.diff_ids)
            raise IntegrityError(f"{name} has {len(image.layers)} layers, but its configuration lists {listed}")
        shop = Workshop(
            store=store,
            trees=StoredTrees(store),
            contexts=contexts,
            images=Images(store, Path()),
            secrets=SecretStore(),
            ssh=(),
            note=note,
        )
        content_id = shop.images.unpack_stored(shop, image.layers, image.config.diff_ids, Event(), tell)
        yield UnpackedImage(shop=shop, root=root, image=image, content_id=content_id)
