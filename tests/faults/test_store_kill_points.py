"""Row 1 from inside: a process of the store is killed before and after every call of Python's that changes something.

Where `test_kill_points.py` stops whole commands at what makes something known, this stops the store alone, also between
a call's end and the next line, and at the making and removing of files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from buildkit_py.store import Store
from tests.support.command import ROOT
from tests.support.places import sample

SAMPLE = 8
START = """
import hashlib, json, os, sys
from pathlib import Path
from buildkit_py.digest import Digest
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.store import Store
from buildkit_py.store.removal import remove_images
from tests.support import deadly

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
root, limit, when = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
"""
WORK = """
deadly.arm(limit, when)

def commit_snapshot(store, data):
    entry = Entry(path="a", type="file", mode=0o644, size=3, digest=str(Digest.of(data)), uid=0, gid=0)
    diff = Diff.of([entry])
    with store.snapshots.area() as area:
        (area.fs / "a").write_bytes(data)
        (area.fs / "a").chmod(0o644)
        store.snapshots.commit(area, diff.digest, diff.encoded, 3)
    return diff.digest

store = Store.open(root)
with store.lease():
    config, layer = store.blobs.put(b"config"), store.blobs.put(b"layer")
    row = lambda digest: {"digest": digest, "size": store.blobs.size(digest)}
    manifest = store.blobs.put(json.dumps({"config": row(config), "layers": [row(layer)]}).encode())
    snapshot = commit_snapshot(store, b"one")
    with store.transaction():
        store.trees.put("sha256:" + "1" * 64, None, snapshot)
        store.results.put("key", {"content_id": "sha256:" + "1" * 64}, {}, "b")
    for name in ("app:1", "app:2"):
        store.images.put(name, {"digest": manifest, "mediaType": MANIFEST})
    store.images.remove("app:2")
    store.blobs.put(b"loose")
    commit_snapshot(store, b"two")
    with store.blobs.partial("sha256:" + hashlib.sha256(b"partial").hexdigest()) as part:
        if not part.done:
            part.append(b"partial"[part.offset:]); part.commit()
store.prune()
store.close()
print(deadly.count())
"""
REMOVAL = """
def put(store, name):
    row = lambda data: {"digest": store.blobs.put(data), "size": len(data)}
    parts = {"config": row(f"config of {name}".encode()), "layers": [row(b"in both"), row(name.encode())]}
    manifest = row(json.dumps(parts).encode())
    store.images.put(name, {**manifest, "mediaType": MANIFEST})

with Store.open(root) as store:
    for name in ("app", "stays"):
        put(store, name)
deadly.arm(limit, when)
with Store.open(root) as store:
    remove_images(store, [record for record in store.images.list() if record.name == "app"])
print(deadly.count())
"""
before_and_after = pytest.mark.parametrize("when", ["before", "after"])


def run(script: str, place: Path, limit: int, when: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + script, str(place), str(limit), when]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def killed(script: str, place: Path, limit: int, when: str) -> None:
    ended = run(script, place, limit, when)
    assert ended.returncode == -9, ended.stderr


def assert_sound(root: Path) -> None:
    with Store.open(root) as store:
        assert store.check() == []
        assert list(store.layout.tmp.iterdir()) == []
        if store.results.get("key"):
            assert store.trees.complete("sha256:" + "1" * 64)
        named = {
            item["annotations"]["org.opencontainers.image.ref.name"]
            for item in json.loads((root / "index.json").read_text())["manifests"]
        }
        assert named == {record.name for record in store.images.list()}


@before_and_after
def test_01_work_of_every_kind(tmp_path: Path, when: str) -> None:
    total = int(run(WORK, tmp_path / "whole", 0, when).stdout)
    assert total > 60
    assert_sound(tmp_path / "whole")
    with sample(f"work {when}", range(1, total + 1), SAMPLE) as limits:
        for limit in limits:
            place = tmp_path / f"crash-{limit}"
            killed(WORK, place, limit, when)
            assert_sound(place)
            again = run(WORK, place, 0, when)
            assert again.returncode == 0, again.stderr
            assert_sound(place)
            with Store.open(place) as store:
                assert [record.name for record in store.images.list()] == ["app:1"]
                assert store.trees.complete("sha256:" + "1" * 64)


@before_and_after
def test_01_a_removal(tmp_path: Path, when: str) -> None:
    total = int(run(REMOVAL, tmp_path / "whole", 0, when).stdout)
    assert total > 10
    with sample(f"removal {when}", range(1, total + 1), SAMPLE) as limits:
        for limit in limits:
            place = tmp_path / f"crash-{limit}"
            killed(REMOVAL, place, limit, when)
            with Store.open(place) as store:
                assert store.check() == []
                assert os.listdir(store.layout.tmp) == []
                names = {record.name for record in store.images.list()}
                assert names in ({"stays"}, {"app", "stays"})
                store.prune()
                assert len(list(place.glob("blobs/*/*"))) == (4 if names == {"stays"} else 7)
