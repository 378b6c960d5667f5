"""Copies of what directories hold (`contents: always`): where things go, and what they become there.

Each case is a rule of its own, and was looked at in what Docker's builder does.
"""

from __future__ import annotations

from typing import Any

import pytest

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Copy
from buildkit_py.layer.fileops import apply_op
from tests.support.treetext import TextTree, entries

Case = tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any], tuple[str, ...] | str]
SOURCE = ("f =f", "d/ 711", "d/a =a", "d/sub/ 700 4:4", "d/sub/b =b", "set 6755")


def run(base: tuple[str, ...], source: tuple[str, ...], op: dict[str, Any]) -> list[Any]:
    op = {"sources": ("/f",), "contents": "always", "made": "alike", "optional": True, **op}
    return list(apply_op(Copy(**op), TextTree(*base), TextTree(*source)).diff.entries)


def check(base: tuple[str, ...], source: tuple[str, ...], op: dict[str, Any], made: tuple[str, ...] | str) -> None:
    if isinstance(made, str):
        with pytest.raises(SourceInputError, match=made):
            run(base, source, op)
    elif made:
        assert run(base, source, op) == entries(made)
    else:
        assert run(base, source, op) == []


D = {"sources": ("/d",)}
A_NEW = ("n/m/a =a", "n/m/sub/ 700 4:4", "n/m/sub/b =b")
PLACES: list[Case] = [
    # A file.
    ("a file gets the name of the destination", (), SOURCE, {"dest": "/n"}, ("n =f",)),
    ("missing directories of a name are made", (), SOURCE, {"dest": "/n/m"}, ("n/m =f",)),
    ("a slash at the end is a directory", (), SOURCE, {"dest": "/n/m/"}, ("n/m/f =f",)),
    ("a dot at the end is a directory", (), SOURCE, {"dest": "/n/."}, ("n/f =f",)),
    ("the root is a directory", (), SOURCE, {"dest": "/"}, ("f =f",)),
    ("dots in a destination are no names", (), SOURCE, {"dest": "/n/../m/./o"}, ("m/o =f",)),
    ("a file goes into a directory that is there", ("n/ 711 7:8",), SOURCE, {"dest": "/n"}, ("n/ 711 7:8", "n/f =f")),
    ("with a slash too", ("n/ 711 7:8",), SOURCE, {"dest": "/n/"}, ("n/ 711 7:8", "n/f =f")),
    ("a file takes the place of a file", ("n 600 5:5 =old",), SOURCE, {"dest": "/n"}, ("n =f",)),
    ("a file takes the place of a pipe", ("n |",), SOURCE, {"dest": "/n"}, ("n =f",)),
    ("what is there just so is no change", ("n =f",), SOURCE, {"dest": "/n"}, ()),
    ("a file that is there is no directory", ("n",), SOURCE, {"dest": "/n/"}, "/n is a file, not a directory"),
    ("nothing is below a file", ("n",), SOURCE, {"dest": "/n/x/y"}, "/n is a file, not a directory"),
    ("no file takes the place of a directory", ("n/f/x",), SOURCE, {"dest": "/n"}, "to /n/f: a directory is there"),
    # Links of the destination.
    ("the last link is followed to a directory", ("r/ 700", "n -> r"), SOURCE, {"dest": "/n"}, ("r/ 700", "r/f =f")),
    ("with a slash too", ("r/ 700", "n -> /r"), SOURCE, {"dest": "/n/"}, ("r/ 700", "r/f =f")),
    ("the last link is followed to a file", ("r", "n -> r"), SOURCE, {"dest": "/n"}, ("r =f",)),
    ("links on the way are followed", ("r/x", "n -> r"), SOURCE, {"dest": "/n/y"}, ("r/y =f",)),
    ("a link to nothing is the name that it leads to", ("n -> /r/s",), SOURCE, {"dest": "/n"}, ("r/s =f",)),
    ("as a directory, that is made", ("n -> /r/s",), SOURCE, {"dest": "/n/"}, ("r/s/f =f",)),
    ("things are made below a link to nothing", ("n -> r/s",), SOURCE, {"dest": "/n/a/b"}, ("r/s/a/b =f",)),
    ("a link can't lead out", ("n -> ../../r",), SOURCE, {"dest": "/n"}, ("r =f",)),
    ("a link that a file meets in a directory goes", ("n/f -> ../r", "r"), SOURCE, {"dest": "/n/"}, ("n/f =f",)),
    ("links in a circle are an error", ("n -> m", "m -> n"), SOURCE, {"dest": "/n"}, "too many symbolic links"),
    # A directory.
    ("a directory is what it holds", (), SOURCE, {**D, "dest": "/n/m"}, A_NEW),
    ("with a slash it is the same", (), SOURCE, {**D, "dest": "/n/m/"}, A_NEW),
    ("its own slash says nothing", (), SOURCE, {"sources": ("/d/",), "dest": "/n/m"}, A_NEW),
    ("nor does a dot", (), SOURCE, {"sources": ("/d/.",), "dest": "/n/m"}, A_NEW),
    (
        "the root of the source is one", (), ("f =f", "e/ 700"), {"sources": ("/",), "dest": "/n"},
        ("n/f =f", "n/e/ 700"),
    ),
    ("an empty directory makes its destination", (), ("d/ 700",), {**D, "dest": "/n"}, ("n/",)),
    (
        "one that is there keeps what it is", ("n/ 710 7:8",), SOURCE, {**D, "dest": "/n"},
        ("n/ 710 7:8", "n/a =a", "n/sub/ 700 4:4", "n/sub/b =b"),
    ),
    (
        "those in it become what the source says", ("n/sub/ 777 9:9", "n/sub/old"), SOURCE, {**D, "dest": "/n"},
        ("n/a =a", "n/sub/ 700 4:4", "n/sub/b =b"),
    ),
    ("the root stays what it is", (), SOURCE, {**D, "dest": "/"}, ("a =a", "sub/ 700 4:4", "sub/b =b")),
    ("a link to nothing is made a directory", ("n -> r",), SOURCE, {**D, "dest": "/n"}, (
        "r/a =a", "r/sub/ 700 4:4", "r/sub/b =b",
    )),
    ("no directory takes the place of a file", ("n",), SOURCE, {**D, "dest": "/n"}, "to /n: a file is there"),
    ("nor one in it", ("n/sub",), SOURCE, {**D, "dest": "/n"}, "to /n/sub: a file is there"),
    ("nor that of a link", ("n/sub -> /r", "r/x"), SOURCE, {**D, "dest": "/n"}, "to /n/sub: a symlink is there"),
    ("a file in it never that of a directory", ("n/a/x",), SOURCE, {**D, "dest": "/n"}, "to /n/a: a directory"),
    ("a file in it takes the place of a link", ("n/a -> /r", "r"), ("d/a =a",), {**D, "dest": "/n"}, ("n/a =a",)),
    ("links in it are kept", (), ("d/l -> /x/../y",), {**D, "dest": "/n"}, ("n/l -> /x/../y",)),
    # Several.
    ("the last one wins", (), SOURCE, {"sources": ("/f", "/set"), "dest": "/n"}, ("n 6755",)),
    (
        "what one makes the next one finds", (), SOURCE, {"sources": ("/d", "/f"), "dest": "/n"},
        ("n/a =a", "n/sub/ 700 4:4", "n/sub/b =b", "n/f =f"),
    ),
    ("a directory over what was a file", (), SOURCE, {"sources": ("/f", "/d"), "dest": "/n"}, "to /n: a file is there"),
]  # fmt: skip


