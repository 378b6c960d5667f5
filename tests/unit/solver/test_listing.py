"""Listings of selections: they differ where the digests of the selections do, and name the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.graph.op import Copy
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ChainTree, Tree
from buildkit_py.solver.listing import files_of
from buildkit_py.solver.selection import selectors_of

COPY = Copy(sources=("/d",), dest="/to")
ALWAYS = replace(COPY, contents="always")
ONE = "sha256:" + "1" * 64


def tree(*entries: Entry) -> Tree:
    directories = [Entry(path=path, type="dir", mode=0o755) for path in ("", "d", "e")]
    return ChainTree([(Path("/nowhere"), Diff.of([*directories, *entries]))])


def file(path: str, **facts: object) -> Entry:
    plain = Entry(path=path, type="file", mode=0o644, size=1, digest=ONE)
    return replace(plain, **facts)  # type: ignore[arg-type]


def listed(op: Copy, source: Tree) -> dict[str, str]:
    (selector,) = selectors_of(op)
    return files_of(selector, selector.select(source))


def test_a_listing_has_type_mode_and_how_the_digest_begins() -> None:
    source = tree(file("d/a"), Entry(path="d/l", type="symlink", mode=0o777, target="a"), file("d/o", uid=5, gid=6))
    assert listed(COPY, source) == {
        "d": "dir 755",
        "d/a": "file 644 1111111111111111",
        "d/l": "symlink 777 a",
        "d/o": "file 644 1111111111111111 5:6",
    }


def test_what_a_directory_holds_has_its_paths_from_there() -> None:
    assert listed(replace(COPY, sources=("/d/",)), tree(file("d/a"))).keys() == {".", "a"}
    assert listed(ALWAYS, tree(file("d/a"))).keys() == {"a"}
    assert listed(replace(ALWAYS, sources=("/d/a",)), tree(file("d/a"))).keys() == {"a"}


def test_of_several_sources_no_path_hides_another() -> None:
    source = tree(file("d/a"), file("e/a", digest="sha256:" + "2" * 64))
    assert listed(replace(ALWAYS, sources=("/d", "/e")), source) == {
        "d/a": "file 644 1111111111111111",
        "e/a": "file 644 2222222222222222",
    }


@pytest.mark.parametrize("op", [COPY, ALWAYS, replace(COPY, mode="auto", owner="0:0"), replace(ALWAYS, mode="0644")])
@pytest.mark.parametrize(
    "changed",
    [
        file("d/a", digest="sha256:" + "2" * 64),
        file("d/a", mode=0o600),
        file("d/a", mode=0o755),
        file("d/a", uid=7),
        file("d/b"),
    ],
)
def test_listings_tell_apart_what_digests_do(op: Copy, changed: Entry) -> None:
    (selector,) = selectors_of(op)
    before, now = tree(file("d/a")), tree(changed)
    same = selector.select(before).digest == selector.select(now).digest
    assert (files_of(selector, selector.select(before)) == files_of(selector, selector.select(now))) == same
