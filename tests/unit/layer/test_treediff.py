"""What differs between two trees over a shared one, against looking at every path of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.changes import Changes
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ChainTree, Tree, same, walk
from buildkit_py.layer.treediff import Difference, differences

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
steps = st.tuples(st.sampled_from(["file", "dir", "link", "remove"]), paths, st.sampled_from(["1", "22"]))
layers = st.lists(st.lists(steps, max_size=5), max_size=3)


def file(path: str, text: str = "1", **more: Any) -> Entry:
    return Entry(path=path, type="file", mode=0o644, size=len(text), digest=str(Digest.of(text.encode())), **more)


def entry_of(kind: str, path: str, value: str) -> Entry:
    if kind == "dir":
        return Entry(path=path, type="dir", mode=0o700 + len(value))
    if kind == "link":
        return Entry(path=path, type="symlink", mode=0o777, target=value)
    return file(path, value)


def diff_of(tree: Tree, wanted: list[tuple[str, str, str]]) -> Diff:
    """What these steps change of a tree."""
    changes: Changes[int] = Changes(tree)
    for kind, path, value in wanted:
        try:
            changes.make_parents(path)
        except SourceInputError:
            continue
        changes.remove(path) if kind == "remove" else changes.put(entry_of(kind, path, value))
    return changes.finish(keep_equal=True)[0]


def stack(diffs: list[Diff]) -> ChainTree:
    return ChainTree([(Path("/nowhere"), diff) for diff in diffs])


def grown(diffs: list[Diff], more: list[list[tuple[str, str, str]]]) -> list[Diff]:
    for wanted in more:
        diffs = [*diffs, diff_of(stack(diffs), wanted)]
    return diffs


@given(layers, layers, layers)
def test_it_is_what_looking_at_everything_tells(below: Any, one: Any, other: Any) -> None:
    shared = grown([], below)
    first, second = grown(shared, one), grown(shared, other)
    before, after = stack(first), stack(second)
    found = differences(before, after, [*first[len(shared) :], *second[len(shared) :]])
    every = sorted({entry.path for tree in (before, after) for entry in walk(tree)})
    wanted = [path for path in every if not same(before.lookup(path), after.lookup(path))]
    assert sorted(each.path for each in found) == wanted


def test_what_neither_changed_is_not_looked_at() -> None:
    class Watched(ChainTree):
        def lookup(self, path: str) -> Entry | None:
            assert not path.startswith("big")
            return super().lookup(path)

    shared = Diff.of([Entry(path="big", type="dir", mode=0o755), *(file(f"big/{number}") for number in range(5))])
    uppers = [Diff.of([Entry(path="", type="dir", mode=0o755), file("a", text)]) for text in ("1", "22")]
    before, after = (Watched([(Path("/nowhere"), shared), (Path("/nowhere"), upper)]) for upper in uppers)
    (found,) = differences(before, after, uppers)
    assert (found.path, found.kind, found.what, found.bytes) == ("a", "changed", ("content",), 1)


@pytest.mark.parametrize(
    ("before", "after", "kind", "what", "grown"),
    [
        (None, file("a", "22"), "added", (), 2),
        (file("a", "22"), None, "removed", (), -2),
        (file("a"), Entry(path="a", type="symlink", mode=0o777, target="b"), "changed", ("type",), -1),
        (file("a"), file("a", "2", uid=5), "changed", ("owner", "content"), 0),
        (file("a"), file("a", xattrs=(("user.x", b"1"),)), "changed", ("xattrs",), 0),
        (
            Entry(path="a", type="char", mode=0o600, device=(1, 3)),
            Entry(path="a", type="char", mode=0o644, device=(1, 5)),
            "changed",
            ("mode", "device"),
            0,
        ),
        (
            Entry(path="a", type="symlink", mode=0o777, target="b"),
            Entry(path="a", type="symlink", mode=0o777, target="c"),
            "changed",
            ("target",),
            0,
        ),
    ],
)
def test_what_changed(before: Entry | None, after: Entry | None, kind: str, what: tuple[str, ...], grown: int) -> None:
    found = Difference(before, after)
    assert (found.path, found.kind, found.what, found.bytes) == ("a", kind, what, grown)
