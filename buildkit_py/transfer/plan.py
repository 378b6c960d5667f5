"""What of an image is copied: its documents, read and checked, before any layer is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, NotFoundError
from buildkit_py.oci import Descriptor, Index, Manifest, check_bytes, choose, parse_config, parse_document, rank
from buildkit_py.oci.media_types import CONFIGS, DOCUMENTS, Compression
from buildkit_py.platform import Platform
from buildkit_py.registry.blobs import ImageReader

Format = Literal["oci", "docker"]
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person wants of a copy. `every` takes all platforms; `preserve` fails rather than change a digest.

    `platform` is the one that is taken of an index, None for this machine's.
    """

    every: bool = False
    platform: Platform | None = None
    format: Format | None = None
    compress: Compression | None = None
    preserve: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A manifest, or an index with those that it names."""

    descriptor: Descriptor
    document: Manifest | Index
    children: tuple[Node, ...] = ()

    def all(self) -> Iterator[Node]:
        """Itself and all below, each after those that it names."""
        for child in self.children:
            yield from child.all()
        yield self

    def manifests(self) -> Iterator[Manifest]:
        """The manifests among them."""
        for node in self.all():
            if isinstance(node.document, Manifest):
                yield node.document

    def blobs(self) -> list[Descriptor]:
        """Every layer and configuration, each once."""
        found: dict[str, Descriptor] = {}
        for node in self.all():
            for item in _blobs_of(node.document):
                found.setdefault(str(item.digest), item)
        return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The documents to copy. `chosen` is the platform that was taken out of several, `offered` are all of those, and
    `index` is where it was found."""

    root: Node
    index: Digest | None = None
    chosen: Platform | None = None
    offered: tuple[str, ...] = ()


def read_root(reader: ImageReader) -> tuple[Manifest | Index, Descriptor]:
    """The manifest or index that a reader's name stands for. Raises what the reader raises, `IntegrityError`."""
    if reader.pinned is None:
        raw, descriptor = reader.root()
        return parse_document(raw, descriptor.media_type), descriptor
    raw = reader.by_digest(reader.pinned)
    document = parse_document(raw)
    descriptor = Descriptor(media_type=document.media_type, digest=reader.pinned, size=len(raw))
    check_bytes(raw, descriptor, f"{reader.name}@{reader.pinned}")
    return document, descriptor


def read_plan(reader: ImageReader, wishes: Wishes) -> Plan:
    """Read the documents that are wanted.

    Raises `NotFoundError` where the image does not exist for the platform, `IntegrityError`, what the reader raises.
    """
    document, descriptor = read_root(reader)
    if wishes.every:
        return Plan(root=_whole(reader, document, descriptor))
    if isinstance(document, Manifest):
        if wishes.platform is not None:
            _check_platform(reader, document, wishes.platform)
        return Plan(root=Node(descriptor=descriptor, document=document))
    wanted = wishes.platform or Platform.host()
    node = choose_manifest(reader, document, wanted)
    return Plan(
        root=node,
        index=descriptor.digest,
        chosen=node.descriptor.platform or wanted,
        offered=platforms_of(document),
    )


def choose_manifest(reader: ImageReader, document: Index, platform: Platform) -> Node:
    """The manifest for a platform, which may lie in an index inside of the index. Raises `NotFoundError`."""
    found: Manifest | Index = document
    for _ in range(_MAX_DEPTH):
        assert isinstance(found, Index)
        chosen = choose(found, platform)
        if chosen is None:
            raise NotFoundError(
                f"{reader.name} does not exist for {platform}",
                hint=f"it exists for {', '.join(platforms_of(found)) or 'no platform that it names'}",
            )
        found = parse_document(reader.document(chosen), chosen.media_type)
        if isinstance(found, Manifest):
            return Node(descriptor=chosen, document=found)
    raise IntegrityError(f"{reader.name} is an index of indexes of indexes, without an end")


def platforms_of(index: Index) -> tuple[str, ...]:
    """The platforms that an index names, sorted; what is for no platform, as an attestation, is left out."""
    named = {str(item.platform) for item in index.manifests if item.platform and item.platform.os != "unknown"}
    return tuple(sorted(named))


def _whole(reader: ImageReader, document: Manifest | Index, descriptor: Descriptor, depth: int = 0) -> Node:
    if isinstance(document, Manifest):
        return Node(descriptor=descriptor, document=document)
    if depth > _MAX_DEPTH:
        raise IntegrityError(f"{descriptor.digest} is an index of indexes without an end")
    children = [
        _whole(reader, parse_document(reader.document(item), item.media_type), item, depth + 1)
        for item in document.manifests
        if item.media_type in DOCUMENTS
    ]
    return Node(descriptor=descriptor, document=document, children=tuple(children))


def _check_platform(reader: ImageReader, manifest: Manifest, wanted: Platform) -> None:
    if manifest.config.media_type not in CONFIGS:
        return
    config = parse_config(reader.document(manifest.config), manifest.config.media_type)
    if config.platform is not None and rank(config.platform, wanted) is None:
        raise NotFoundError(
            f"{reader.name} is for {config.platform}, not for {wanted}", hint="leave --platform out to take it as it is"
        )


def _blobs_of(document: Manifest | Index) -> Sequence[Descriptor]:
    if isinstance(document, Manifest):
        return (*document.layers, document.config)
    return [item for item in document.manifests if item.media_type not in DOCUMENTS]
