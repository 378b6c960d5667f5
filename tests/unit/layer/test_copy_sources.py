"""Copies of what directories hold (`contents: always`): what sources stand for, and what patterns leave out.

Each case is a rule of its own, and was looked at in what Docker's builder does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Copy
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.tree import EmptyTree
from tests.support.treetext import TextTree, entries

Case = tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any], tuple[str, ...] | str]


def run(sources: tuple[str, ...], source: tuple[str, ...], op: dict[str, Any], base: tuple[str, ...] = ()) -> Any:
    op = {"dest": "/o/", "contents": "always", "made": "alike", "optional": True, **op}
    tree = TextTree(*base) if base else EmptyTree()
    return list(apply_op(Copy(sources=sources, **op), tree, TextTree(*source)).diff.entries)


def check(case: Case) -> None:
    _, sources, source, op, made = case
    if isinstance(made, str):
        with pytest.raises(SourceInputError, match=made):
            run(sources, source, op)
    else:
        assert run(sources, source, op) == (entries(made) if made else [])


TREE = ("f", "g.go =g", "h.go =h", ".dot", "s/k.go =k", "s/t/k.go =kt", "u/k.go =ku", "u/t/m =m", "[q]", "a*b =ab")
FOUND: list[Case] = [
    ("a name", ("/f",), TREE, {}, ("o/f",)),
    ("without a slash before it", ("f",), TREE, {}, ("o/f",)),
    ("a path ends at the root", ("/../../s/../f",), TREE, {}, ("o/f",)),
    ("a slash after a file says nothing", ("/f/",), TREE, {}, ("o/f",)),
    ("a name that is not there is an error", ("/no",), TREE, {}, "/no is not there"),
    ("a path that is not there too", ("/s/no",), TREE, {}, "/s/no is not there"),
    ("nothing is below a file", ("/f/x",), TREE, {}, "/f/x is not there"),
    ("what a star matches", ("/*.go",), TREE, {}, ("o/g.go =g", "o/h.go =h")),
    ("a star is for names with a dot too", ("/*ot",), TREE, {}, ("o/.dot",)),
    ("a star stays in one name", ("/*/k.go",), TREE, {}, ("o/k.go =ku",)),
    ("two stars are no more", ("/**/m",), TREE, {}, ()),
    ("but a name each", ("/**/**/m",), TREE, {}, ("o/m =m",)),
    ("a question mark is one character", ("/?.go",), TREE, {}, ("o/g.go =g", "o/h.go =h")),
    ("a set", ("/[g-h].go",), TREE, {}, ("o/g.go =g", "o/h.go =h")),
    ("what is not in a set", ("/[^g].go",), TREE, {}, ("o/h.go =h",)),
    ("an exclamation mark is a member", ("/[!g].go",), TREE, {}, ("o/g.go =g",)),
    ("a bracket in a set is itself", ("/[[]q]",), TREE, {}, ("o/[q]",)),
    ("a backslash is for the next character", ("/[[]?\\]",), TREE, {}, ("o/[q]",)),
    ("without a wildcard it is a character", ("/a\\*b",), TREE, {}, r"/a\\\*b is not there"),
    ("a set without an end is an error", ("/[q",), TREE, {}, "without a ]"),
    ("what matches nothing is nothing", ("/*.no",), TREE, {}, ()),
    ("beside something", ("/f", "/*.no"), TREE, {}, ("o/f",)),
    ("unless it must be something", ("/*.no",), TREE, {"optional": False}, "nothing matches"),
    ("where it begins must be there", ("/no/*",), TREE, {}, "/no is not there"),
    ("but may be a file", ("/f/*",), TREE, {}, ()),
    ("directories that match are what they hold", ("/[su]",), TREE, {}, (
        "o/k.go =ku", "o/t/k.go =kt", "o/t/m =m",
    )),
    ("in the order of their names", ("/*/t",), ("a-/t/x =2", "a/t/x =1"), {}, ("o/x =2",)),
    ("a link that is named is followed", ("/l",), ("f", "l -> f"), {}, ("o/l",)),
    ("and one to a directory", ("/l",), ("d/f", "l -> d"), {}, ("o/f",)),
    ("and one on the way", ("/l/f",), ("d/f", "l -> /d"), {}, ("o/f",)),
    ("and one that a pattern finds", ("/l*",), ("d/f", "l1 -> d", "l2 -> d/f"), {}, ("o/f", "o/l2")),
    ("and one before a pattern", ("/l/*",), ("d/f", "l -> d"), {}, ("o/f",)),
    ("but none that a pattern goes through", ("/*/f",), ("d/f =d", "l -> e", "e/g"), {}, ("o/f =d",)),
    ("a link can't lead out", ("/l",), ("f", "l -> ../../f"), {}, ("o/l",)),
    ("a link to nothing is an error", ("/l",), ("l -> no",), {}, "/l is not there"),
    ("also where a pattern finds it", ("/l*",), ("l -> no",), {}, "/l is not there"),
]  # fmt: skip


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case[0].replace(" ", "-"))
def test_what_a_source_stands_for(case: Case) -> None:
    check(case)


E = ("/e",)
LEFT = ("e/x/ 701", "e/x/k =k", "e/x/n =n", "e/y/n =n", "e/empty/", "e/z.go")
OUT: list[Case] = [
    ("a name at the top", E, LEFT, {"exclude": ("x",)}, ("o/empty/", "o/y/n =n", "o/z.go")),
    ("a path", E, LEFT, {"exclude": ("x/k", "y", "empty", "*.go")}, ("o/x/ 701", "o/x/n =n")),
    ("a star stays in one name", E, LEFT, {"exclude": ("*n", "e*", "z*", "*/k")}, ("o/x/ 701", "o/x/n =n", "o/y/n =n")),
    ("two stars do not", E, LEFT, {"exclude": ("**/n", "e*", "z*")}, ("o/x/ 701", "o/x/k =k", "o/y/")),
    ("what is in a directory leaves it", E, LEFT, {"exclude": ("x/*", "y/**", "e*", "z*")}, ("o/x/ 701", "o/y/")),
    ("everything leaves the destination", E, LEFT, {"exclude": ("*",)}, ("o/",)),
    ("a slash at the end says nothing", E, LEFT, {"exclude": ("x/", "y/", "./empty")}, ("o/z.go",)),
    ("one at the beginning matches nothing", E, ("e/x",), {"exclude": ("/x",)}, ("o/x",)),
    ("patterns begin where the source is", ("/",), ("e/x", "x"), {"exclude": ("x",)}, ("o/e/x",)),
    ("each where its own is", ("/e", "/g"), ("e/x", "e/y", "g/x", "g/z"), {"exclude": ("x",)}, ("o/y", "o/z")),
    ("each that a pattern finds too", ("/[eg]",), ("e/x", "e/y", "g/x", "g/z"), {"exclude": ("x",)}, ("o/y", "o/z")),
    ("a file that is named is not left out", ("/e/z.go",), LEFT, {"exclude": ("z.go", "*")}, ("o/z.go",)),
    ("nor one that a pattern finds", ("/e/z*",), LEFT, {"exclude": ("z.go",)}, ("o/z.go",)),
    ("an exclamation mark takes in again", E, LEFT, {"exclude": ("*", "!z.go")}, ("o/z.go",)),
    ("the directory that leads there is there", E, LEFT, {"exclude": ("*", "!x/k")}, ("o/x/ 701", "o/x/k =k")),
    ("what nothing leads to is not", E, LEFT, {"exclude": ("*", "!x/none")}, ("o/",)),
    ("the last one wins", E, LEFT, {"exclude": ("*", "!x", "x/n")}, ("o/x/ 701", "o/x/k =k")),
    ("but one that says nothing new is not asked", E, ("e/x/k =k", "e/x/n"), {"exclude": ("x", "!x/k", "x")}, (
        "o/x/k =k",
    )),
    ("an exclamation mark alone is an error", E, LEFT, {"exclude": ("!",)}, "takes nothing in"),
    ("a set without an end too", E, LEFT, {"exclude": ("[",)}, "without a ]"),
    ("in a set it is a member", E, ("e/a", "e/!", "e/b"), {"exclude": ("[!a]",)}, ("o/b",)),
]  # fmt: skip


@pytest.mark.parametrize("case", OUT, ids=lambda case: case[0].replace(" ", "-"))
def test_what_patterns_leave_out(case: Case) -> None:
    check(case)


def test_a_directory_that_only_leads_somewhere_gives_one_that_is_there_its_mode_alone() -> None:
    op = {"exclude": ("*", "!x/k"), "owner": "1:2", "mode": "0750"}
    assert run(E, LEFT, op, base=("o/x/ 777 3:3",)) == entries(("o/x/ 701 3:3", "o/x/k 750 1:2 =k"))
    assert run(E, LEFT, op) == entries(("o/ 750 1:2", "o/x/ 750 1:2", "o/x/k 750 1:2 =k"))


class Counted(TextTree):
    """Notes what is looked at."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.seen: list[str] = []

    def lookup(self, path: str) -> Entry | None:
        self.seen.append(path)
        return super().lookup(path)

    def children(self, path: str) -> Iterable[str]:
        self.seen.append(path)
        return super().children(path)


