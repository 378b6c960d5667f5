"""Reading upper directories: what becomes a change, what is dropped, and what is left on disk."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import StepError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree
from buildkit_py.layer.upper import collect, collect_full


def sha(data: bytes) -> str:
    return str(Digest.of(data))


def a_file(path: str, data: bytes = b"x", **facts: object) -> Entry:
    return Entry(path=path, type="file", **{"mode": 0o644, "size": len(data), "digest": sha(data), **facts})


def a_dir(path: str, mode: int = 0o755, **facts: object) -> Entry:
    return Entry(path=path, type="dir", mode=mode, **facts)


def tree(*entries: Entry) -> Tree:
    return ChainTree([(Path("/nowhere"), Diff.of([a_dir(""), *entries]))])


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    path = tmp_path / "upper"
    path.mkdir()
    path.chmod(0o755)
    return path


def put(path: Path, data: bytes = b"x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def shape(diff: Diff) -> list[tuple[str, str]]:
    return [(entry.path, entry.type) for entry in diff.entries]


def left(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_every_change_stands_in_its_parents(upper: Path) -> None:
    put(upper / "a/b/f")
    (upper / "a").chmod(0o1777)
    diff = collect(upper, EmptyTree(), epoch=77)
    assert diff.entries == (a_dir(""), a_dir("a", 0o1777), a_dir("a/b"), a_file("a/b/f"))
    assert {path.lstat().st_mtime for path in [upper, *upper.rglob("*")]} == {77}


def test_nothing_is_an_empty_diff(upper: Path) -> None:
    assert not collect(upper, EmptyTree(), epoch=0)


def test_the_root_alone_can_change(upper: Path) -> None:
    upper.chmod(0o700)
    assert collect(upper, EmptyTree(), epoch=0).entries == (a_dir("", 0o700),)


def test_what_equals_lower_goes_with_its_parents(upper: Path) -> None:
    put(upper / "d/same")
    put(upper / "e/same")
    put(upper / "e/other")
    (upper / "ln").symlink_to("t")
    lower = tree(
        a_dir("d"),
        a_file("d/same"),
        a_dir("e"),
        a_file("e/same"),
        Entry(path="ln", type="symlink", mode=0o777, target="t"),
    )
    assert shape(collect(upper, lower, epoch=0)) == [("", "dir"), ("e", "dir"), ("e/other", "file")]
    assert left(upper) == ["e", "e/other"]


@pytest.mark.parametrize(
    "change",
    [{"mode": 0o600}, {"uid": 3}, {"gid": 3}, {"xattrs": (("user.a", b"b"),)}, {"size": 2, "digest": sha(b"xx")}],
)
def test_one_fact_alone_is_a_change(upper: Path, change: dict[str, object]) -> None:
    put(upper / "f")
    assert shape(collect(upper, tree(a_file("f", **change)), epoch=0)) == [("", "dir"), ("f", "file")]


def test_metadata_of_a_lower_directory_alone(upper: Path) -> None:
    (upper / "d").mkdir(mode=0o755)
    os.chown(upper / "d", 5, 6)
    assert collect(upper, tree(a_dir("d"), a_file("d/f")), epoch=0).entries == (a_dir(""), a_dir("d", uid=5, gid=6))


def test_whiteouts_of_names_that_lower_lacks_go(upper: Path) -> None:
    (upper / "d").mkdir(mode=0o755)
    whiteout(upper / "gone")
    whiteout(upper / "never")
    whiteout(upper / "d/never")
    assert shape(collect(upper, tree(a_file("gone"), a_dir("d")), epoch=0)) == [("", "dir"), ("gone", "whiteout")]
    assert left(upper) == ["gone"]


def test_opaque_directories_become_whiteouts(upper: Path) -> None:
    put(upper / "d/new")
    put(upper / "d/sub/kept")
    put(upper / "d/same")
    os.setxattr(upper / "d", "trusted.overlay.opaque", b"y")
    os.setxattr(upper / "d/new", "trusted.overlay.origin", b"o")
    os.setxattr(upper / "d/sub", "user.overlay.impure", b"y")
    lower = tree(
        a_dir("d"),
        a_file("d/old"),
        a_file("d/same"),
        a_dir("d/sub"),
        a_file("d/sub/old"),
        a_file("d/sub/kept", b"other"),
    )
    assert shape(collect(upper, lower, epoch=0)) == [
        ("", "dir"), ("d", "dir"), ("d/new", "file"), ("d/old", "whiteout"),
        ("d/sub", "dir"), ("d/sub/kept", "file"), ("d/sub/old", "whiteout"),
    ]  # fmt: skip
    assert stat.S_ISCHR((upper / "d/old").lstat().st_mode)
    assert not (upper / "d/same").exists()
    assert all(not os.listxattr(path) for path in [upper, *upper.rglob("*")] if not path.is_char_device())


def test_a_file_becomes_a_directory_and_the_other_way(upper: Path) -> None:
    put(upper / "was-dir")
    put(upper / "was-file/x")
    lower = tree(a_dir("was-dir"), a_file("was-dir/y"), a_file("was-file"))
    assert shape(collect(upper, lower, epoch=0)) == [
        ("", "dir"),
        ("was-dir", "file"),
        ("was-file", "dir"),
        ("was-file/x", "file"),
    ]


def test_hard_links_and_names_of_the_file_elsewhere(upper: Path, tmp_path: Path) -> None:
    put(upper / "b")
    os.link(upper / "b", upper / "a")
    os.link(upper / "b", upper / "same")
    put(tmp_path / "elsewhere", b"e")
    os.link(tmp_path / "elsewhere", upper / "alone")
    diff = collect(upper, tree(a_file("same")), epoch=0)
    assert [(e.path, e.type, e.target) for e in diff.entries[1:]] == [
        ("a", "file", None), ("alone", "file", None), ("b", "hardlink", "a"),
    ]  # fmt: skip


def test_stubs_go_unless_somebody_used_them(upper: Path) -> None:
    put(upper / "etc/resolv.conf", b"")
    put(upper / "etc/used", b"u")
    (upper / "mnt").mkdir(mode=0o755)
    put(upper / "data/left")
    put(upper / "etc/hosts", b"")
    stubs = ["/etc", "/etc/resolv.conf", "/etc/used", "/mnt", "/data"]
    diff = collect(upper, EmptyTree(), epoch=0, stubs=stubs)
    assert [entry.path for entry in diff.entries] == ["", "data", "data/left", "etc", "etc/hosts", "etc/used"]
    assert left(upper) == ["data", "data/left", "etc", "etc/hosts", "etc/used"]


def test_system_directories_hold_nothing_and_lose_nothing(upper: Path) -> None:
    put(upper / "dev/null", b"written")
    put(upper / "proc/deep/er/file")
    (upper / "sys").mkdir(mode=0o755)
    lower = tree(a_dir("dev"), a_file("dev/console"), a_dir("proc"))
    os.setxattr(upper / "dev", "trusted.overlay.opaque", b"y")
    assert shape(collect(upper, lower, epoch=0)) == [("", "dir"), ("sys", "dir")]
    assert left(upper) == ["sys"]


def test_a_tree_that_is_no_system_keeps_those_names(upper: Path) -> None:
    put(upper / "dev/tool")
    assert shape(collect(upper, EmptyTree(), epoch=0, hidden=())) == [("", "dir"), ("dev", "dir"), ("dev/tool", "file")]


def test_links_pipes_devices_and_sockets(upper: Path) -> None:
    (upper / "ln").symlink_to("/etc/../x")
    os.mkfifo(upper / "pipe", 0o600)
    os.mknod(upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (upper / "null").chmod(0o666)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(upper / "sock"))
    diff = collect(upper, EmptyTree(), epoch=9)
    assert diff.entries[1:] == (
        Entry(path="ln", type="symlink", mode=0o777, target="/etc/../x"),
        Entry(path="null", type="char", mode=0o666, device=(1, 3)),
        Entry(path="pipe", type="fifo", mode=0o600),
    )
    assert left(upper) == ["ln", "null", "pipe"]
    assert (upper / "ln").lstat().st_mtime == 9


def test_attributes_and_special_bits(upper: Path) -> None:
    put(upper / "f", mode=0o6755)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(upper / "f", "security.capability", capability)
    os.setxattr(upper / "f", "user.b", b"")
    os.setxattr(upper / "f", "user.a=b", b"never")
    os.setxattr(upper / "f", "trusted.x", b"never")
    entry = collect(upper, EmptyTree(), epoch=0).entries[1]
    assert (entry.mode, entry.xattrs) == (0o6755, (("security.capability", capability), ("user.b", b"")))


CAPABILITY = ("security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))


def test_capabilities_alone_are_kept_where_that_is_asked_for(upper: Path) -> None:
    for path in (put(upper / "f"), put(upper / "d/g"), upper / "d"):
        os.setxattr(path, "user.a", b"1")
    os.setxattr(upper / "f", *CAPABILITY)
    (upper / "d").chmod(0o755)
    diff = collect(upper, EmptyTree(), epoch=0, attributes="capabilities")
    assert {entry.path: entry.xattrs for entry in diff.entries} == {"": (), "d": (), "d/g": (), "f": (CAPABILITY,)}
    assert os.listxattr(upper / "d") == os.listxattr(upper / "d/g") == []


def test_what_only_got_attributes_that_are_not_kept_did_not_change(upper: Path) -> None:
    noted = (("user.a", b"1"),)
    for path in (put(upper / "f"), put(upper / "g"), put(upper / "d/new"), upper / "d"):
        os.setxattr(path, "user.a", b"1")
    (upper / "d").chmod(0o755)
    lower = tree(a_file("f"), a_file("g", xattrs=noted), a_dir("d", xattrs=noted))
    diff = collect(upper, lower, epoch=0, attributes="capabilities")
    assert [(entry.path, entry.xattrs) for entry in diff.entries] == [("", ()), ("d", noted), ("d/new", ())]
    assert left(upper) == ["d", "d/new"]


def test_names_of_every_kind(upper: Path) -> None:
    names = sorted(["new\nline", "\udcff", "n" * 255, "ü"])
    for name in names:
        put(upper / name)
    diff = collect(upper, EmptyTree(), epoch=0)
    assert [entry.path for entry in diff.entries] == ["", *names]
    assert Diff.decode(diff.encoded) == diff


def test_a_directory_moved_by_reference_is_refused(upper: Path) -> None:
    (upper / "d").mkdir()
    os.setxattr(upper / "d", "trusted.overlay.redirect", b"e")
    with pytest.raises(StepError, match="by reference"):
        collect(upper, EmptyTree(), epoch=0)


def test_directories_without_end_are_refused(upper: Path) -> None:
    here = os.open(upper, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(StepError, match="255 directories"):
        collect(upper, EmptyTree(), epoch=0)


def test_a_whole_copy_is_compared(tmp_path: Path, upper: Path) -> None:
    whole = tmp_path / "whole"
    put(whole / "same")
    put(whole / "d/changed", b"new")
    put(whole / "dev/left", b"")
    (whole / "e").mkdir()
    for path in (whole, whole / "d", whole / "dev", whole / "e"):
        path.chmod(0o755)
    lower = tree(
        a_file("same"), a_file("gone"), a_dir("d"), a_file("d/changed"), a_file("d/gone"), a_dir("dev"),
        a_file("dev/null"), a_dir("e"), a_dir("proc"), a_dir("f"), a_file("f/x"),
    )  # fmt: skip
    diff = collect_full(whole, lower, upper, epoch=0)
    assert shape(diff) == [
        ("", "dir"), ("d", "dir"), ("d/changed", "file"), ("d/gone", "whiteout"), ("f", "whiteout"),
        ("gone", "whiteout"),
    ]  # fmt: skip
    assert left(upper) == ["d", "d/changed", "d/gone", "f", "gone"]
    assert not whole.exists()


def test_a_directory_that_may_hold_removals_as_attributes_is_not_opaque(upper: Path) -> None:
    put(upper / "d/new")
    os.setxattr(upper / "d", "trusted.overlay.opaque", b"x")
    diff = collect(upper, tree(a_dir("d"), a_file("d/old")), epoch=0)
    assert shape(diff) == [("", "dir"), ("d", "dir"), ("d/new", "file")]
