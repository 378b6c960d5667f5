"""Row 24: what a killed engine left mounted is taken away at the next start, and nothing is deleted through a mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.boxes import RUNTIMES
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.leftovers import cgroups_of, deserted
from tests.support.running import heard, started

OWNER = "0123456789abcdef"
BEGUN = "with cache(/c)\nrun test -e /c/second || { touch /c/second; echo begun; sleep 600 & sleep 600; }; echo x > /x"


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of somebody else, which must stay as it is."""
    place = tmp_path / "somebody-else"
    (place / "below").mkdir(parents=True)
    for name in ("file", "below/file"):
        (place / name).write_text("mine")
    yield place
    for name in ("file", "below/file"):
        assert (place / name).read_text() == "mine"


@contextmanager
def mounted(source: Path, point: Path, *, where: str) -> Iterator[None]:
    """A bind mount, in the mount namespace of this process or in one that nobody else looks at."""
    mount = ["mount", "--bind", str(source), str(point)]
    if where == "here":
        subprocess.run(mount, check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--quiet", point], check=False, stderr=subprocess.DEVNULL)
        return
    words = ["unshare", "--mount", "sh", "-ec", '"$@"; echo mounted; exec sleep 600', "sh", *mount]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        try:
            heard(holder.stdout, "mounted")
            yield
        finally:
            holder.kill()


@pytest.mark.parametrize("snapshotter", ["overlay", "copy"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_24_a_killed_build(project: Project, runtime: str, snapshotter: str) -> None:
    """Its mounts go with it, in every namespace, and the next start removes what they were made of."""
    project.image(BEGUN)
    project = replace(project, arguments=("--runtime", runtime, "--snapshotter", snapshotter))
    words = ("build", ".", "--progress", "json", *project.arguments)
    with started(project.pybuild, *words, cwd=project.directory) as process:
        heard(process.stdout, '"Log"', "begun")
        process.kill()
    deserted(project.directory.parent)
    assert cgroups_of(process.pid) == []
    assert list((project.pybuild.store / "tmp").iterdir())
    project.check()
    assert list((project.pybuild.store / "tmp").iterdir()) == []
    assert len(project.build().processes) == 1


@pytest.mark.parametrize("where", ["here", "in another namespace"])
def test_24_leftover_mounts_are_reclaimed(project: Project, canary: Path, where: str) -> None:
    project.image("run true")
    project.build("-t", "app:1")
    tmp = project.pybuild.store / "tmp"
    for number, below in enumerate(("", "fs", "fs/deep/deeper"), 1):
        point = tmp / f"{OWNER}-{number}" / below
        point.mkdir(parents=True)
        (point / "ours").touch()
        with mounted(canary, point, where=where):
            project.check()
            assert list(tmp.iterdir()) == []
            assert str(tmp) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("where", ["here", "in another namespace"])
@pytest.mark.parametrize("command", ["prune", "store check --repair"])
def test_24_nothing_is_deleted_through_a_mount(project: Project, canary: Path, where: str, command: str) -> None:
    """Something is mounted in a snapshot that is to go, where this process sees it and where it does not."""
    project.image("run mkdir -p /d/e; echo x > /d/e/f")
    project.build("-t", "app:1")
    store = project.pybuild.store
    (point,) = store.glob("snapshots/*/fs/d/e")
    if command == "prune":
        project.pybuild.ok("untag", "app:1", "app")
        words = ("prune", "--all")
    else:
        (point.parents[2] / "index").write_text("damaged")
        words = ("store", "check", "--repair")
    with mounted(canary, point, where=where):
        project.pybuild(*words)
        assert point.exists() == (where == "here")
    project.pybuild.ok(*words)
    assert not point.exists()
    assert project.build("-t", "app:1").result.code == 0
    project.check()


def test_24_a_mount_over_a_blob_and_over_a_cache_directory(project: Project, canary: Path, tmp_path: Path) -> None:
    project.image("with cache(/c)\nrun echo x > /c/x")
    project.build("-t", "app:1")
    store = project.pybuild.store
    (cache,) = store.glob("caches/*/0")
    blob = max(store.glob("blobs/*/*"), key=lambda path: path.stat().st_size)
    with mounted(canary, cache, where="here"), mounted(canary / "file", blob, where="here"):
        project.pybuild.ok("untag", "app:1", "app")
        project.pybuild.ok("prune", "--all")
        assert cache.exists() and blob.exists()
    project.pybuild.ok("prune", "--all")
    assert not cache.exists() and not blob.exists()
