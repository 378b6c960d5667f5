"""An OCI image layout in one tar file (`oci-archive:` elsewhere). Equal images under equal names give equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.image.layout import LAYOUT, blob_path, index_json, named
from buildkit_py.image.staging import new_file_or_stream
from buildkit_py.image.stored import closure
from buildkit_py.image.tarball import tarball

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store


def write_archive(
    store: Store,
    descriptor: Descriptor,
    destination: Path | None,
    *,
    name: str,
    also: Sequence[str] = (),
    durable: bool = False,
) -> None:
    """Write an image, or an index with all its images, as an OCI archive; without a destination to standard output.

    `also` are further names. Raises `OutputError`.
    """
    index = index_json([named(descriptor, each) for each in (name, *also)])
    blobs = {blob_path(blob): blob for blob in closure(store, descriptor)}
    with new_file_or_stream(destination, store, durable=durable) as out, tarball(out) as tar:
        tar.file("oci-layout", len(LAYOUT), BytesIO(LAYOUT))
        tar.file("index.json", len(index), BytesIO(index))
        tar.directory("blobs")
        for algorithm in sorted({blob.digest.algorithm for blob in blobs.values()}):
            tar.directory(f"blobs/{algorithm}")
        for path, blob in sorted(blobs.items()):
            with store.blobs.verified(str(blob.digest)) as content:
                tar.file(path, blob.size, content)