def test_what_is_left_out_is_not_even_read() -> None:
    tree = Counted("e/x/big", "e/y/z")
    apply_op(Copy(sources=E, dest="/", contents="always", exclude=("x",)), EmptyTree(), tree)
    assert not [path for path in tree.seen if path.startswith("e/x")]
    tree = Counted("a/b/c", "n/o/p", "a/n/o")
    apply_op(Copy(sources=("/a/b/c",), dest="/", contents="always", parents=True), EmptyTree(), tree)
    assert not [path for path in tree.seen if path.startswith(("n", "a/n"))]


P = {"parents": True}
DEEP = ("t/ 701 1:1", "t/a/ 702", "t/a/b/ 703", "t/a/b/c/d/e/bay =y", "t/a/b/c/d/foo =f", "t/a/b2/c/d/e/bar =r")
PARENTS: list[Case] = [
    ("the directories of a path come along", ("/t/a/b/c/d/foo",), DEEP, P, (
        "o/t/ 701 1:1", "o/t/a/ 702", "o/t/a/b/ 703", "o/t/a/b/c/d/foo =f",
    )),
    ("from the pivot on", ("/t/a/b/./c/d",), DEEP, P, ("o/c/d/e/bay =y", "o/c/d/foo =f")),
    ("the first one counts", ("/t/a/./b/./c/d/foo",), DEEP, P, ("o/b/ 703", "o/b/c/d/foo =f")),
    ("a directory keeps its name", ("/t/a/b/c/d/e/.",), DEEP, P, (
        "o/t/ 701 1:1", "o/t/a/ 702", "o/t/a/b/ 703", "o/t/a/b/c/d/e/bay =y",
    )),
    ("patterns after the pivot", ("/t/a/./*/c/d/e",), DEEP, P, ("o/b/ 703", "o/b/c/d/e/bay =y", "o/b2/c/d/e/bar =r")),
    ("patterns before it", ("/t/a/b*/./c/**/e",), DEEP, P, ("o/c/d/e/bay =y", "o/c/d/e/bar =r")),
    ("two stars are any number of names", ("/t/./**/bar",), DEEP, P, ("o/a/ 702", "o/a/b2/c/d/e/bar =r")),
    ("none too", ("/t/./**/a/b2",), DEEP, P, ("o/a/ 702", "o/a/b2/c/d/e/bar =r")),
    ("a pivot at the root", ("/./t/a/b2/c/d/e/bar",), DEEP, P, ("o/t/ 701 1:1", "o/t/a/ 702", "o/t/a/b2/c/d/e/bar =r")),
    ("nothing after it is everything", ("/t/a/b2/./",), DEEP, P, ("o/c/d/e/bar =r",)),
    ("what is not there is an error", ("/t/a/none",), DEEP, P, "/t/a/none is not there"),
    ("after the pivot too", ("/t/a/./none",), DEEP, P, "/t/a/none is not there"),
    ("and before it", ("/none/./a",), DEEP, P, "/none is not there"),
    ("what a pattern does not find is none", ("/t/none*",), DEEP, P, ("o/",)),
    ("with an owner the directories have it", ("/t/a/b/c/d/foo",), DEEP, {**P, "owner": "7:8"}, (
        "o/ 755 7:8", "o/t/ 701 7:8", "o/t/a/ 702 7:8", "o/t/a/b/ 703 7:8", "o/t/a/b/c/ 755 7:8",
        "o/t/a/b/c/d/ 755 7:8", "o/t/a/b/c/d/foo 644 7:8 =f",
    )),
    ("patterns leave out from the pivot on", ("/t/a/./b*",), DEEP, {**P, "exclude": ("b/c/d/e", "b2")}, (
        "o/b/ 703", "o/b/c/d/foo =f",
    )),
    ("links in the path are no directories", ("/l/f",), ("d/f", "l -> d"), P, ("o/",)),
]  # fmt: skip


@pytest.mark.parametrize("case", PARENTS, ids=lambda case: case[0].replace(" ", "-"))
def test_the_directories_of_a_source_come_along(case: Case) -> None:
    check(case)
