"""A store in memory, and images to put into it."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from buildkit_py.digest import Digest
from buildkit_py.graph.definition import HistoryLine, ImageTarget
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.image.assemble import BaseImage, NewLayer, assemble
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD


class MemoryBlobs(dict[str, bytes]):
    """The part of `store.blobs` that images need."""

    def put(self, data: bytes) -> str:
        digest = str(Digest.of(data))
        self[digest] = data
        return digest

    def read(self, digest: str, limit: int = 0) -> bytes:
        return self[digest]

    def open(self, digest: str) -> io.BytesIO:
        return io.BytesIO(self[digest])

    def verified(self, digest: str) -> io.BytesIO:
        return self.open(digest)

    def has(self, digest: str) -> bool:
        return digest in self

    def size(self, digest: str) -> int:
        return len(self[digest])


class MemoryImages(dict[str, dict[str, Any]]):
    """The part of `store.images` that images need."""

    def put(self, name: str, descriptor: dict[str, Any]) -> None:
        self[name] = descriptor

    def find(self, name: str) -> dict[str, Any] | None:
        return self.get(name)

    def list(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name, descriptor=value) for name, value in self.items()]

    def everywhere(self) -> Iterable[SimpleNamespace]:
        return self.list()


@dataclass
class MemoryStore:
    """A store that forgets."""

    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    images: MemoryImages = field(default_factory=MemoryImages)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def pack(plain: bytes, compression: str) -> tuple[bytes, str]:
    if compression == "gzip":
        return gzip.compress(plain, mtime=0), OCI_LAYER_GZIP
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(plain), OCI_LAYER_ZSTD
    return plain, OCI_LAYER


@pytest.fixture
def layer(store: MemoryStore) -> Callable[..., NewLayer]:
    """A layer in the store, made of names and contents."""

    def make(name: str, files: Mapping[str, bytes], compression: str = "gzip") -> NewLayer:
        plain = tar_of(files)
        data, media_type = pack(plain, compression)
        blob = SimpleNamespace(
            digest=store.blobs.put(data),
            size=len(data),
            diff_id=f"sha256:{hashlib.sha256(plain).hexdigest()}",
            media_type=media_type,
        )
        return NewLayer(name=name, blob=blob)

    return make


@pytest.fixture
def image(store: MemoryStore, layer: Callable[..., NewLayer]) -> Callable[..., Descriptor]:
    """A whole image in the store."""

    def make(
        *layers: NewLayer,
        platform: str = "linux/amd64",
        config: ImageConfig | None = None,
        base: BaseImage | None = None,
        epoch: int = 0,
        annotations: Mapping[str, str] | None = None,
        history: tuple[HistoryLine, ...] = (),
    ) -> Descriptor:
        target = ImageTarget(
            name="web",
            platform=platform,
            base="",
            config=config or ImageConfig(),
            annotations=annotations or {},
            history=history,
        )
        stack = layers or (layer("files", {"a.txt": b"a"}),)
        return assemble(store, target, base, stack, epoch=epoch).descriptor

    return make
