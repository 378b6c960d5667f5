"""Flattening a stack of snapshots: what becomes of hard links whose first name is gone."""

from pathlib import Path

from buildkit_py.digest import Digest
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.flat import flat
from buildkit_py.layer.tree import ChainTree, EmptyTree

ONE, TWO = str(Digest.of(b"1")), str(Digest.of(b"2"))


def file(path: str, digest: str = ONE, uid: int = 0) -> Entry:
    return Entry(path=path, type="file", mode=0o644, uid=uid, size=1, digest=digest)


def link(path: str, target: str, digest: str = ONE) -> Entry:
    return Entry(path=path, type="hardlink", mode=0o644, size=1, digest=digest, target=target)


def merged(*diffs: list[Entry]) -> dict[str, tuple[str, str | None]]:
    tree = ChainTree([(Path("/nowhere"), Diff.of(entries)) for entries in diffs])
    return {entry.path: (entry.type, entry.target) for entry in flat(tree).entries if entry.path}


LINKED = [file("a"), link("b", "a"), link("c", "a")]


def test_links_stay_links() -> None:
    assert merged(LINKED) == {"a": ("file", None), "b": ("hardlink", "a"), "c": ("hardlink", "a")}


def test_the_first_name_that_is_left_takes_the_place_of_one_that_is_gone() -> None:
    gone = [Entry(path="a", type="whiteout")]
    assert merged(LINKED, gone) == {"b": ("file", None), "c": ("hardlink", "b")}


def test_a_name_that_is_another_file_now_is_not_linked_to() -> None:
    for other in (file("a", TWO), file("a", uid=5), Entry(path="a", type="dir", mode=0o755)):
        assert merged(LINKED, [other]) == {"a": (other.type, None), "b": ("file", None), "c": ("hardlink", "b")}


def test_the_root_is_part_of_it() -> None:
    assert [entry.path for entry in flat(EmptyTree()).entries] == [""]
    own = Entry(path="", type="dir", mode=0o700, uid=7)
    assert flat(ChainTree([(Path("/nowhere"), Diff.of([own]))])).entries == (own,)
