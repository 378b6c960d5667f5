"""Outputs: an image leaves the store as a file, a directory, or a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py.errors import IntegrityError, NotFoundError, OutputError
from buildkit_py.image.stored import StoredImage, closure, described_by, one_image
from buildkit_py.platform import Platform

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store

OutputKind = Literal["archive", "layout", "docker", "rootfs", "store", "local", "tar"]
STDOUT = "-"
"""The value of an output that goes to standard output: of `archive`, `docker` and `tar`."""


def write_output(
    store: Store,
    kind: OutputKind,
    value: str,
    descriptor: Descriptor | Mapping[str, Any],
    *,
    name: str,
    also: Sequence[str] = (),
    directory: Path,
    platform: Platform | None = None,
    epoch: int = 0,
    durable: bool = False,
) -> None:
    """Write the image or index that `descriptor` names; all its blobs must be in the store.

    `value` is a path below `directory` (or an absolute one), or for `store` a name in the store. `name` is what
    archives, layouts and Docker archives call the image, and `also` further names. `docker` and `rootfs` hold one
    platform: of an index they take `platform`, else the host's, else the only one; `local` (a directory that may hold
    other things) and `tar` hold the files of all. `epoch` (seconds) is the time of all files.

    Each output is written as a whole or not at all. One that is a file is on the disk for certain only if it is to be
    `durable`; directories always are. Raises `OutputError`; `IntegrityError` where a blob is missing or
    has another size than it should.
    """
    described = described_by(descriptor)
    _check_complete(store, described)
    if kind == "store":
        store.images.put(value, described.to_plain())
        return
    destination = None if value == STDOUT else directory / value
    if destination is not None and not destination.name:
        raise OutputError(f"not a path to write an image to: {value!r}")
    if kind in ("rootfs", "local", "tar"):
        _write_files(store, kind, described, destination, platform, epoch, durable)
    elif kind == "layout":
        from buildkit_py.image.layout import write_layout

        write_layout(store, described, _path(destination, kind), name=name, also=also)
    elif kind == "archive":
        from buildkit_py.image.archive import write_archive

        write_archive(store, described, destination, name=name, also=also, durable=durable)
    else:
        from buildkit_py.image.docker import write_docker

        write_docker(_single(store, described, platform, kind), destination, name=name, also=also, durable=durable)


def _write_files(
    store: Store,
    kind: str,
    described: Descriptor,
    destination: Path | None,
    platform: Platform | None,
    epoch: int,
    durable: bool,
) -> None:
    """Write the files of an image, without the image."""
    if kind == "rootfs":
        from buildkit_py.image.rootfs import write_rootfs

        write_rootfs(_single(store, described, platform, kind), _path(destination, kind), epoch=epoch)
        return
    from buildkit_py.image.files import write_local, write_tar

    if kind == "tar":
        write_tar(store, described, destination, epoch=epoch, durable=durable)
    else:
        write_local(store, described, _path(destination, kind), epoch=epoch)


def _path(destination: Path | None, kind: str) -> Path:
    if destination is None:
        raise OutputError(f"an output of kind {kind!r} can't go to standard output")
    return destination


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