@pytest.mark.parametrize("case", PLACES, ids=lambda case: case[0].replace(" ", "-"))
def test_where_things_go(case: Case) -> None:
    check(*case[1:])


DN = {**D, "dest": "/n/m"}
FN = {"dest": "/n/f"}
BASE = ("etc/passwd =app:x:7:8::/:\n", "etc/group =app:x:8:\nstaff:x:50:\n")
METADATA: list[Case] = [
    ("owners are kept", (), ("f 640 3:4",), FN, ("n/f 640 3:4",)),
    ("or given", (), ("f 640 3:4",), {**FN, "owner": "5:6"}, ("n/ 755 5:6", "n/f 640 5:6")),
    ("a number alone is user and group", (), SOURCE, {**FN, "owner": "5"}, ("n/ 755 5:5", "n/f 644 5:5 =f")),
    ("a group alone is root's", (), SOURCE, {**FN, "owner": ":33"}, ("n/ 755 0:33", "n/f 644 0:33 =f")),
    ("a name has the group of the image", BASE, SOURCE, {**FN, "owner": "app"}, ("n/ 755 7:8", "n/f 644 7:8 =f")),
    (
        "both are names of the image", BASE, SOURCE, {**FN, "owner": "app:staff"},
        ("n/ 755 7:50", "n/f 644 7:50 =f"),
    ),
    ("nobody knows a name where nothing is", (), SOURCE, {**FN, "owner": "app"}, "no user 'app'"),
    ("nor a group", (), SOURCE, {**FN, "owner": "5:app"}, "no group 'app'"),
    ("a name that nobody knows elsewhere is root", ("x",), SOURCE, {**FN, "owner": "app"}, ("n/", "n/f =f")),
    ("a group is the user's then", BASE, SOURCE, {**FN, "owner": "app:x"}, ("n/ 755 7:8", "n/f 644 7:8 =f")),
    ("or the user's number", BASE, SOURCE, {**FN, "owner": "5:x"}, ("n/ 755 5:5", "n/f 644 5:5 =f")),
    ("what is made belongs to root", (), SOURCE, {**FN, "owner": "5:6", "made": "root"}, ("n/", "n/f 644 5:6 =f")),
    (
        "a new top directory belongs to the owner", (), SOURCE, {**DN, "owner": "5:6"},
        ("n/ 755 5:6", "n/m/ 755 5:6", "n/m/a 644 5:6 =a", "n/m/sub/ 700 5:6", "n/m/sub/b 644 5:6 =b"),
    ),
    (
        "one that is there does not", ("n/m/ 700 1:1",), SOURCE, {**DN, "owner": "5:6", "mode": "0750"},
        ("n/m/ 700 1:1", "n/m/a 750 5:6 =a", "n/m/sub/ 750 5:6", "n/m/sub/b 750 5:6 =b"),
    ),
    ("links belong to the owner", (), ("d/l -> x",), {**D, "dest": "/", "owner": "5:6"}, ("l -> x 777 5:6",)),
    ("links have no mode", (), ("d/l -> x",), {**D, "dest": "/", "mode": "0600"}, ("l -> x",)),
    ("an octal mode is that of files", (), SOURCE, {"dest": "/n", "mode": "0600"}, ("n 600 =f",)),
    ("and of what is made", (), SOURCE, {**FN, "mode": "0640"}, ("n/ 640", "n/f 640 =f")),
    ("but for its special bits", (), SOURCE, {**FN, "mode": "7751"}, ("n/ 751", "n/f 7751 =f")),
    (
        "and of directories", (), SOURCE, {**DN, "mode": "0640"},
        ("n/ 640", "n/m/ 640", "n/m/a 640 =a", "n/m/sub/ 640 4:4", "n/m/sub/b 640 =b"),
    ),
    ("what is made is plain unless it is alike", (), SOURCE, {**FN, "mode": "0640", "made": "root"}, (
        "n/", "n/f 640 =f",
    )),
    (
        "directories may have one of their own", (), SOURCE, {**DN, "mode": "0640", "directory_mode": "0750"},
        ("n/ 750", "n/m/ 750", "n/m/a 640 =a", "n/m/sub/ 750 4:4", "n/m/sub/b 640 =b"),
    ),
    (
        "symbols leave new top directories plain", (), SOURCE, {**DN, "mode": "go-rwx"},
        ("n/m/a 600 =a", "n/m/sub/ 700 4:4", "n/m/sub/b 600 =b"),
    ),
    ("X is for what can be entered or run", (), ("d/a 644", "d/b 744", "d/s/ 700"), {
        **D, "dest": "/", "mode": "u=rwX,go=rX",
    }, ("a 644", "b 755", "s/ 755")),
    ("one may get what another has", (), ("d/a 640", "d/s/ 711"), {**D, "dest": "/", "mode": "g=u"}, (
        "a 660", "s/ 771",
    )),
    ("special bits are kept", (), ("d/a 6755", "d/s/ 3775"), {**D, "dest": "/"}, ("a 6755", "s/ 3775")),
    ("by another owner too", (), ("d/a 6755",), {**D, "dest": "/", "owner": "4:4"}, ("a 6755 4:4",)),
    ("or given", (), ("d/a",), {**D, "dest": "/", "mode": "7644"}, ("a 7644",)),
    ("nothing at all may be left", (), SOURCE, {"dest": "/n", "mode": "0000"}, ("n 000 =f",)),
    ("pipes are copied", (), ("d/p | 622",), {**D, "dest": "/"}, ("p | 622",)),
    ("devices are copied", (), ("d/n c1:3 620", "d/s b7:0 600"), {**D, "dest": "/"}, ("n c1:3 620", "s b7:0 600")),
    ("a device can be named", (), ("n c1:3 620",), {"sources": ("/n",), "dest": "/x/"}, ("x/n c1:3 620",)),
    ("capabilities are kept", (), ("f {security.capability=c}",), {"dest": "/n"}, ("n {security.capability=c}",)),
    ("other attributes are not", (), ("f {user.x=1}",), {"dest": "/n"}, ("n",)),
    ("not of directories either", (), ("d/s/ {user.x=1}",), {**D, "dest": "/n"}, ("n/s/",)),
    ("those of directories that are there stay", ("n/s/ {user.x=1}",), ("d/s/ 700",), {**D, "dest": "/n"}, (
        "n/s/ 700 {user.x=1}",
    )),
    ("names of one file stay so", (), ("d/b =1", "d/c => d/b"), {**D, "dest": "/n"}, ("n/b =1", "n/c => n/b")),
    ("with other modes too", (), ("d/b =1", "d/c => d/b"), {**D, "dest": "/", "mode": "0600"}, (
        "b 600 =1", "c => b",
    )),
    ("one name is a file", (), ("b =1", "d/c => b"), {**D, "dest": "/n"}, ("n/c =1",)),
    ("names of one file in two sources are two files", (), ("d/b =1", "e/c => d/b"), {
        "sources": ("/d", "/e"), "dest": "/n",
    }, ("n/b =1", "n/c =1")),
    ("also where a pattern finds both", (), ("d/b =1", "d/c => d/b"), {"sources": ("/d/*",), "dest": "/n/"}, (
        "n/b =1", "n/c =1",
    )),
]  # fmt: skip


@pytest.mark.parametrize("case", METADATA, ids=lambda case: case[0].replace(" ", "-"))
def test_what_things_become(case: Case) -> None:
    check(*case[1:])


def test_a_directory_that_meets_a_link_is_told_where_to_go() -> None:
    with pytest.raises(SourceInputError) as caught:
        run(("bin -> usr/bin", "usr/bin/x"), ("d/bin/tool",), {**D, "dest": "/"})
    assert caught.value.hint == "it leads to /usr/bin: copy to there, or remove the link first"
