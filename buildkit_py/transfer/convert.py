"""Changes on the way: between OCI's and Docker's media types, and between ways to compress a layer.

Documents are changed as JSON values, so that fields nobody here knows stay as they are; a document in which nothing
changes keeps its bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

from buildkit_py import canonical
from buildkit_py.dataclass import replace
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, UsageError
from buildkit_py.layer.decompress import Inflating
from buildkit_py.layer.limits import Allowance, Limits
from buildkit_py.layer.squeeze import Gzip, Method, Plain, Squeeze, Zstd
from buildkit_py.oci import Descriptor, Index, Manifest, parse_document
from buildkit_py.oci.media_types import (
    CONFIGS,
    DOCKER_CONFIG,
    DOCKER_FOREIGN,
    DOCKER_FOREIGN_GZIP,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_FOREIGN,
    OCI_FOREIGN_GZIP,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Compression,
    layer_compression,
)
from buildkit_py.registry.incoming import Incoming
from buildkit_py.transfer.plan import Format, Node, Wishes

_CHUNK = 1 << 18
_PAIRS = (
    (OCI_INDEX, DOCKER_INDEX),
    (OCI_MANIFEST, DOCKER_MANIFEST),
    (OCI_CONFIG, DOCKER_CONFIG),
    (OCI_LAYER, DOCKER_LAYER),
    (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP),
    (OCI_FOREIGN, DOCKER_FOREIGN),
    (OCI_FOREIGN_GZIP, DOCKER_FOREIGN_GZIP),
)
_TYPES: Mapping[Format, Mapping[str, str]] = {
    "oci": {DOCKER_LAYER_ZSTD: OCI_LAYER_ZSTD, **{docker: oci for oci, docker in _PAIRS}},
    "docker": dict(_PAIRS),
}
_METHODS: Mapping[Compression, type[Method]] = {"gzip": Gzip, "zstd": Zstd, "none": Plain}
_OCI_LAYERS: Mapping[Compression, str] = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
_DOCKER_LAYERS: Mapping[Compression, str] = {"none": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP}


def to_compress(node: Node, wishes: Wishes) -> dict[str, Descriptor]:
    """The layers that must be compressed otherwise, by digest."""
    if wishes.compress is None:
        return {}
    layers = (layer for manifest in _images(node) for layer in manifest.layers)
    return {
        str(layer.digest): layer
        for layer in layers
        if layer_compression(layer.media_type) not in (None, wishes.compress)
    }


def check_wishes(node: Node, wishes: Wishes) -> None:
    """Refuse what can't be done, before anything is moved: `UsageError` says why."""
    recompressed = {
        digest: replace(layer, media_type=_type_of(layer, wishes.compress or "none"))
        for digest, layer in to_compress(node, wishes).items()
    }
    docker = wishes.format == "docker" or (
        wishes.format is None and any(manifest.media_type == DOCKER_MANIFEST for manifest in _images(node))
    )
    if docker and wishes.compress == "zstd" and recompressed:
        raise UsageError("Docker's format knows no layers of zstd", hint="add --format oci, or use --compress gzip")
    if changed(node, wishes, recompressed) is not node and wishes.preserve:
        raise UsageError(
            f"{node.descriptor.digest} can't be copied so without another digest",
            hint="leave out --preserve-digests, or --format and --compress",
        )


def changed(node: Node, wishes: Wishes, layers: Mapping[str, Descriptor]) -> Node:
    """The same documents in the wanted format, with `layers` in place of those of these digests; the same node where
    nothing changes. Raises `UsageError` for what the format has no word for."""
    children = tuple(changed(child, wishes, layers) for child in node.children)
    plain = json.loads(node.document.raw)
    if isinstance(node.document, Manifest):
        _change_manifest(plain, node.document, wishes.format, layers)
    else:
        _change_index(plain, node.document, wishes.format, dict(zip(_digests(node.children), children, strict=True)))
    if plain == json.loads(node.document.raw):
        return node
    raw = canonical.dumps(plain)
    document = parse_document(raw, plain.get("mediaType") or node.document.media_type)
    digest = Digest.of(raw)
    descriptor = replace(node.descriptor, media_type=document.media_type, digest=digest, size=len(raw))
    return Node(descriptor=descriptor, document=document, children=children)


