from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkit_py.store import files
from buildkit_py.store.mounts import Mounts

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and devices need root")


def test_removal_does_not_follow_links(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("kept")
    doomed = tmp_path / "doomed"
    (doomed / "inner").mkdir(parents=True)
    (doomed / "link").symlink_to(canary)
    (doomed / "inner/up").symlink_to("../..")
    files.remove(doomed)
    assert not doomed.exists()
    assert (canary / "file").read_text() == "kept"
    link = tmp_path / "link"
    link.symlink_to(canary)
    files.remove(link)
    assert (canary / "file").exists()


def test_removal_needs_neither_depth_nor_luck_with_names(tmp_path: Path) -> None:
    doomed = tmp_path / "doomed"
    doomed.mkdir()
    fd = os.open(doomed, os.O_RDONLY)
    for number in range(1200):
        name = "removing-0" if number % 3 else "d" * 200
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(os.open("removing-1", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)
        fd = inner
    os.close(fd)
    files.remove(doomed)
    assert not doomed.exists()


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    files.remove(tmp_path / "nothing")


@as_root
def test_an_ordinary_user_can_remove_closed_directories(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from buildkit_py.store import files
top = Path(sys.argv[1]); os.setgid(65534); os.setuid(65534)
(top / "a/b/c").mkdir(parents=True)
(top / "a/b/c/file").touch()
for name in ("a/b/c", "a/b", "a"): (top / name).chmod(0)
files.remove(top / "a")
print(os.listdir(top))
"""
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", code, place], cwd=Path(__file__).parents[3], capture_output=True, text=True
        )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@as_root
@pytest.mark.parametrize("where", ["doomed/a", "doomed/a/b/c"])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_nothing_is_removed_through_a_mount(tmp_path: Path, where: str, kind: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "canary").write_text("kept")
    point = tmp_path / where
    point.mkdir(parents=True)
    options = ["--bind", source] if kind == "bind" else ["-t", "tmpfs", "none"]
    subprocess.run(["mount", *options, point], check=True)
    try:
        if kind == "tmpfs":
            (point / "canary").write_text("kept")
        assert Mounts().uses(tmp_path / "doomed")
        with pytest.raises(OSError, match="busy"):
            files.remove(tmp_path / "doomed")
        (mounted,) = [Path(path) for path in Mounts().below(tmp_path)]
        assert (mounted / "canary").read_text() == "kept"
    finally:
        for mounted_at in Mounts().below(tmp_path):
            subprocess.run(["umount", mounted_at], check=True)


def test_the_mount_table_is_read_with_its_escapes_and_overlays() -> None:
    table = (
        b"29 1 0:25 / /store/with\\040blank/tmp/x rw - tmpfs none rw\n"
        b"30 1 0:26 / /elsewhere rw shared:1 - overlay overlay rw,lowerdir=/store/s/1/fs:/store/s/2/fs,upperdir=/u/fs\n"
    )
    mounts = Mounts(table)
    assert mounts.below(Path("/store/with blank/tmp")) == ["/store/with blank/tmp/x"]
    assert mounts.uses(Path("/store/s/2"))
    assert mounts.uses(Path("/u"))
    assert not mounts.uses(Path("/store/s/3"))
    assert not mounts.uses(Path("/store/with"))


def test_names_of_mount_points_are_any_bytes_but_a_newline() -> None:
    name = b"a\r\v\f\x1c\xc2\x85\xe2\x80\xa8\xff"
    mounts = Mounts(b"29 1 0:25 / /mnt/%s rw - tmpfs one rw\n30 1 0:26 / /mnt/b rw - tmpfs two rw\n" % name)
    assert mounts.below(Path("/mnt")) == ["/mnt/b", f"/mnt/{os.fsdecode(name)}"]
    assert mounts.named("two") == ["/mnt/b"]


TREES = st.recursive(st.integers(0, 50), lambda inner: st.dictionaries(st.sampled_from("abcde"), inner, max_size=4))


@settings(deadline=None, max_examples=40)
@given(tree=st.dictionaries(st.sampled_from("abcde"), TREES, max_size=5))
def test_any_tree_has_the_sum_of_its_files_as_size_and_can_be_removed(tmp_path_factory, tree) -> None:
    top = tmp_path_factory.mktemp("tree") / "top"

    def make(path: Path, node) -> int:
        if isinstance(node, int):
            path.write_bytes(b"x" * node)
            return node
        path.mkdir()
        return sum([make(path / name, inner) for name, inner in node.items()])

    assert make(top, tree) == files.tree_size(top)
    files.remove(top)
    assert not top.exists()


def test_a_hard_linked_file_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert files.tree_size(tmp_path) == 10
