"""OCI layouts written by the shortest code there is, so that tests do not make their inputs with what they test."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ARCHITECTURE = _ARCHITECTURES.get(os.uname().machine, os.uname().machine)
FOREIGN = "arm64" if ARCHITECTURE == "amd64" else "amd64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member of a layer: a regular file by default, a directory, a link, or anything else that tar has."""

    name: str
    data: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    uid: int = 0
    gid: int = 0

    @property
    def info(self) -> tarfile.TarInfo:
        """Its header."""
        info = tarfile.TarInfo(self.name)
        info.size, info.mode, info.type, info.linkname = len(self.data), self.mode, self.kind, self.target
        info.uid, info.gid = self.uid, self.gid
        return info


def folder(name: str, mode: int = 0o755) -> Entry:
    """A directory."""
    return Entry(name=name, mode=mode, kind=tarfile.DIRTYPE)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name=name, mode=0o777, kind=tarfile.SYMTYPE, target=target)


def layer(entries: Sequence[Entry]) -> bytes:
    """An uncompressed layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry.info, io.BytesIO(entry.data))
    return out.getvalue()


Image = tuple[Sequence[bytes], Mapping[str, Any]]
"""Uncompressed tar layers, lowest first, and the `config` of the image's configuration."""

_PREFIX = "application/vnd.oci.image"


def write_layout(
    directory: Path,
    layers: Sequence[bytes],
    config: Mapping[str, Any] | None = None,
    *,
    tag: str = "latest",
    architecture: str = ARCHITECTURE,
) -> str:
    """Write one image as an OCI layout; returns the manifest's digest."""
    described = _manifest(directory, (layers, config or {}), architecture)
    return _name(directory, described, tag)


def write_index(directory: Path, images: Mapping[str, Image], *, tag: str = "latest") -> str:
    """Write images by architecture, and an index of them, as an OCI layout; returns the index's digest."""
    rows = [
        {**_manifest(directory, image, architecture), "platform": {"os": "linux", "architecture": architecture}}
        for architecture, image in images.items()
    ]
    return _name(directory, _put_json(directory, _index(rows), "index.v1+json"), tag)


def layers_of(directory: Path) -> list[bytes]:
    """The uncompressed layers of the one image in a layout that `write_layout` wrote."""
    blobs = directory / "blobs" / "sha256"
    described = json.loads((directory / "index.json").read_bytes())["manifests"][0]
    manifest = json.loads((blobs / described["digest"].removeprefix("sha256:")).read_bytes())
    return [gzip.decompress((blobs / row["digest"].removeprefix("sha256:")).read_bytes()) for row in manifest["layers"]]


def blob(directory: Path, digest: str) -> Path:
    """Where a blob of a layout is."""
    return directory / "blobs" / digest.replace(":", "/")


def put_document(directory: Path, document: object) -> dict[str, Any]:
    """Store a document that was changed; what is new in its descriptor."""
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob(directory, digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}


def _manifest(directory: Path, image: Image, architecture: str) -> dict[str, Any]:
    layers, config = image
    diff_ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_PREFIX}.manifest.v1+json",
        "config": _put_json(directory, document, "config.v1+json"),
        "layers": [_put(directory, gzip.compress(each, 1, mtime=0), "layer.v1.tar+gzip") for each in layers],
    }
    return _put_json(directory, manifest, "manifest.v1+json")


def _index(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": f"{_PREFIX}.index.v1+json", "manifests": list(rows)}


def _name(directory: Path, described: dict[str, Any], tag: str) -> str:
    row = {**described, "annotations": {"org.opencontainers.image.ref.name": tag}}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps(_index([row])))
    return str(described["digest"])


def _put_json(directory: Path, document: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return _put(directory, json.dumps(document).encode(), kind)


def _put(directory: Path, data: bytes, kind: str) -> dict[str, Any]:
    """Store a blob and give its descriptor."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": f"{_PREFIX}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}
