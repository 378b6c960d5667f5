"""Outputs: an image leaves the store as a file, a directory, or a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py.errors import IntegrityError, NotFoundError, OutputError
from buildkit_py.image.stored import StoredImage, closure, described_by, one_image
from buildkit_py.platform import Platform

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store

OutputKind = Literal["archive", "layout", "docker", "rootfs", "store"]


def write_output(
    store: Store,
    kind: OutputKind,
    value: str,
    descriptor: Descriptor | Mapping[str, Any],
    *,
    name: str,
    directory: Path,
    platform: Platform | None = None,
    epoch: int = 0,
) -> None:
    """Write the image or index that `descriptor` names; all its blobs must be in the store.

    `value` is a path below `directory` (or an absolute one), or for `store` a name in the store. `name` is what
    archives, layouts and Docker archives call the image. `docker` and `rootfs` hold one platform: of an index they take
    `platform`, else the host's, else the only one. `epoch` (seconds) is the time of all files of a `rootfs`.

    Each output is written as a whole or not at all. Raises `OutputError`; `IntegrityError` where a blob is missing or
    has another size than it should.
    """
    described = described_by(descriptor)
    _check_complete(store, described)
    if kind == "store":
        store.images.put(value, described.to_plain())
        return
    destination = directory / value
    if not destination.name:
        raise OutputError(f"not a path to write an image to: {value!r}")
    if kind == "archive":
        from buildkit_py.image.archive import write_archive

        write_archive(store, described, destination, name=name)
    elif kind == "layout":
        from buildkit_py.image.layout import write_layout

        write_layout(store, described, destination, name=name)
    elif kind == "docker":
        from buildkit_py.image.docker import write_docker

        write_docker(_single(store, described, platform, kind), destination, name=name)
    else:
        from buildkit_py.image.rootfs import write_rootfs

        write_rootfs(_single(store, described, platform, kind), destination, epoch=epoch)


def _single(store: Store, descriptor: Descriptor, platform: Platform | None, kind: str) -> StoredImage:
    try:
        return one_image(store, descriptor, platform)
    except NotFoundError as error:
        raise OutputError(
            f"an output of kind {kind!r} holds one platform, and {error.message}", hint="choose one with --platform"
        ) from error


def _check_complete(store: Store, descriptor: Descriptor) -> None:
    for blob in closure(store, descriptor):
        if not store.blobs.has(str(blob.digest)):
            raise IntegrityError(f"the blob {blob.digest} of the image {descriptor.digest} is not in the store")
        if store.blobs.size(str(blob.digest)) != blob.size:
            raise IntegrityError(
                f"the blob {blob.digest} in the store has the wrong size", hint="run `pybuild store check`"
            )
