"""A process is killed before and after every rename, fsync, sync and commit: nothing is lost, and it works again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from buildkit_py.store import Store

EVERY = 8
WORK = """
import hashlib, os, signal, sys
from pathlib import Path
from buildkit_py.store import Store
from buildkit_py.store import files, index
from buildkit_py.digest import Digest
from buildkit_py.layer.entry import Diff, Entry

def commit_snapshot(store, data):
    diff = Diff.of([Entry(path="a", type="file", mode=0o644, size=3, digest=str(Digest.of(data)),
                          uid=os.geteuid(), gid=os.getegid())])
    with store.snapshots.area() as area:
        (area.fs / "a").write_bytes(data)
        (area.fs / "a").chmod(0o644)
        store.snapshots.commit(area, diff.digest, diff.encoded, 3)
    return diff.digest

root, limit, after, count = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after", 0

def deadly(call):
    def wrapped(*arguments, **named):
        global count
        count += 1
        mine = count == limit
        if mine and not after: os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(*arguments, **named)
        finally:
            if mine: os.kill(os.getpid(), signal.SIGKILL)
    return wrapped

class Connection(index.sqlite3.Connection):
    def execute(self, sql, *values):
        run = super().execute
        if sql.startswith(("COMMIT", "BEGIN", "INSERT", "DELETE")): run = deadly(run)
        return run(sql, *values)

connect = index.sqlite3.connect
index.sqlite3.connect = lambda *arguments, **named: connect(*arguments, **named, factory=Connection)
for name in ("rename", "fsync", "unlink", "rmdir", "mkdir"):
    setattr(os, name, deadly(getattr(os, name)))
files.sync_file_system = deadly(files.sync_file_system)

store = Store.open(root)
with store.lease():
    config, layer = store.blobs.put(b"config"), store.blobs.put(b"layer")
    manifest = store.blobs.put(b'{"config": {"digest": "%s", "size": 6}, "layers": [{"digest": "%s", "size": 5}]}'
                               % (config.encode(), layer.encode()))
    snapshot = commit_snapshot(store, b"one")
    with store.transaction():
        store.trees.put("sha256:" + "1" * 64, None, snapshot)
        store.results.put("key", {"content_id": "sha256:" + "1" * 64}, {}, "b")
    descriptor = {"digest": manifest, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    store.images.put("app:1", descriptor)
    store.images.put("app:2", descriptor)
    store.images.remove("app:2")
    store.blobs.put(b"loose")
    commit_snapshot(store, b"two")
    with store.blobs.partial("sha256:" + hashlib.sha256(b"partial").hexdigest()) as part:
        if not part.done:
            part.append(b"partial"[part.offset:]); part.commit()
store.prune()
store.close()
print(count)
"""


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


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_anywhere_loses_nothing(tmp_path: Path, root: Path, when: str) -> None:
    def run(place: Path, limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WORK, str(place), str(limit), when]
        return subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)

    total = int(run(root, 0).stdout)
    assert total > 60
    assert_sound(root)
    for limit in range(1, total, EVERY):
        place = tmp_path / f"crash-{limit}"
        killed = run(place, limit)
        assert killed.returncode == -9, killed.stderr
        assert_sound(place)
        again = run(place, 0)
        assert again.returncode == 0, again.stderr
        assert_sound(place)
        with Store.open(place) as store:
            assert [record.name for record in store.images.list()] == ["app:1"]
            assert store.trees.complete("sha256:" + "1" * 64)
