"""Copies that unpack: which sources are archives, and what of them is kept."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tarfile import CHRTYPE, DIRTYPE, FIFOTYPE, LNKTYPE, REGTYPE, SYMTYPE
from typing import Any

import pytest
import zstandard

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Copy
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.draft import Draft
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tree import EmptyTree
from tests.support.treetext import TextTree, entries

Add = Callable[..., Draft]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Copies files of a directory, given as bytes by name, and unpacks those that are archives."""

    def run(files: dict[str, bytes], *base: str, **more: Any) -> Draft:
        context, spool = tmp_path / "context", tmp_path / "spool"
        for path in (context, spool):
            path.mkdir()
        for name, data in files.items():
            (context / name).write_bytes(data)
        op = {"sources": tuple(files), "dest": "/o/", "contents": "always", "made": "alike", "unpack": True, **more}
        tree = ContextTree(context, StatCache(tmp_path / "stat"))
        return apply_op(Copy(**op), TextTree(*base) if base else EmptyTree(), tree, spool=spool)

    return run


def made(draft: Draft) -> list[Any]:
    return list(draft.diff.entries)


def item(name: str, kind: bytes = REGTYPE, **facts: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.uid, info.gid, info.mode = kind, 11, 12, 0o640
    for field, value in facts.items():
        setattr(info, field, value)
    return info


PACKS = {
    "plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip


@pytest.mark.parametrize("pack", PACKS)
def test_what_it_holds_makes_an_archive_not_its_name(add: Add, make_tar: Any, pack: str) -> None:
    blob = PACKS[pack](make_tar(("f", REGTYPE, b"f" * 9999), ("d", DIRTYPE, b"")).getvalue())
    assert made(add({"picture.png": blob})) == entries((f"o/f ={'f' * 9999}", "o/d/"))


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("f", "f")
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"text", bytes(10240), gzip.compress(b"text" * 200), b"\x1f\x8b\x08broken", zipped()],
    ids=["empty", "text", "zeros", "gzip-of-text", "broken-gzip", "zip"],
)
def test_what_is_no_archive_is_copied(add: Add, data: bytes) -> None:
    draft = add({"a.tar": data}, owner="1:2", mode="0600", directory_mode="0700")
    assert [(e.path, e.type, e.mode, e.uid, e.size) for e in draft.diff.entries[1:]] == [
        ("o", "dir", 0o700, 1, 0), ("o/a.tar", "file", 0o600, 1, len(data)),
    ]  # fmt: skip


def test_owners_are_kept_or_given_and_modes_are_kept(add: Add, make_tar: Any) -> None:
    blob = make_tar(item("./", DIRTYPE, mode=0o700), item("p/q", mode=0o4711), item("d", DIRTYPE)).getvalue()
    draft = add({"a": blob}, dest="/n/m", mode="0600")
    assert [(e.path, e.mode, e.uid, e.gid) for e in made(draft)] == [
        ("", 0o755, 0, 0), ("n", 0o755, 0, 0), ("n/m", 0o755, 0, 0), ("n/m/d", 0o640, 11, 12),
        ("n/m/p", 0o755, 0, 0), ("n/m/p/q", 0o4711, 11, 12),
    ]  # fmt: skip


def test_an_owner_is_that_of_the_destination_too(add: Add, make_tar: Any) -> None:
    blob = make_tar(item("p/q")).getvalue()
    assert [(e.path, e.uid, e.gid) for e in made(add({"a": blob}, dest="/n/m", owner="1:2"))[1:]] == [
        ("n", 1, 2), ("n/m", 1, 2), ("n/m/p", 0, 0), ("n/m/p/q", 1, 2),
    ]  # fmt: skip


def test_the_destination_is_a_directory_whatever_it_ends_with(add: Add, make_tar: Any) -> None:
    blob = make_tar(("f", REGTYPE, b"x")).getvalue()
    base = ("r/ 700 5:5", "l -> r")
    assert made(add({"a": blob}, *base, dest="/l")) == entries(("r/ 700 5:5", "r/f"))


def test_a_file_is_no_destination(add: Add, make_tar: Any) -> None:
    with pytest.raises(SourceInputError, match="/o is a file"):
        add({"a": make_tar(("f", REGTYPE, b"x")).getvalue()}, "o")


def test_devices_and_capabilities_are_kept(add: Add, make_tar: Any) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    attributes = {"SCHILY.xattr.security.capability": capability.decode(), "SCHILY.xattr.user.x": "1"}
    blob = make_tar(
        item("f", pax_headers=attributes), item("p", FIFOTYPE), item("n", CHRTYPE, devmajor=1, devminor=3)
    ).getvalue()
    draft = add({"a": blob}, owner="0:0")
    assert [(e.path, e.type, e.mode, e.device, e.xattrs) for e in made(draft)[2:]] == [
        ("o/f", "file", 0o640, None, (("security.capability", capability),)),
        ("o/n", "char", 0o640, (1, 3), ()),
        ("o/p", "fifo", 0o640, None, ()),
    ]


def test_names_of_one_file_stay_so(add: Add, make_tar: Any) -> None:
    blob = make_tar(("p/q", REGTYPE, b"q"), ("h", LNKTYPE, "p/q"), ("p/z", LNKTYPE, "h"), ("l", SYMTYPE, "p"))
    assert made(add({"a": blob.getvalue()})) == entries(("o/h =q", "o/l -> p", "o/p/q => o/h", "o/p/z => o/h"))


