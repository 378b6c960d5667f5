"""Fault 20: a directory of the store is replaced by a symbolic link. Nothing is written or deleted where it leads."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from buildkit_py.errors import StoreError
from buildkit_py.store import Store
from buildkit_py.store.layout import DIRECTORIES
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.stored import described

CANARIES = ("index", "meta", "id", "holder", "fs/data", "0/kept", "sha256/blob", "work/work")
BODY = ("copy ./data to /data", "with cache(/c, id: kept)\nrun cat /data > /twice; echo kept > /c/kept")
CARE = (("df",), ("prune", "--all"), ("store", "check", "--repair"), ("rmi", "kept:1"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory of the person's own, with files that are called as those of a store are."""
    place = tmp_path / "elsewhere"
    for name in CANARIES:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("canary")
    return place


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    made = Project.make(pybuild, tmp_path / "project")
    made.write({"data": "data"})
    made.image(*BODY)
    return made


def replaced(path: Path, elsewhere: Path) -> None:
    """Put a link in the place of a directory."""
    if path.exists():
        path.rename(path.with_name(f".{path.name}-aside") if path.parent.name != "store" else path.parents[1] / "aside")
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_20_no_command_uses_a_store_with_a_link(tmp_path: Path, elsewhere: Path, name: str) -> None:
    root = tmp_path / "store"
    Store.open(root).close()
    (root / name).rename(tmp_path / "aside")
    (root / name).symlink_to(elsewhere)
    before = described(elsewhere)
    with pytest.raises(StoreError, match="a link or a file"):
        Store.open(root)
    (root / "version").unlink()
    with pytest.raises(StoreError, match="a link or a file"):
        Store.open(root)
    assert described(elsewhere) == before


def test_20_the_commands_say_so(project: Project, store: Path, elsewhere: Path) -> None:
    project.build("-t", "kept:1")
    replaced(store / "snapshots", elsewhere)
    before = described(elsewhere)
    for words in (("build", "."), *CARE):
        refused = project.pybuild(*words, cwd=project.directory)
        assert (refused.code, "not a directory of the store but a link" in refused.stderr) == (12, True), refused.output
    assert described(elsewhere) == before


@pytest.mark.parametrize("pattern", ["snapshots/*", "snapshots/*/fs", "caches/*", "caches/*/0"])
def test_20_a_directory_within(project: Project, store: Path, elsewhere: Path, pattern: str) -> None:
    """Builds and the care of the store leave alone where the link leads; when it is removed, all is well again."""
    digest = project.build("-t", "kept:1").digest
    links = sorted(store.glob(pattern))
    for path in links:
        subprocess.run(["rm", "-r", path], check=True)
        path.symlink_to(elsewhere)
    before = described(elsewhere)
    found = document_of_check(project.pybuild)
    for path in links:
        assert any(part in row["id"] for row in found for part in path.parts if len(part) == 64), found
    for words in (("build", ".", "--no-cache", "-t", "kept:1"), *CARE):
        done = project.pybuild(*words, cwd=project.directory)
        assert done.code in (0, 1, 12, 16), done.output
        assert described(elsewhere) == before, words
    assert not any(path.is_symlink() for path in store.glob(pattern))
    assert project.build("-t", "kept:1", "--no-cache").digest == digest
    project.check()
    assert described(elsewhere) == before


def document_of_check(pybuild: Pybuild) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(pybuild("store", "check", "--json").stdout)
    return rows


def test_20_blobs_of_another_algorithm(tmp_path: Path, elsewhere: Path) -> None:
    root, data = tmp_path / "store", b"hello"
    digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
    with Store.open(root) as store:
        (root / "blobs/sha512").symlink_to(elsewhere)
        before = described(elsewhere)
        with pytest.raises(StoreError, match="link"), store.blobs.writer("sha512") as writer:
            writer.write(data)
            writer.commit()
        with pytest.raises(StoreError, match="link"), store.blobs.partial(digest) as partial:
            partial.append(data)
            partial.commit()
        assert [found.id for found in store.check()] == ["blobs/sha512"]
        store.prune(all=True)
        store.check(repair=True)
        assert store.check() == []
        assert described(elsewhere) == before
        with store.blobs.writer("sha512") as writer:
            writer.write(data)
            writer.commit()
        assert store.blobs.read(digest) == data
    assert described(elsewhere) == before


def test_20_links_among_what_is_under_way(tmp_path: Path, elsewhere: Path) -> None:
    """In tmp/ and mounts/: what is removed there are the links."""
    root = tmp_path / "store"
    Store.open(root).close()
    before = described(elsewhere)
    (root / "tmp/0123456789abcdef-1").symlink_to(elsewhere)
    (root / "mounts/0123456789abcdef").symlink_to(elsewhere)
    with Store.open(root) as store:
        store.df()
        store.prune(all=True)
        assert list((root / "tmp").iterdir()) == []
        assert list((root / "mounts").iterdir()) == []
        assert store.check() == []
    assert described(elsewhere) == before


def test_20_an_index_replaced_by_a_link_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "store"
    Store.open(root).close()
    (root / "index.db").rename(tmp_path / "index.db")
    (root / "index.db").symlink_to(tmp_path / "index.db")
    with pytest.raises(StoreError, match="symbolic link"):
        Store.open(root)


def test_20_the_root_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    with Store.open(tmp_path / "link") as store:
        assert store.root == tmp_path / "real"
