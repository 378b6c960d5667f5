"""The flattening of layers, which everything here is judged by."""

from __future__ import annotations

import tarfile

import pytest

from tests.differential.tree import BadLayerError, changes, file_text, folder_text, snapshots
from tests.support.layouts import Entry, folder, layer, link


def hard(name: str, target: str) -> Entry:
    return Entry(name=name, kind=tarfile.LNKTYPE, target=target)


def test_layers_are_put_upon_each_other() -> None:
    one, two = snapshots(
        [
            layer([folder("d"), Entry(name="d/a", data=b"a"), Entry(name="d/b", data=b"b")]),
            layer([Entry(name="d/.wh.a"), Entry(name="d/b", data=b"B", mode=0o600, uid=1)]),
        ]
    )
    assert one == {"/d": folder_text(), "/d/a": file_text("a"), "/d/b": file_text("b")}
    assert changes(one, two) == {"/d/a": "gone", "/d/b": file_text("B", 0o600, "1:0")}


def test_opaque_directory_hides_lower_layers_alone() -> None:
    below = layer([folder("d"), Entry(name="d/old")])
    for entries in (
        [Entry(name="d/new"), Entry(name="d/.wh..wh..opq")],
        [Entry(name="d/.wh..wh..opq"), Entry(name="d/new")],
    ):
        assert set(snapshots([below, layer([folder("d"), *entries])])[-1]) == {"/d", "/d/new"}


def test_what_is_no_directory_replaces_a_directory_with_all_in_it() -> None:
    (_, tree) = snapshots([layer([folder("d"), Entry(name="d/a")]), layer([link("d", "x")])])
    assert tree == {"/d": "link 0:0 -> x"}


def test_hard_links_are_groups_until_one_is_replaced() -> None:
    one, two = snapshots([layer([Entry(name="a"), hard("b", "a"), hard("c", "a")]), layer([Entry(name="b")])])
    assert one["/a"].endswith("same as /b, /c")
    assert two == {"/a": f"{file_text('')} same as /c", "/b": file_text(""), "/c": f"{file_text('')} same as /a"}


@pytest.mark.parametrize(
    "entries",
    [
        [Entry(name="a"), Entry(name="./a")],
        [Entry(name="../a")],
        [Entry(name=".wh.a")],
        [hard("b", "a")],
        [Entry(name="a"), Entry(name="a/b")],
    ],
    ids=["twice", "climbs out", "hides nothing", "link to nothing", "below a file"],
)
def test_bad_layers_are_told(entries: list[Entry]) -> None:
    with pytest.raises(BadLayerError):
        snapshots([layer(entries)])