def test_the_last_name_of_a_file_says_whose_it_is(add: Add, make_tar: Any) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(item("a"))
        archive.addfile(item("b", LNKTYPE, linkname="a"))
        archive.addfile(item("c", LNKTYPE, linkname="a", uid=7, mode=0o600))
    assert [(each.mode, each.uid) for each in made(add({"t": out.getvalue()}))[2:]] == [(0o600, 7)] * 3


def test_names_that_are_replaced_are_names_of_that_file_no_more(add: Add, make_tar: Any) -> None:
    """As tar does it: what a link says later of the mode of a file is said of those that are its names by then."""
    blob = make_tar(
        *(
            ("a", REGTYPE, b"one"),
            ("b", LNKTYPE, "a"),
            ("c", LNKTYPE, "a"),
            ("b", SYMTYPE, "x"),
            ("a", REGTYPE, b"two"),
        ),
        *(item("d", LNKTYPE, linkname="c"), ("e", LNKTYPE, "a")),
    )
    draft = add({"t": blob.getvalue()})
    found = {entry.path: entry for entry in made(draft)}
    assert found["o/b"].type == "symlink"
    assert [(found[f"o/{name}"].target, found[f"o/{name}"].mode) for name in "acde"] == [
        *((None, 0o644), (None, 0o640), ("o/c", 0o640), ("o/a", 0o644))
    ]
    with draft.contents["o/a"]() as two, draft.contents["o/c"]() as one:
        assert (one.read(), two.read()) == (b"one", b"two")


def test_links_lead_inside_the_destination(add: Add, make_tar: Any) -> None:
    blob = make_tar(("l", SYMTYPE, "/etc"), ("l/f", REGTYPE, b"x"))
    assert made(add({"a": blob.getvalue()}, "etc/x")) == entries(("o/etc/f", "o/l -> /etc"))


def test_a_name_may_go_up_again(add: Add, make_tar: Any) -> None:
    blob = make_tar(("d", SYMTYPE, "/etc"), ("d/../f", REGTYPE, b"x"), ("h", LNKTYPE, "q/../f"))
    assert made(add({"a": blob.getvalue()}, "o/")) == entries(("o/d -> /etc", "o/f =x", "o/h => o/f"))


def test_a_name_that_leads_out_is_an_error(add: Add, make_tar: Any) -> None:
    with pytest.raises(SourceInputError, match=r"/a can't be unpacked.*leads out"):
        add({"a": make_tar(("../f", REGTYPE, b"x")).getvalue()})


def test_what_an_archive_holds_takes_the_place_of_what_is_there(add: Add, make_tar: Any) -> None:
    blob = make_tar(("d", REGTYPE, b"x"), ("f", DIRTYPE, b""), ("e", DIRTYPE, b"")).getvalue()
    draft = add({"a": blob}, "o/d/old", "o/f", "o/e/ 700", "o/e/old")
    assert made(draft) == entries(("o/d", "o/f/", "o/e/"))


def test_nothing_is_unpacked_below_a_file(add: Add, make_tar: Any) -> None:
    with pytest.raises(SourceInputError, match="/o/f is a file"):
        add({"a": make_tar(("f/x", REGTYPE, b"x")).getvalue()}, "o/f")


def test_removals_hide_what_was_there(add: Add, make_tar: Any) -> None:
    nothing = b""
    blob = make_tar(
        (".wh.gone", REGTYPE, nothing), ("sub/.wh.x", REGTYPE, nothing), ("own", REGTYPE, b"x"),
        (".wh.own", REGTYPE, nothing), (".wh..wh.plnk", DIRTYPE, nothing), (".wh.none", REGTYPE, nothing),
    ).getvalue()  # fmt: skip
    draft = add({"a": blob}, "o/ 711", "o/gone/x", "o/sub/x", "o/sub/y", "o/own =old")
    assert made(draft) == entries(("o/ 711", "o/gone !", "o/own", "o/sub/x !"))


def test_an_opaque_directory_hides_all_that_was_in_it(add: Add, make_tar: Any) -> None:
    nothing = b""
    blob = make_tar(("q/d/new", REGTYPE, b"x"), ("q/.wh..wh..opq", REGTYPE, nothing), ("q/e", REGTYPE, b"x"))
    draft = add({"a": blob.getvalue()}, "o/q/d/ 700 5:5", "o/q/d/old", "o/q/old")
    assert made(draft) == entries(("o/q/d/ 700 5:5", "o/q/d/new", "o/q/d/old !", "o/q/e", "o/q/old !"))


@pytest.mark.parametrize("name", [".wh.", ".wh..", "d/.wh..."])
def test_a_malformed_removal_is_an_error(add: Add, make_tar: Any, name: str) -> None:
    with pytest.raises(SourceInputError, match="malformed removal"):
        add({"a": make_tar((name, REGTYPE, b"")).getvalue()})


def test_several_archives_and_files_come_one_after_the_other(add: Add, make_tar: Any) -> None:
    first, second = (make_tar(("f", REGTYPE, data), (name, REGTYPE, b"x")).getvalue() for name, data in (
        ("a", b"1"), ("b", b"2"),
    ))  # fmt: skip
    draft = add({"1": first, "2": second, "3": b"x"}, sources=("/*",))
    assert made(draft) == entries(("o/a", "o/b", "o/f =2", "o/3"))


def test_a_damaged_archive_is_an_error(add: Add, make_tar: Any) -> None:
    blob = make_tar(("f", REGTYPE, b"x" * 5000)).getvalue()[:2000]
    with pytest.raises(SourceInputError, match="/a can't be unpacked"):
        add({"a": blob})
