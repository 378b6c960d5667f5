"""Laying a tree over another, whatever that is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from buildkit_py.graph.op import Merge
from buildkit_py.layer.compose import compose, needs_lower
from buildkit_py.layer.draft import checkout, materialise
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.tree import ROOT, ChainTree, EmptyTree
from tests.support.treetext import TextTree, entries


class Unknown:
    """A tree that nobody may look at."""

    def lookup(self, path: str) -> Entry | None:
        raise AssertionError(path)

    def children(self, path: str) -> Iterable[str]:
        raise AssertionError(path)

    def open(self, path: str) -> BinaryIO:
        raise AssertionError(path)


UPPER = ("a/ 700 1:2 {user.x=1}", "a/f =new", "a/g => a/f", "b -> /c", "p |", "n c1:3 600")


def test_every_entry_is_as_it_is_and_the_base_is_not_asked() -> None:
    diff = apply_op(Merge(), Unknown(), TextTree(*UPPER)).diff
    assert list(diff.entries) == entries(UPPER)[1:]
    assert not needs_lower([diff])
    assert not apply_op(Merge(), Unknown(), EmptyTree()).diff


def laid(base: tuple[str, ...], upper: tuple[str, ...], tmp_path: Path) -> dict[str, Entry]:
    """The merged tree, as the store sees it and as it is written out, by path."""
    draft = apply_op(Merge(), Unknown(), TextTree(*upper))
    directory = tmp_path / "snapshot"
    directory.mkdir()
    materialise(draft, directory, 0)
    below = TextTree(*base)._snapshots[0]
    tree = ChainTree([(below._place, below._diff), (directory, draft.diff)])
    (tmp_path / "out").mkdir()
    assert tree.lookup("") == below.get("")
    found: dict[str, Entry] = {}
    pending = [""]
    while pending:
        here = pending.pop()
        for name in tree.children(here):
            path = f"{here}/{name}".lstrip("/")
            entry = tree.lookup(path)
            assert entry is not None
            found[path] = entry
            pending.append(path)
    return found


def by_path(*lines: str) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries(lines) if entry.path}


def test_the_root_and_what_is_beside_it_stay(tmp_path: Path) -> None:
    assert laid(("z", "a/old"), ("a/new",), tmp_path) == by_path("z", "a/old", "a/new")


def test_a_directory_gets_what_the_upper_one_has(tmp_path: Path) -> None:
    assert laid(("a/ 777 9:9", "a/old"), ("a/ 700 1:1",), tmp_path) == by_path("a/ 700 1:1", "a/old")


def test_a_file_takes_the_place_of_a_directory(tmp_path: Path) -> None:
    assert laid(("a/b/c", "z"), ("a/b =f",), tmp_path) == by_path("a/b =f", "z")


def test_a_directory_takes_the_place_of_anything_else(tmp_path: Path) -> None:
    assert laid(("a -> z", "z/x", "b"), ("a/f", "b/g"), tmp_path) == by_path("z/x", "a/f", "b/g")


def test_it_is_one_layer_over_every_base(tmp_path: Path) -> None:
    draft = apply_op(Merge(), Unknown(), TextTree("a/f =f"))
    composed = compose([draft.diff], EmptyTree()).diff
    assert composed == Diff((ROOT, *draft.diff.entries))
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "snapshot").mkdir()
    materialise(draft, tmp_path / "snapshot", 0)
    checkout(ChainTree([(tmp_path / "snapshot", draft.diff)]), out)
    assert (out / "a/f").read_text() == "f"