def recompress(incoming: Incoming, wanted: Compression, diff_ids: frozenset[str], out: IO[bytes]) -> Descriptor:
    """Write a layer to `out`, compressed otherwise; what describes it then. It must unpack to one of `diff_ids`.

    Raises `IntegrityError`, and what the source raises.
    """
    hashed = _Hashed(out)
    squeeze = Squeeze(_METHODS[wanted](), hashed)
    try:
        with incoming.open() as packed:
            plain = Inflating(cast(Any, packed), Allowance(Limits.current()))
            while piece := plain.read(_CHUNK):
                squeeze.write(piece)
            while packed.read(_CHUNK):
                pass
        diff_id = squeeze.close()
    finally:
        squeeze.abort()
    incoming.verify()
    layer = incoming.descriptor
    if diff_id not in diff_ids:
        raise IntegrityError(f"the layer {layer.digest} holds {diff_id}, which its image's configuration does not name")
    return replace(layer, media_type=_type_of(layer, wanted), digest=hashed.digest, size=hashed.size)


def _type_of(layer: Descriptor, wanted: Compression) -> str:
    """A layer's media type once it is compressed so, of the family that it is of where that has one."""
    types = _DOCKER_LAYERS if layer.media_type in _TYPES["oci"] else _OCI_LAYERS
    return types.get(wanted, _OCI_LAYERS[wanted])


class _Hashed:
    """A file that knows the digest of what went into it."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> None:
        self._out.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def digest(self) -> Digest:
        return Digest("sha256", self._hash.hexdigest())


def _images(node: Node) -> Iterator[Manifest]:
    """The manifests that are of container images."""
    return (manifest for manifest in node.manifests() if manifest.config.media_type in CONFIGS)


def _digests(nodes: tuple[Node, ...]) -> list[str]:
    return [str(node.descriptor.digest) for node in nodes]


def _change_manifest(
    plain: dict[str, Any], manifest: Manifest, wanted: Format | None, layers: Mapping[str, Descriptor]
) -> None:
    for row in plain["layers"]:
        new = layers.get(row["digest"])
        if new is not None:
            row |= {"mediaType": new.media_type, "digest": str(new.digest), "size": new.size}
    if wanted is None or (wanted == "oci" and manifest.media_type == OCI_MANIFEST):
        return
    for row in (plain["config"], *plain["layers"]):
        row["mediaType"] = _retyped(row["mediaType"], wanted, manifest)
    plain["mediaType"] = _retyped(manifest.media_type, wanted, manifest)


def _change_index(plain: dict[str, Any], index: Index, wanted: Format | None, children: Mapping[str, Node]) -> None:
    for row in plain["manifests"]:
        child = children.get(row["digest"])
        if child is not None:
            about = child.descriptor
            row |= {"mediaType": about.media_type, "digest": str(about.digest), "size": about.size}
    if wanted is not None and not (wanted == "oci" and index.media_type == OCI_INDEX):
        plain["mediaType"] = _retyped(index.media_type, wanted, index)


def _retyped(media_type: str, wanted: Format, where: Manifest | Index) -> str:
    types = _TYPES[wanted]
    if media_type in types:
        return types[media_type]
    if media_type in types.values() or wanted == "oci":
        return media_type
    zstd = layer_compression(media_type) == "zstd"
    raise UsageError(
        f"{where.digest} can't be written in the format `{wanted}`, which has no {media_type[:100]}",
        hint="add --compress gzip" if zstd else "leave --format out, or copy one platform alone",
    )
