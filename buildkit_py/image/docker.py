"""A tar file that `docker load` and `podman load` take, and that others read as `docker-archive:`.

    manifest.json         [{"Config": "HEX.json", "RepoTags": ["docker.io/library/web:latest"], "Layers": [NAME, …]}]
    HEX.json              the image's configuration; HEX is its digest, Docker's image id
    HEX.tar, HEX.tar.gz   the layers, named by the digests of their blobs

Loaders tell gzip from plain tar by its first bytes. Few know zstd, so such layers are unpacked on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

from buildkit_py import canonical
from buildkit_py.errors import UsageError
from buildkit_py.image.staging import new_file_or_stream
from buildkit_py.image.stored import StoredImage
from buildkit_py.image.tarball import Tarball, tarball
from buildkit_py.image.unpacked import chunks
from buildkit_py.oci.media_types import layer_compression
from buildkit_py.reference import Reference

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor, Manifest

_ENDINGS = {"gzip": ".tar.gz", "none": ".tar", "zstd": ".tar"}


def write_docker(
    image: StoredImage, destination: Path | None, *, name: str, also: Sequence[str] = (), durable: bool = False
) -> None:
    """Write one image as a Docker archive, without a destination to standard output; raises `OutputError`.

    It is tagged with those of `name` and `also` that are references with a tag.
    """
    layers = {layer_name(layer): layer for layer in image.layers}
    config = config_name(image.manifest)
    manifest = canonical.dumps([row(image.manifest, (name, *also))])
    with new_file_or_stream(destination, image.store, durable=durable) as out, tarball(out) as tar:
        tar.file("manifest.json", len(manifest), BytesIO(manifest))
        tar.file(config, len(image.config.raw), BytesIO(image.config.raw))
        for path, layer in sorted(layers.items()):
            with image.store.blobs.verified(str(layer.digest)) as content:
                if layer_compression(layer.media_type) == "zstd":
                    add_unpacked(tar, path, layer, content, destination.parent if destination else image.store.root)
                else:
                    tar.file(path, layer.size, content)


def row(manifest: Manifest, names: Iterable[str]) -> dict[str, Any]:
    """What `manifest.json` says of one image; it is tagged with those of `names` that are references with a tag."""
    return {
        "Config": config_name(manifest),
        "RepoTags": _tags(names),
        "Layers": [layer_name(layer) for layer in manifest.layers],
    }


def config_name(manifest: Manifest) -> str:
    """The member that holds the image's configuration."""
    return f"{manifest.config.digest.hex}.json"


def add_unpacked(tar: Tarball, path: str, layer: Descriptor, content: BinaryIO, room: Path) -> None:
    """Add a zstd layer as a plain tar. Its size stands before its bytes, so a file without a name takes them first."""
    with TemporaryFile(dir=room) as plain:
        plain.writelines(chunks(layer, content))
        size = plain.tell()
        plain.seek(0)
        tar.file(path, size, plain)


def layer_name(layer: Descriptor) -> str:
    """The member that holds a layer."""
    return layer.digest.hex + _ENDINGS[layer_compression(layer.media_type) or "none"]


def _tags(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tag for tag in map(_tag, names) if tag is not None))


def _tag(name: str) -> str | None:
    try:
        reference = Reference.parse(name)
    except UsageError:
        return None
    return f"{reference.name}:{reference.tag}" if reference.tag else None
