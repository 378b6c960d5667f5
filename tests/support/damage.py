"""A store with everything in it, to be damaged: what is wrong with it, and whether the next build mends it."""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.layer.statcache import StatCache
from buildkit_py.store import Store
from tests.support import layouts
from tests.support.build import Project
from tests.support.command import Pybuild

BODY = (
    "copy ./data to /data",
    "with cache(/c, id: kept)\nrun cat /data > /twice; cat /data >> /twice; echo kept > /c/kept",
    "run mkdir /d; echo x > /d/x; rm /twice",
)


def files_of(root: Path) -> list[Path]:
    """Every regular file."""
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def flip(path: Path, chance: random.Random) -> None:
    """Turn one bit of a file over, as a disk does: no time changes."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project that was built, with everything in its store that a store can have and no process needs; the digest."""
    directory = tmp_path_factory.mktemp("damage")
    (directory / "home").mkdir()
    project = Project.make(Pybuild(home=directory / "home", store=directory / "store"), directory / "project")
    project.write({"data": "data" * 50_000})
    project.image(*BODY)
    digest = project.build("-t", "kept:1").digest
    project.pybuild.ok("store", "quota", "1GB")
    with Store.open(project.pybuild.store) as store, store.blobs.partial(f"sha256:{'1' * 64}") as partial:
        partial.append(b"half")
    stats = StatCache(project.pybuild.store / "stat.db")
    stats.put("/d", "f", (1, 0, 0, 7), f"sha256:{'2' * 64}", read_at=10**12)
    stats.close()
    return project, digest


@pytest.fixture
def project(template: tuple[Project, str], tmp_path: Path) -> Project:
    """The same project with a copy of its store."""
    made, _ = template
    subprocess.run(["cp", "-a", made.pybuild.store, tmp_path / "store"], check=True)
    # A copy of index.json is another file, which is written again.
    Store.open(tmp_path / "store").close()
    return replace(made, pybuild=replace(made.pybuild, store=tmp_path / "store"))


@pytest.fixture
def root(project: Project) -> Path:
    return project.pybuild.store


def findings(root: Path, *, repair: bool = False) -> list[tuple[str, str]]:
    """What is wrong: kind and id."""
    with Store.open(root) as store:
        return [(found.kind, found.id) for found in store.check(repair=repair)]


def bytes_of(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for top in ("blobs", "snapshots", "caches") for path in files_of(root / top)}


def mended(project: Project, digest: str) -> None:
    """Build again: the same image comes out, with every byte in place."""
    place = project.pybuild.store.with_name("out")
    assert project.build("-t", "kept:1", "-o", f"layout:{place}").digest == digest
    assert layouts.layers_of(place)
    assert findings(project.pybuild.store) == []
