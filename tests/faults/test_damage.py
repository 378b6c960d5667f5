"""Faults 17 and 18: blobs that are cut short, directories that are gone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.store import Store
from tests.support.build import Project
from tests.support.damage import files_of, findings, flip, mended, project, root, template
from tests.support.registry import RegistryServer

__all__ = ["project", "root", "template"]


def parts(root: Path) -> dict[str, Path]:
    """The blobs of the image, by what they are."""
    with Store.open(root) as store:
        descriptor = store.images.get("kept:1")
        assert descriptor is not None
        manifest = json.loads(store.blobs.read(str(descriptor["digest"])))
        digests = {
            "manifest": descriptor["digest"],
            "config": manifest["config"]["digest"],
            "layer": manifest["layers"][-1]["digest"],
            "base layer": manifest["layers"][0]["digest"],
        }
        return {name: store.blobs.path(str(digest)) for name, digest in digests.items()}


def assert_right(archive: Path) -> None:
    """Every member of a saved image that is called by a digest has it."""
    if archive.exists():
        with tarfile.open(archive) as opened:
            for member in opened.getmembers():
                content = opened.extractfile(member) if len(member.name.partition(".")[0]) == 64 else None
                if content is not None:
                    assert hashlib.sha256(content.read()).hexdigest() == member.name.partition(".")[0]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink], ids=["truncated", "empty", "gone"])
@pytest.mark.parametrize("part", ["manifest", "config", "layer", "base layer"])
def test_17_blobs_cut_short(
    template: tuple[Project, str], project: Project, root: Path, part: str, damage: Callable[[Path], Any]
) -> None:
    victim = parts(root)[part]
    damage(victim)
    for words in (("inspect", "kept:1"), ("save", "-q", "kept:1", "-o", root.with_name("saved"))):
        told = project.pybuild(*words)
        assert told.code in (0, 11, 12, 16), told.output
        assert "Traceback" not in told.output
    # A layer of a base is read from where the base is.
    assert part == "base layer" or not root.with_name("saved").exists()
    assert_right(root.with_name("saved"))
    found = findings(root)
    assert ("image", "kept:1") in found or (part == "base layer" and damage is Path.unlink)
    assert all(victim.name in name for kind, name in found if kind == "blob")
    findings(root, repair=True)
    assert findings(root) == []
    mended(project, template[1])


WAYS_OUT = {
    "archive": ("build", ".", "-q", "-o", "archive:{out}"),
    "layout": ("build", ".", "-q", "-o", "layout:{out}"),
    "docker archive": ("build", ".", "-q", "-o", "docker:{out}"),
    "root": ("build", ".", "-q", "-o", "rootfs:{out}"),
    "cache": ("build", ".", "-q", "--cache-to", "type=local,dest={out}"),
    "push by a build": ("build", ".", "-q", "--push", "-t", "{registry}/damaged/app:1"),
    "push": ("push", "-q", "kept:1", "{registry}/damaged/app:1"),
    "save": ("save", "-q", "kept:1", "-o", "{out}"),
}


@pytest.mark.parametrize("name", WAYS_OUT)
def test_16_damaged_bytes_leave_the_store_by_no_way(
    project: Project, root: Path, registry: RegistryServer, registries_file: Path, name: str
) -> None:
    """Whatever a command would write or send of a damaged layer: it says so and what to do, and makes nothing."""
    victim, out = parts(root)["layer"], root.with_name("out")
    flip(victim, random.Random(name))
    pybuild = replace(project.pybuild, registries=registries_file)
    told = pybuild(*(word.format(out=out, registry=registry.name) for word in WAYS_OUT[name]), cwd=project.directory)
    assert told.code == 11, told.output
    assert f"the bytes of the blob sha256:{victim.name} in the store are damaged" in told.stderr
    assert "pybuild store check --repair" in told.stderr
    assert not out.exists() or not [path for path in out.rglob("*") if path.name == victim.name]
    assert pybuild("inspect", f"docker://{registry.name}/damaged/app:1").code == 10


def test_16_a_flipped_bit_in_a_layout_that_is_added_to(project: Project, root: Path) -> None:
    """What lies there already under the name of a blob is compared with it, and written again."""
    out = root.with_name("out")
    for _ in range(2):
        assert project.pybuild("build", ".", "-q", "-o", f"layout:{out}", cwd=project.directory).code == 0
        victim = out / "blobs/sha256" / parts(root)["layer"].name
        assert hashlib.sha256(victim.read_bytes()).hexdigest() == victim.name
        flip(victim, random.Random(1))


def strange(root: Path) -> None:
    (root / "blobs/sha256/strange").touch()
    (root / "snapshots/strange").touch()
    (root / "blobs/strange").touch()


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a flipped bit in every blob": lambda root: [flip(path, random.Random(2)) for path in files_of(root / "blobs")],
    "every blob gone": lambda root: [path.unlink() for path in files_of(root / "blobs")],
    "a blob that nobody may read": lambda root: parts(root)["layer"].chmod(0),
    "strange files": strange,
    "a snapshot without its index": lambda root: sorted(root.glob("snapshots/*/index"))[0].unlink(),
    "a list of names that is gone": lambda root: (root / "index.json").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_17_other_damage(template: tuple[Project, str], project: Project, root: Path, name: str) -> None:
    DAMAGES[name](root)
    project.pybuild("store", "check", "--repair")
    assert findings(root) == []
    mended(project, template[1])


GONE: dict[str, Callable[[Path], Iterator[Path]]] = {
    "one snapshot": lambda root: iter(sorted(root.glob("snapshots/*"))[:1]),
    "the files of one": lambda root: iter(sorted(root.glob("snapshots/*/fs"))[:1]),
    "all snapshots": lambda root: root.glob("snapshots/*"),
    "their directory": lambda root: iter([root / "snapshots"]),
    "the directory of blobs": lambda root: iter([root / "blobs/sha256"]),
    "both": lambda root: iter([root / "blobs", root / "snapshots"]),
}


@pytest.mark.parametrize("name", GONE)
def test_18_a_directory_that_is_gone(template: tuple[Project, str], project: Project, root: Path, name: str) -> None:
    """Prune and rmi go on, and the next build makes it again."""
    for path in list(GONE[name](root)):
        shutil.rmtree(path)
    project.pybuild.ok("df")
    project.pybuild.ok("prune")
    removed = project.pybuild.ok("rmi", "kept:1").stdout
    assert "took away the name kept:1" in removed
    project.pybuild.ok("store", "check", "--repair")
    mended(project, template[1])
    project.pybuild.ok("rmi", "kept:1")
    project.pybuild.ok("prune", "--all")
    assert findings(root) == []
