"""Looking at an image where it is: its documents are read, its layers are not."""

from __future__ import annotations

from threading import Event
from typing import Any

from buildkit_py.image.view import image_document
from buildkit_py.oci import Descriptor, Index, Manifest, parse_config, parse_document
from buildkit_py.oci.media_types import CONFIGS, DOCUMENTS
from buildkit_py.platform import Platform
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.parallel import run_all
from buildkit_py.transfer.plan import Node, choose_manifest, read_root


def look(reader: ImageReader, platform: Platform | None = None) -> dict[str, Any]:
    """As `image.view.inspect_document`, of any image wherever it is: all of its platforms, or one.

    `size` are the bytes of all that is shown. What is no container image has an `artifact_type`, and no
    configuration. Raises what the reader raises, `NotFoundError`.
    """
    document, descriptor = read_root(reader)
    if isinstance(document, Index):
        nodes = [choose_manifest(reader, document, platform)] if platform else _manifests(reader, document)
    else:
        nodes = [Node(descriptor=descriptor, document=document)]
    sizes = {str(descriptor.digest): descriptor.size}
    for node in nodes:
        assert isinstance(node.document, Manifest)
        items = (node.descriptor, node.document.config, *node.document.layers)
        sizes |= {str(item.digest): item.size for item in items}
    return {
        "name": reader.name,
        "digest": str(descriptor.digest),
        "media_type": descriptor.media_type,
        "size": sum(sizes.values()),
        "images": run_all(lambda node, _: _image(reader, node), nodes),
    }


def raw_document(reader: ImageReader, platform: Platform | None = None) -> bytes:
    """The exact bytes of the manifest or index, or of the manifest for a platform in it."""
    document, _ = read_root(reader)
    if platform is None or isinstance(document, Manifest):
        return document.raw
    return choose_manifest(reader, document, platform).document.raw


def raw_config(reader: ImageReader, platform: Platform | None = None) -> bytes:
    """The exact bytes of the configuration: for a platform, else for this machine's, else of the only one there is."""
    document, _ = read_root(reader)
    if isinstance(document, Index):
        document = the_one(reader, document, platform)
    assert isinstance(document, Manifest)
    return reader.document(document.config)


def the_one(reader: ImageReader, index: Index, platform: Platform | None) -> Manifest | Index:
    """The manifest of a platform, else this machine's, else the only one."""
    if platform is None and len(index.manifests) == 1 and index.manifests[0].media_type in DOCUMENTS:
        item = index.manifests[0]
        return parse_document(reader.document(item), item.media_type)
    return choose_manifest(reader, index, platform or Platform.host()).document


def _manifests(reader: ImageReader, index: Index) -> list[Node]:
    """The manifests that an index names, and those of indexes in it."""

    def read(item: Descriptor, _: Event) -> Node:
        return Node(descriptor=item, document=parse_document(reader.document(item), item.media_type))

    found: list[Node] = []
    for node in run_all(read, [item for item in index.manifests if item.media_type in DOCUMENTS]):
        found += [node] if isinstance(node.document, Manifest) else _manifests(reader, node.document)
    return found


def _image(reader: ImageReader, node: Node) -> dict[str, Any]:
    manifest = node.document
    assert isinstance(manifest, Manifest)
    if manifest.config.media_type in CONFIGS:
        config = parse_config(reader.document(manifest.config), manifest.config.media_type)
        return image_document(node.descriptor, manifest, config)
    items = {str(item.digest): item.size for item in (node.descriptor, manifest.config, *manifest.layers)}
    return {
        "platform": str(node.descriptor.platform or "none"),
        "artifact_type": manifest.artifact_type or manifest.config.media_type,
        "digest": str(node.descriptor.digest),
        "size": sum(items.values()),
        "created": None,
        "config": {},
        "annotations": dict(manifest.annotations),
        "layers": [
            {"name": "", "digest": str(item.digest), "diff_id": None, "size": item.size, "media_type": item.media_type}
            for item in manifest.layers
        ],
    }
