"""Is a store, or an image layout, whole? Told by code that shares nothing with pybuild's own check."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_NAME = "org.opencontainers.image.ref.name"


def flaws(store: Path) -> list[str]:
    """What is wrong with a store, also with one whose user was killed at this moment."""
    elsewhere = {key for (key,) in _rows(store, "SELECT key FROM memo WHERE kind = 'origin'")}
    return [*layout_flaws(store, elsewhere), *_snapshots(store)]


def layout_flaws(directory: Path, elsewhere: set[str] | frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with an image layout; of the layers that are `elsewhere` none need be there."""
    return [*_blobs(directory), *_references(directory, elsewhere)]


def names(directory: Path) -> dict[str, str]:
    """The digests of the images that a layout names."""
    rows = _index(directory)
    return {row["annotations"][_NAME]: row["digest"] for row in rows if _NAME in row.get("annotations", {})}


def named_rows(store: Path) -> dict[str, str]:
    """The same as a store's own index has it."""
    return {name: json.loads(text)["digest"] for name, text in _rows(store, "SELECT name, descriptor FROM images")}


def objects(store: Path) -> list[str]:
    """The names of all blobs and snapshots."""
    return sorted(str(path.relative_to(store)) for kind in ("blobs/*/*", "snapshots/*") for path in store.glob(kind))


def readable_by_skopeo(store: Path, name: str) -> None:
    """Fail where another tool can't copy an image out of a store; it checks every digest."""
    with TemporaryDirectory() as place:
        command = ["skopeo", "copy", "--quiet", f"oci:{store}:{name}", f"dir:{place}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def _blobs(directory: Path) -> Iterator[str]:
    for path in directory.glob("blobs/*/*"):
        # What a killed writer of a layout leaves is hidden, and no blob.
        if not path.name.startswith(".") and hashlib.new(path.parent.name, path.read_bytes()).hexdigest() != path.name:
            yield f"the blob {path.name} has other bytes ({path.stat().st_size})"


def _snapshots(store: Path) -> Iterator[str]:
    for path in store.glob("snapshots/*"):
        raw = (path / "index").read_bytes() if (path / "index").exists() else b""
        if hashlib.sha256(raw).hexdigest() != path.name:
            yield f"the snapshot {path.name} has another index"
            continue
        for name, kind, _, _, _, more in map(json.loads, raw.splitlines()):
            file = path / "fs" / name
            if kind == "file" and (not file.is_file() or f"sha256:{_sha256(file)}" != more["digest"]):
                yield f"the snapshot {path.name} has other bytes in {name}"
            elif kind == "symlink" and (not file.is_symlink() or str(file.readlink()) != more["target"]):
                yield f"the snapshot {path.name} has another link {name}"


def _references(directory: Path, elsewhere: set[str] | frozenset[str]) -> Iterator[str]:
    pending = list(_index(directory))
    while pending:
        row = pending.pop()
        path = directory / "blobs" / row["digest"].replace(":", "/")
        if not path.is_file():
            if row["digest"] not in elsewhere:
                yield f"{row['digest']} is named, and missing"
            continue
        if path.stat().st_size != row["size"]:
            yield f"{row['digest']} has {path.stat().st_size} bytes, not {row['size']}"
        elif "manifest" in row["mediaType"] or "index" in row["mediaType"]:
            document = json.loads(path.read_bytes())
            pending += [*document.get("manifests", ()), *document.get("layers", ())]
            pending += [document["config"]] if "config" in document else []


def _index(directory: Path) -> list[dict[str, Any]]:
    path = directory / "index.json"
    return list(json.loads(path.read_bytes())["manifests"]) if path.exists() else []


def _rows(store: Path, query: str) -> list[tuple[str, ...]]:
    """Of a copy: who opens the file itself might put right what a killed process left."""
    with TemporaryDirectory() as place:
        for path in store.glob("index.db*"):
            if path.name in ("index.db", "index.db-wal"):
                shutil.copy(path, place)
        connection = sqlite3.connect(Path(place, "index.db"))
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:
            # There is no table yet.
            return []
        finally:
            connection.close()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
