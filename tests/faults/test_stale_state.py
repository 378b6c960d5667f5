"""Row 14: what an earlier boot or a dead process left behind, also where its pid is another process's by now."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from buildkit_py.store import Store
from buildkit_py.store.layout import hashed
from buildkit_py.store.leases import boot_id
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.running import heard, started

OTHER_BOOT = "0" * 32
OWNER = "0123456789abcdef"
HASH = "a" * 64


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    made = Project.make(pybuild, tmp_path / "project")
    made.image("run echo x > /x")
    made.build("-t", "app:1")
    return made


@pytest.mark.parametrize("boot", [boot_id(), OTHER_BOOT], ids=["pid reuse", "reboot"])
def test_14_stale_state_is_known_for_what_it_is(project: Project, boot: str) -> None:
    """All of it says the pid of a process that is alive: this one's."""
    store = project.pybuild.store
    (store / "leases" / OWNER).write_text(json.dumps({"pid": os.getpid(), "boot": boot}) + '\n["blob", "x"]\n')
    (store / "tmp" / f"{OWNER}-1" / "fs").mkdir(parents=True)
    (store / "tmp" / f"{OWNER}-2").write_bytes(b"half")
    (store / "partial" / f"sha256-{HASH}.{OTHER_BOOT}").write_bytes(bytes(100))
    (store / "mounts" / OWNER / "upper").mkdir(parents=True)
    record = {"id": OWNER, "image": "app:1", "digest": "sha256:" + HASH, "platform": "", "point": "/mnt"}
    more = {"writable": True, "objects": [["image", "app:1"]], "boot": boot, "pid": os.getpid(), "uid": 0, "made": 0}
    names = {"pid_namespace": Path("/proc/self/ns/pid").stat().st_ino}
    (store / "mounts" / OWNER / "holder").write_text(json.dumps(record | more | names))
    for name in ("index", "gc", hashed(f"partial-sha256:{HASH}")):
        (store / "locks" / name).write_text(f"{os.getpid()}\n")
    assert project.pybuild.ok("rmi", "app:1", cwd=project.directory).stdout.startswith("took away the name app:1")
    project.check()
    for place in ("leases", "tmp", "partial", "mounts"):
        assert os.listdir(store / place) == []
    assert project.build("-t", "app:1").result.code == 0


def test_14_who_is_alive_is_believed_whatever_its_files_say(project: Project) -> None:
    """A lease is held by its lock alone: nothing that it protects goes because of what pid or boot it names."""
    store = project.pybuild.store
    project.image("run echo other > /x; echo begun; sleep 600")
    with started(project.pybuild, "build", ".", "--progress", "json", cwd=project.directory) as process:
        heard(process.stdout, '"Log"', "begun")
        (lease,) = (store / "leases").iterdir()
        first, _, rest = lease.read_text().partition("\n")
        assert json.loads(first) == {"pid": process.pid, "boot": boot_id()}
        lease.write_text(f"{json.dumps({'pid': 2**22 + 1, 'boot': OTHER_BOOT})}\n{rest}")
        before = sorted(os.listdir(store / "tmp"))
        assert before
        project.pybuild.ok("untag", "app:1")
        project.pybuild.ok("prune", "--all")
        assert sorted(os.listdir(store / "tmp")) == before
        with Store.open(store) as opened:
            noted = [json.loads(line) for line in rest.splitlines() if line]
            assert all(opened.snapshots.has(name) for kind, name in noted if kind == "snapshot")
            assert any(kind == "snapshot" for kind, _ in noted)
    project.check()
