"""A fresh store, and real processes that work in it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.store import Store

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ROOT = Path(__file__).parents[3]
PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from buildkit_py.store import Store
root = Path(sys.argv[1])
"""
Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with Store.open(root) as opened:
        yield opened


@pytest.fixture
def spawn(root: Path) -> Iterator[Spawn]:
    """Start a Python process with `Store` and `root` at hand; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(root), *map(str, arguments)]
        process: subprocess.Popen[str] = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def make_snapshot() -> Callable[..., str]:
    return commit_snapshot


@pytest.fixture
def make_image() -> Callable[[Store, str], list[str]]:
    """Store a named image; gives the digests of its manifest, config and layer."""

    def make(store: Store, name: str) -> list[str]:
        config, layer = (store.blobs.put(f"{kind} of {name}".encode()) for kind in ("config", "layer"))
        document = {
            "config": {"digest": config, "size": store.blobs.size(config), "mediaType": "c"},
            "layers": [{"digest": layer, "size": store.blobs.size(layer), "mediaType": "l"}],
        }
        manifest = store.blobs.put(json.dumps(document).encode())
        store.images.put(name, {"digest": manifest, "size": store.blobs.size(manifest), "mediaType": MANIFEST})
        return [manifest, config, layer]

    return make


def commit_snapshot(store: Store, files: dict[str, bytes]) -> str:
    """Commit a snapshot of regular files of root's (or the user's own) at the top; gives the diff digest."""
    diff = diff_of(files, store.root.stat().st_uid, store.root.stat().st_gid)
    with store.snapshots.area() as area:
        for name, data in files.items():
            (area.fs / name).write_bytes(data)
            (area.fs / name).chmod(0o644)
        store.snapshots.commit(area, diff.digest, diff.encoded, sum(map(len, files.values())))
    return diff.digest


def diff_of(files: dict[str, bytes], uid: int = 0, gid: int = 0) -> Diff:
    return Diff.of(
        Entry(path=name, type="file", mode=0o644, uid=uid, gid=gid, size=len(data), digest=str(Digest.of(data)))
        for name, data in files.items()
    )
