"""Images in a Docker archive, `docker-archive:FILE[:NAME]`: what `docker save` and its like write.

    manifest.json      [{"Config": PATH, "RepoTags": ["web:1"], "Layers": [PATH, …]}, …]
    PATH               configurations; layers, most often plain tars, lowest first

It has no manifests, so one is made for each image, by the OCI specification, which allows for configurations as Docker
writes them: always the same bytes for the same archive. A layer that is a plain tar is known by its diff id, one that
is compressed is read once for its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, SourceInputError, UsageError
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, check_bytes, parse_config
from buildkit_py.oci.media_types import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import BlobSource, BlobStream
from buildkit_py.registry.layout import ArchiveFiles

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_MOST_LAYERS = 1024
_TYPES = ((b"\x1f\x8b", OCI_LAYER_GZIP), (b"\x28\xb5\x2f\xfd", OCI_LAYER_ZSTD))
_UNKNOWN = ((b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """One image of an archive: its tags as they stand there, and the names of its members."""

    tags: tuple[str, ...]
    config: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """An image with the manifest that was made for it."""

    manifest: bytes
    documents: Mapping[str, bytes]
    members: Mapping[str, str]


def archived_images(files: ArchiveFiles, name: str) -> tuple[ArchivedImage, ...]:
    """The images of an archive, in its order; `name` is what it is called. Raises `IntegrityError` and
    `SourceInputError`."""
    raw = _document(files, MANIFEST, name)
    try:
        return tuple(_image(plain) for plain in json.loads(raw))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise IntegrityError(f"the {MANIFEST} of {name} is not that of a Docker archive") from None


class DockerArchiveReader:
    """An image in a Docker archive. `ref` picks one: by a tag, or as `@N` by its place, from 0."""

    def __init__(self, name: str, files: ArchiveFiles, ref: str | None) -> None:
        self.name = name
        self.pinned: Digest | None = None
        self._files = files
        self._ref = ref
        self._lock = Lock()
        self._made: _Made | None = None

    def root(self) -> tuple[bytes, Descriptor]:
        """The manifest that was made for the image."""
        raw = self._image().manifest
        return raw, Descriptor.of(raw, OCI_MANIFEST)

    def by_digest(self, digest: Digest) -> bytes:
        """That manifest: an archive has no other."""
        raw = self._image().manifest
        if Digest.of(raw) != digest:
            raise SourceInputError(f"{self.name} does not hold {digest}")
        return raw

    def document(self, descriptor: Descriptor) -> bytes:
        """The manifest or the configuration, checked against its descriptor."""
        raw = self._image().documents.get(str(descriptor.digest))
        if raw is None:
            raise SourceInputError(f"{self.name} does not hold {descriptor.digest}")
        check_bytes(raw, descriptor, f"{descriptor.digest} in {self.name}")
        return raw

    def sources(self) -> Sequence[BlobSource]:
        """The archive's members."""

        def blob(descriptor: Descriptor, offset: int) -> BlobStream:
            member = self._image().members.get(str(descriptor.digest))
            if member is None:
                raise SourceInputError(f"{self.name} does not hold {descriptor.digest}")
            return self._files.blob(member, offset)

        return [blob]

    def _image(self) -> _Made:
        with self._lock:
            if self._made is None:
                self._made = self._make(self._pick(archived_images(self._files, self.name)))
            return self._made

    def _pick(self, images: Sequence[ArchivedImage]) -> ArchivedImage:
        if self._ref is None and len(images) == 1:
            return images[0]
        if self._ref is not None and self._ref.startswith("@"):
            number = self._ref[1:]
            if number.isascii() and number.isdigit() and int(number) < len(images):
                return images[int(number)]
        for image in images if self._ref is not None else ():
            if any(_same(self._ref or "", tag) for tag in image.tags):
                return image
        known = [next(iter(image.tags), f"@{place}") for place, image in enumerate(images)][:10]
        what = f"holds {len(images)} images" if self._ref is None else "holds no image of that name"
        hint = f"name one: it holds {', '.join(known)}" if known else None
        raise SourceInputError(f"{self.name} {what}", hint=hint)

    def _make(self, image: ArchivedImage) -> _Made:
        config = _document(self._files, image.config, self.name)
        diff_ids = parse_config(config, OCI_CONFIG).diff_ids
        if len(diff_ids) != len(image.layers):
            raise IntegrityError(
                f"{self.name} has {len(image.layers)} layers, but its configuration lists {len(diff_ids)}"
            )
        layers = [self._layer(path, diff_id) for path, diff_id in zip(image.layers, diff_ids, strict=True)]
        about = Descriptor.of(config, OCI_CONFIG)
        manifest = canonical.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": about.to_plain(),
                "layers": [layer.to_plain() for layer in layers],
            }
        )
        members = {str(layer.digest): path for layer, path in zip(layers, image.layers, strict=True)}
        return _Made(
            manifest=manifest,
            documents={str(Digest.of(manifest)): manifest, str(about.digest): config},
            members={**members, str(about.digest): image.config},
        )

    def _layer(self, path: str, diff_id: Digest) -> Descriptor:
        size = self._files.size(path)
        with self._files.blob(path, 0) as stream:
            head = stream.read(8)
        for magic, kind in _UNKNOWN:
            if head.startswith(magic):
                raise IntegrityError(f"{self.name} has a layer that is compressed with {kind}, which no image may have")
        for magic, media_type in _TYPES:
            if head.startswith(magic):
                return Descriptor(media_type=media_type, digest=self._digest(path), size=size)
        return Descriptor(media_type=OCI_LAYER, digest=diff_id, size=size)

    def _digest(self, path: str) -> Digest:
        hashed = hashlib.sha256()
        with self._files.blob(path, 0) as stream:
            while piece := stream.read(_CHUNK):
                hashed.update(piece)
        return Digest("sha256", hashed.hexdigest())


def _image(plain: Any) -> ArchivedImage:
    """One row of `manifest.json`; raises as its parts do where it is not one."""
    tags, config, layers = plain.get("RepoTags") or [], plain["Config"], plain["Layers"] or []
    texts = [config, *tags, *layers]
    if not isinstance(tags, list) or not isinstance(layers, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError
    if len(layers) > _MOST_LAYERS:
        raise ValueError
    return ArchivedImage(tags=tuple(tags), config=_plain(config), layers=tuple(map(_plain, layers)))


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _same(wanted: str, tag: str) -> bool:
    if wanted == tag:
        return True
    try:
        return Reference.parse(wanted) == Reference.parse(tag)
    except (UsageError, IntegrityError):
        return False


def _document(files: ArchiveFiles, path: str, name: str) -> bytes:
    with files.open(path) as file:
        raw = file.read(MAX_DOCUMENT + 1)
    if len(raw) > MAX_DOCUMENT:
        raise IntegrityError(f"{path} in {name} is too large; the limit is {MAX_DOCUMENT} bytes")
    return raw
