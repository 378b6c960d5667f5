"""Selections: trees that a step could tell apart have different digests, and the rest of the input does not count."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import BindMount, CacheMount, Copy, Merge, Run
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree
from buildkit_py.solver.selection import selectors_of
from tests.support.treetext import TextTree

COPY = Copy(sources=("/d",), dest="/to")
AUTO = replace(COPY, mode="auto", owner="0:0")
DIRECTORIES = (Entry(path="", type="dir", mode=0o755), Entry(path="d", type="dir", mode=0o755))


def a_file(path: str, **facts: object) -> Entry:
    return replace(Entry(path=path, type="file", mode=0o644, size=1, digest="sha256:a"), **facts)  # type: ignore[arg-type]


def link(path: str, target: str, **facts: object) -> Entry:
    return a_file(path, type="hardlink", target=target, **facts)


def whole(*entries: Entry) -> Tree:
    return ChainTree([(Path("/nowhere"), Diff.of([DIRECTORIES[0], *entries]))])


def tree(*entries: Entry) -> Tree:
    return ChainTree([(Path("/nowhere"), Diff.of([*DIRECTORIES, *entries]))])


def digest(op: Copy | Run, source: Tree) -> str:
    (selector,) = selectors_of(op)
    return selector.select(source).digest


def test_the_executable_bit_of_a_hard_link_counts() -> None:
    plain = tree(a_file("d/a"), link("d/b", "d/a"))
    able = tree(a_file("d/a", mode=0o755), link("d/b", "d/a", mode=0o755))
    odd = tree(a_file("d/a"), link("d/b", "d/a", mode=0o755))
    assert len({digest(AUTO, each) for each in (plain, able, odd)}) == 3


def test_a_device_keeps_its_executable_bit_too() -> None:
    device = Entry(path="d/null", type="char", mode=0o666, device=(1, 3))
    assert digest(AUTO, tree(device)) != digest(AUTO, tree(replace(device, mode=0o777)))


@pytest.mark.parametrize("op", [COPY, AUTO, Run(args=("x",), mounts=(BindMount(target="/m", input="i", source="/d"),))])
def test_where_a_file_has_names_outside_does_not_count(op: Copy | Run) -> None:
    inside = tree(a_file("d/a"))
    assert digest(op, inside) == digest(op, tree(a_file("b"), link("d/a", "b")))
    assert digest(op, inside) == digest(op, tree(a_file("d/a"), link("z", "d/a")))


def test_which_selected_names_are_one_file_counts() -> None:
    two = tree(a_file("d/a"), a_file("d/b"))
    one = tree(a_file("d/a"), link("d/b", "d/a"))
    by_way_of_another = tree(a_file("c"), link("d/a", "c"), link("d/b", "c"))
    assert digest(COPY, two) != digest(COPY, one) == digest(COPY, by_way_of_another)


modes = st.sampled_from([0o644, 0o600, 0o755, 0o700, 0o4755])
files = st.builds(
    a_file,
    st.just(""),
    mode=modes,
    uid=st.integers(0, 1),
    gid=st.integers(0, 1),
    size=st.just(1),
    digest=st.sampled_from(["sha256:a", "sha256:b"]),
    xattrs=st.sampled_from([(), (("user.a", b"1"),)]),
)
others = st.one_of(
    st.builds(Entry, path=st.just(""), type=st.just("dir"), mode=modes),
    st.builds(Entry, path=st.just(""), type=st.just("symlink"), mode=st.just(0o777), target=st.sampled_from("ab")),
    st.builds(Entry, path=st.just(""), type=st.just("fifo"), mode=modes),
    st.builds(Entry, path=st.just(""), type=st.just("char"), mode=modes, device=st.sampled_from([(1, 3), (1, 5)])),
)
ops = st.builds(
    Copy,
    sources=st.sampled_from([("/d",), ("/d/",), ("/d/a", "/d/b"), ("/d", "/c"), ("/d*", "/n*")]),
    dest=st.just("/to/"),
    owner=st.sampled_from([None, "7:8"]),
    mode=st.sampled_from([None, "auto", "0640", "u+x"]),
    directory_mode=st.sampled_from([None, "0750"]),
    exclude=st.sampled_from([(), ("a",)]),
    optional=st.booleans(),
) | st.builds(
    Copy,
    sources=st.sampled_from(
        [("/d",), ("/",), ("/d/a", "/d/b"), ("/d", "/c"), ("/*", "/n*"), ("/d/./a",), ("/d/[be]",)]
    ),
    dest=st.just("/to/"),
    contents=st.just("always"),
    owner=st.sampled_from([None, "7:8"]),
    mode=st.sampled_from([None, "auto", "0640", "u+x"]),
    directory_mode=st.sampled_from([None, "0750", "auto"]),
    exclude=st.sampled_from([(), ("a",), ("*", "!d/b"), ("*", "!b")]),
    optional=st.booleans(),
    parents=st.booleans(),
)
bases = st.sampled_from([
    EmptyTree(),
    TextTree("to/ 700 1:1"),
    TextTree("to/d/ 700 1:1 {user.x=1}", "to/e/ 711 2:2"),
    TextTree("to/a/ 700 1:1", "to/c/x"),
])  # fmt: skip


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    entries: list[Entry] = []
    for path in ("c", "d/a", "d/b", "d/e"):
        made = replace(draw(files | others), path=path)
        linked = [entry for entry in entries if entry.type == "file"]
        if linked and draw(st.booleans()):
            first = draw(st.sampled_from(linked))
            made = replace(draw(st.sampled_from([first, replace(first, mode=0o711)])), path=path)
            made = replace(made, type="hardlink", target=first.path)
        entries.append(made)
    return tree(*entries)


def made(op: Copy, source: Tree, base: Tree | None = None) -> str:
    try:
        return apply_op(op, base or EmptyTree(), source).diff.digest
    except SourceInputError as error:
        return error.message


def selected(op: Copy, source: Tree) -> str:
    try:
        return digest(op, source)
    except SourceInputError as error:
        return error.message


@given(ops, trees(), trees(), bases)
def test_trees_that_a_copy_can_tell_apart_have_different_digests(op: Copy, one: Tree, other: Tree, base: Tree) -> None:
    if made(op, one, base) != made(op, other, base):
        assert selected(op, one) != selected(op, other)


@given(ops, trees(), st.data(), bases)
def test_any_field_that_a_copy_shows_changes_the_digest(
    op: Copy, source: Tree, data: st.DataObject, base: Tree
) -> None:
    entries = [found for path in ("c", "d", "d/a", "d/b", "d/e") if (found := source.lookup(path)) is not None]
    chosen = data.draw(st.integers(0, len(entries) - 1))
    field, value = data.draw(
        st.sampled_from([("mode", 0o100), ("mode", 0o4000), ("uid", 9), ("gid", 9), ("size", 5)])
        | st.sampled_from([("digest", "sha256:c"), ("device", (9, 9)), ("xattrs", (("user.z", b"1"),))])
    )
    if getattr(entries[chosen], field) is None:
        return
    entries[chosen] = replace(entries[chosen], **{field: value})  # type: ignore[arg-type]
    other = whole(*entries)
    if made(op, source, base) != made(op, other, base):
        assert selected(op, source) != selected(op, other)


ALWAYS = replace(COPY, contents="always")
D = Entry(path="d", type="dir", mode=0o755)


@pytest.mark.parametrize(
    ("op", "one", "other"),
    [
        (ALWAYS, (D, a_file("d/a")), (replace(D, mode=0o700, uid=5, xattrs=(("user.x", b"1"),)), a_file("d/a"))),
        (ALWAYS, (D, a_file("d/a")), (D, a_file("d/a", xattrs=(("user.x", b"1"),)))),
        (replace(ALWAYS, owner="0:0"), (D, a_file("d/a")), (D, a_file("d/a", uid=3, gid=4))),
        (replace(ALWAYS, mode="0600"), (D, a_file("d/a")), (D, a_file("d/a", mode=0o755))),
        (replace(ALWAYS, sources=("/?",)), (D, a_file("d/a")), (replace(D, path="e"), a_file("e/a"))),
        (replace(ALWAYS, exclude=("x",)), (D, a_file("d/a")), (D, a_file("d/a"), a_file("d/x"))),
        (ALWAYS, (D, a_file("d/a")), (D, a_file("d/a"), a_file("c"))),
        (
            replace(ALWAYS, sources=("/d/./a",), parents=True),
            (D, a_file("d/a")),
            (replace(D, mode=0o700), a_file("d/a")),
        ),
    ],
)
def test_what_a_copy_can_not_show_does_not_count(op: Copy, one: tuple[Entry, ...], other: tuple[Entry, ...]) -> None:
    assert made(op, whole(*one)) == made(op, whole(*other))
    assert digest(op, whole(*one)) == digest(op, whole(*other))


def test_a_directory_that_leads_somewhere_counts_with_its_mode() -> None:
    op = replace(ALWAYS, sources=("/d/b",), parents=True, owner="0:0", mode="0600")
    one, other = whole(D, a_file("d/b")), whole(replace(D, mode=0o700), a_file("d/b"))
    assert made(op, one) == made(op, other)
    base = TextTree("to/d/ 711 3:3")
    assert made(op, one, base) != made(op, other, base)
    assert digest(op, one) != digest(op, other)


def test_of_an_archive_only_what_it_holds_counts() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("f"))
    text = out.getvalue().decode()
    op = replace(ALWAYS, sources=("/*",), unpack=True)
    one, renamed, plain = TextTree(f"a ={text}"), TextTree(f"b 600 5:5 ={text}"), TextTree("a")
    assert digest(op, one) == digest(op, renamed) != digest(op, plain)
    assert digest(op, plain) != digest(op, TextTree("a 600")) != digest(op, TextTree("b 600"))


def test_all_of_a_merged_directory_of_the_client_counts() -> None:
    (selector,) = selectors_of(Merge(), ["from"])
    assert selector.select(TextTree("a")).digest != selector.select(TextTree("a", "b")).digest
    assert selectors_of(Merge()) == []


def test_what_a_cache_begins_with_counts() -> None:
    mounts = (CacheMount(target="/c", id="c"), CacheMount(target="/d", id="d", input="i", source="/d"))
    (selector,) = selectors_of(Run(args=("x",), mounts=mounts))
    assert (selector.name, selector.role, selector.sources) == ("/d", "i", ("/d",))
