"""Applying layers: what ends up in the tree, in the diff and on disk."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from tarfile import CHRTYPE, DIRTYPE, FIFOTYPE, LNKTYPE, REGTYPE, SYMTYPE

import pytest
import zstandard

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.layer.entry import Entry


def sha(data: bytes) -> str:
    return str(Digest.of(data))


def test_a_layer_becomes_files_with_their_facts(stack, make_tar) -> None:
    info = tarfile.TarInfo("bin/su")
    info.mode, info.uid, info.gid, info.mtime, info.size = 0o6755, 7, 8, 1234, 3
    blob = make_tar(("bin", DIRTYPE, b""), info, ("ln", SYMTYPE, "bin/su"), ("pipe", FIFOTYPE, b""))
    applied = stack.apply(blob)
    assert applied.diff_id == sha(blob.getvalue())
    assert applied.size == 3
    found = {entry.path: entry for entry in applied.diff.entries}
    assert list(found) == ["", "bin", "bin/su", "ln", "pipe"]
    assert found["bin/su"] == Entry(path="bin/su", type="file", mode=0o6755, uid=7, gid=8, size=3, digest=sha(bytes(3)))
    facts = (stack.top / "bin/su").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_mtime) == (0o6755, 7, 8, 1234)
    assert (stack.top / "ln").readlink().as_posix() == "bin/su"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress, lambda data: data])
def test_compressions_are_told_by_their_first_bytes(stack, make_tar, pack) -> None:
    plain = make_tar(("a", REGTYPE, b"x" * 100_000)).getvalue()
    assert stack.apply(io.BytesIO(pack(plain))).diff_id == sha(plain)
    assert stack.text("a") == b"x" * 100_000


def test_gzip_members_and_zstd_frames_that_follow_each_other_are_one_stream(stack, make_tar) -> None:
    plain = make_tar(("a", REGTYPE, b"x" * 5000)).getvalue()
    for pack in (gzip.compress, zstandard.ZstdCompressor().compress):
        blob = pack(plain[:3000]) + pack(plain[3000:])
        assert stack.apply(io.BytesIO(blob)).diff_id == sha(plain)


def test_whiteouts_hide_what_is_below(stack, make_tar) -> None:
    stack.apply(make_tar(("d/x", REGTYPE, b"x"), ("d/y", REGTYPE, b"y"), ("f", REGTYPE, b"f")))
    applied = stack.apply(make_tar(("d/.wh.x", REGTYPE, b""), (".wh.f", REGTYPE, b""), (".wh.nothing", REGTYPE, b"")))
    assert [(entry.path, entry.type) for entry in applied.diff.entries] == [
        ("", "dir"),
        ("d", "dir"),
        ("d/x", "whiteout"),
        ("f", "whiteout"),
    ]
    facts = (stack.top / "f").lstat()
    assert stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0
    assert (stack.names(), stack.names("d")) == (["d"], ["y"])


def test_a_removal_and_a_new_directory_of_one_name_keep_nothing_old(stack, make_tar) -> None:
    stack.apply(make_tar(("d/x", REGTYPE, b"x"), ("d/sub/z", REGTYPE, b"z")))
    stack.apply(make_tar((".wh.d", REGTYPE, b""), ("d", DIRTYPE, b""), ("d/y", REGTYPE, b"y"), ("d/sub", DIRTYPE, b"")))
    assert (stack.names("d"), stack.names("d/sub")) == (["sub", "y"], [])
    assert not any(name.startswith("trusted.overlay") for name in os.listxattr(stack.top / "d"))


def test_a_removal_after_the_new_name_means_the_old_one(stack, make_tar) -> None:
    stack.apply(make_tar(("d/x", REGTYPE, b"x")))
    stack.apply(make_tar(("d/y", REGTYPE, b"y"), (".wh.d", REGTYPE, b"")))
    assert stack.names("d") == ["y"]


def test_opaque_directories_become_removals_by_name(stack, make_tar) -> None:
    stack.apply(make_tar(("d/x", REGTYPE, b"x"), ("d/sub/z", REGTYPE, b"z"), ("d/keep", REGTYPE, b"old")))
    applied = stack.apply(make_tar(("d/keep", REGTYPE, b"new"), ("d/.wh..wh..opq", REGTYPE, b"")))
    assert [entry.path for entry in applied.diff.entries if entry.type == "whiteout"] == ["d/sub", "d/x"]
    assert stack.names("d") == ["keep"]


def test_parents_that_are_links_lead_inside_the_tree(stack, make_tar) -> None:
    stack.apply(make_tar(("usr/bin", DIRTYPE, b""), ("bin", SYMTYPE, "/usr/bin")))
    stack.apply(make_tar(("bin/tool", REGTYPE, b"t")))
    assert stack.names("usr/bin") == ["tool"]
    assert stack.tree.lookup("bin").type == "symlink"


def test_parents_that_a_layer_does_not_name_stay_what_they_are(stack, make_tar) -> None:
    directory = tarfile.TarInfo("d")
    directory.type, directory.mode, directory.uid = DIRTYPE, 0o1777, 5
    stack.apply(make_tar(directory))
    applied = stack.apply(make_tar(("d/new/f", REGTYPE, b"f")))
    assert applied.diff.entries[1] == Entry(path="d", type="dir", mode=0o1777, uid=5)
    assert applied.diff.entries[2] == Entry(path="d/new", type="dir", mode=0o755)
    assert stat.S_IMODE((stack.top / "d").stat().st_mode) == 0o1777


def test_the_first_name_in_path_order_is_the_file(stack, make_tar) -> None:
    applied = stack.apply(make_tar(("m", REGTYPE, b"m"), ("z", LNKTYPE, "m"), ("a", LNKTYPE, "m")))
    found = {entry.path: entry for entry in applied.diff.entries}
    assert [(path, found[path].type, found[path].target) for path in "amz"] == [
        ("a", "file", None),
        ("m", "hardlink", "a"),
        ("z", "hardlink", "a"),
    ]
    assert (stack.top / "a").stat().st_nlink == 3
    assert applied.size == 1


def test_a_link_keeps_the_old_file_when_its_target_comes_again(stack, make_tar) -> None:
    applied = stack.apply(make_tar(("a", REGTYPE, b"old"), ("b", LNKTYPE, "a"), ("a", REGTYPE, b"new")))
    found = {entry.path: entry for entry in applied.diff.entries}
    assert (found["a"].digest, found["b"].digest, found["b"].type) == (sha(b"new"), sha(b"old"), "file")
    assert (stack.text("a"), stack.text("b")) == (b"new", b"old")


def test_a_link_to_a_file_of_a_lower_layer_copies_it(stack, make_tar) -> None:
    stack.apply(make_tar(("d/f", REGTYPE, b"f")))
    applied = stack.apply(make_tar(("g", LNKTYPE, "d/f")))
    assert [(e.path, e.type, e.target) for e in applied.diff.entries][2:] == [
        ("d/f", "file", None),
        ("g", "hardlink", "d/f"),
    ]
    assert (stack.top / "g").samefile(stack.top / "d/f")


def test_file_directory_and_link_replace_each_other(stack, make_tar) -> None:
    stack.apply(make_tar(("a/x", REGTYPE, b"x"), ("b", REGTYPE, b"b"), ("c", SYMTYPE, "a")))
    stack.apply(make_tar(("a", REGTYPE, b"a"), ("b", DIRTYPE, b""), ("c", DIRTYPE, b"")))
    assert [stack.tree.lookup(name).type for name in "abc"] == ["file", "dir", "dir"]
    stack.apply(make_tar(("a", DIRTYPE, b"")))
    assert stack.names("a") == []
    applied = stack.apply(
        make_tar(("n", REGTYPE, b"1"), ("n", DIRTYPE, b""), ("n/x", REGTYPE, b"x"), ("n", SYMTYPE, "q"))
    )
    assert [(e.path, e.type) for e in applied.diff.entries] == [("", "dir"), ("n", "symlink")]


def test_attributes_that_belong_to_a_file_are_kept_and_others_not(stack, make_tar) -> None:
    info = tarfile.TarInfo("f")
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    values = {
        "security.capability": capability,
        "user.note": b"a\nb\xff",
        "trusted.overlay.opaque": b"y",
        "user.overlay.whiteout": b"",
        "security.selinux": b"x",
        "trusted.other": b"x",
    }
    info.pax_headers = {
        f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in values.items()
    }
    applied = stack.apply(make_tar(info))
    assert applied.diff.entries[1].xattrs == (("security.capability", capability), ("user.note", b"a\nb\xff"))
    assert sorted(os.listxattr(stack.top / "f")) == ["security.capability", "user.note"]


@pytest.mark.parametrize("name", ["new\nline", "sp ace", "\udcff\udcfe", "n" * 200, "d/" * 60 + "deep", "ü"])
def test_names_of_every_kind(stack, make_tar, name) -> None:
    stack.apply(make_tar((name, REGTYPE, b"x")))
    assert stack.text(name) == b"x"
    assert os.path.lexists(os.fsencode(stack.top) + b"/" + os.fsencode(name))


def test_the_root_gets_what_the_layer_says(stack, make_tar) -> None:
    info = tarfile.TarInfo("./")
    info.type, info.mode = DIRTYPE, 0o700
    applied = stack.apply(make_tar(info))
    assert applied.diff.entries == (Entry(path="", type="dir", mode=0o700),)
    assert stat.S_IMODE(stack.top.stat().st_mode) == 0o700


def test_an_empty_layer_is_an_empty_diff(stack, make_tar) -> None:
    assert not stack.apply(make_tar()).diff


def test_devices_are_made_as_they_are(stack, make_tar) -> None:
    info = tarfile.TarInfo("null")
    info.type, info.devmajor, info.devminor, info.mode = CHRTYPE, 1, 3, 0o666
    assert stack.apply(make_tar(info)).diff.entries[1].device == (1, 3)
    facts = (stack.top / "null").stat()
    assert (os.major(facts.st_rdev), os.minor(facts.st_rdev), stat.S_IMODE(facts.st_mode)) == (1, 3, 0o666)


def test_two_tars_of_one_content_give_one_diff(stack, make_tar) -> None:
    one = stack.apply(make_tar(("a", REGTYPE, b"1"), ("b", LNKTYPE, "a"), ("c/d", REGTYPE, b"2"))).diff.digest
    stack.applied.clear()
    assert stack.apply(make_tar(("c/d", REGTYPE, b"2"), ("b", REGTYPE, b"1"), ("a", LNKTYPE, "b"))).diff.digest == one


def test_a_file_below_a_file_of_a_lower_layer_is_refused(stack, make_tar) -> None:
    stack.apply(make_tar(("f", REGTYPE, b"")))
    with pytest.raises(IntegrityError, match="below /f"):
        stack.apply(make_tar(("f/x", REGTYPE, b"")))


@pytest.mark.parametrize("then", [("b", REGTYPE, b"f"), (".wh.b", REGTYPE, b"")])
def test_a_removal_inside_of_what_goes_itself(stack, make_tar, then) -> None:
    stack.apply(make_tar(("a", REGTYPE, b""), ("b/a", REGTYPE, b"")))
    applied = stack.apply(make_tar(("b/.wh.a", REGTYPE, b""), then))
    assert [entry.path for entry in applied.diff.entries] == ["", "b"]
    assert stack.names() == (["a", "b"] if then[0] == "b" else ["a"])
