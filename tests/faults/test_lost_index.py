"""Fault 19: the SQLite file is damaged, cut short, empty, gone, or a directory: it is made anew from the rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from buildkit_py.errors import StoreError
from buildkit_py.store import Store
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.disturb import some
from tests.support.stored import names

PAGE = 4096
TABLES = ("trees", "results", "memo", "images", "builds", "uses", "facts")


def root_page(table: str) -> Callable[[Path], None]:
    """Zeros where the rows of a table begin."""

    def damage(path: Path) -> None:
        connection = sqlite3.connect(path)
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        connection.close()
        overwrite(path, (page - 1) * PAGE, bytes(PAGE))

    return damage


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def cut(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return damage


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "canary").touch()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "a directory": directory,
    "notes of mine": lambda path: path.write_bytes(b"notes of mine"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "noise": lambda path: path.write_bytes(b"\x55" * path.stat().st_size),
    "a cut header": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "one page": lambda path: path.write_bytes(path.read_bytes()[:PAGE]),
    "a half": cut(0.5),
    "all but a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "its schema": lambda path: overwrite(path, 100, bytes(PAGE - 100)),
    "all pages but the first": lambda path: overwrite(path, PAGE, b"\xaa" * (path.stat().st_size - PAGE)),
    "another program's": lambda path: [path.unlink(), sqlite3.connect(path).execute("CREATE TABLE t (a)").close()],
    **{f"the table {table}": root_page(table) for table in TABLES},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_19_the_index_is_made_again_from_the_rest(tmp_path: Path, name: str) -> None:
    """Names and bytes are there afterwards; at most one command says that the index is damaged."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        digest = store.blobs.put(b"{}")
        descriptor = {"digest": digest, "size": 2, "mediaType": "a/x", "annotations": {"a": "b"}}
        store.images.put("app:1", descriptor)
        for number in range(200):
            store.memo.put("k", str(number), "x" * 100)
        store.builds.add({"id": "b1"})
    DAMAGES[name](root / "index.db")
    try:
        with Store.open(root) as store:
            store.check(repair=True)
    except StoreError as error:
        assert "damaged" in error.message
    with Store.open(root) as store:
        assert store.check() == []
        assert store.images.get("app:1") == descriptor
        assert store.blobs.read(digest) == b"{}"
        store.memo.put("k", "k", 2)
        assert store.memo.get("k", "k") == 2


@pytest.mark.parametrize("name", [name for name in DAMAGES if name not in ("gone", "empty")])
def test_19_work_goes_on_without_a_check(tmp_path: Path, name: str) -> None:
    """Who never calls `store check` reads of the damage once, and works on."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        digest = store.blobs.put(b"{}")
        store.images.put("app:1", {"digest": digest, "size": 2, "mediaType": "a/x"})
        store.memo.put("k", "k", 1)
    DAMAGES[name](root / "index.db")
    told = 0
    for _ in range(8):
        try:
            with Store.open(root) as store:
                store.images.list()
                store.memo.get("k", "k")
                store.memo.put("k", "k", 2)
                store.trees.get("t")
                store.results.get("key")
                store.builds.list()
                store.df()
        except StoreError as error:
            told += 1
            assert "damaged" in error.message
            assert "again" in (error.hint or "")
        else:
            break
    assert told < 2
    with Store.open(root) as store:
        assert [record.name for record in store.images.list()] == ["app:1"]


@pytest.mark.parametrize("name", some(list(DAMAGES), 3, seed=19))
def test_19_the_next_build_is_the_same(pybuild: Pybuild, store: Path, tmp_path: Path, name: str) -> None:
    project = Project.make(pybuild, tmp_path / "project")
    project.write({"a": "a"})
    project.image("copy ./a to /a", "run cat /a > /b")
    digest = project.build("-t", "app:1").digest
    before = sorted(path.name for path in store.glob("blobs/sha256/*"))
    DAMAGES[name](store / "index.db")
    pybuild("ls")
    assert "app:1" in names(pybuild)
    built = project.attempt("-t", "app:1")
    if built.result.code:
        assert "damaged" in built.result.output
        built = project.build("-t", "app:1")
    assert built.digest == digest
    assert set(before) <= {path.name for path in store.glob("blobs/sha256/*")}
    project.check()
    pybuild.ok("export", "-o", tmp_path / "out.tar", "app:1")


def test_19_check_finds_what_opening_does_not(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store.open(root) as store:
        store.images.put("app:1", {"digest": store.blobs.put(b"{}"), "size": 2, "mediaType": "a/x"})
    root_page("builds")(root / "index.db")
    with Store.open(root) as store:
        assert ("index", False) in {(finding.kind, finding.repaired) for finding in store.check()}
        assert ("index", True) in {(finding.kind, finding.repaired) for finding in store.check(repair=True)}
        assert store.check() == []
        assert store.images.get("app:1")
    assert (root / "index.db.damaged").exists()


@pytest.mark.parametrize("twice", [False, True])
def test_19_what_is_set_aside_is_not_lost(tmp_path: Path, twice: bool) -> None:
    root = tmp_path / "store"
    Store.open(root).close()
    if twice:
        (root / "index.db.damaged").mkdir()
        (root / "index.db.damaged/old").touch()
    (root / "index.db").write_bytes(b"notes of mine")
    with Store.open(root) as store:
        assert store.check() == []
    assert (root / "index.db.damaged").read_bytes() == b"notes of mine"
