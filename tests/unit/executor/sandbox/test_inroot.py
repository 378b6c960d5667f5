"""Mount points in hostile trees: found, made and replaced without ever leaving the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import inroot


@dataclass
class Tree:
    path: Path
    outside: Path
    fd: int

    def place(self, target: str, *, directory: bool = True) -> tuple[str, list[str]]:
        found = inroot.place(self.fd, target, directory=directory)
        try:
            assert os.path.realpath(f"/proc/self/fd/{found.fd}").startswith(str(self.path))
            return found.path, [path for path, _ in found.made]
        finally:
            os.close(found.fd)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "canary").touch()
    fd = os.open(root, os.O_PATH)
    yield Tree(root, outside, fd)
    os.close(fd)
    assert [path.name for path in outside.iterdir()] == ["canary"]


def test_what_is_there_is_found(tree: Tree) -> None:
    (tree.path / "a/b").mkdir(parents=True)
    assert tree.place("/a/b/") == ("a/b", [])
    assert tree.place("/") == ("", [])


def test_what_is_missing_is_made(tree: Tree) -> None:
    assert tree.place("/a/b/c") == ("a/b/c", ["a", "a/b", "a/b/c"])
    assert tree.place("/a/b/file", directory=False) == ("a/b/file", ["a/b/file"])
    assert (tree.path / "a/b/file").is_file()


def test_links_are_followed_inside(tree: Tree) -> None:
    (tree.path / "abs").symlink_to(tree.outside)
    (tree.path / "up").symlink_to("../../../../..")
    (tree.path / "run").mkdir()
    (tree.path / "etc").mkdir()
    (tree.path / "etc/resolv.conf").symlink_to("../run/systemd/resolv.conf")
    inside = str(tree.outside).lstrip("/")
    path, made = tree.place("/abs/x")
    assert path == f"{inside}/x"
    assert made[-1] == path
    assert tree.place("/up/run") == ("run", [])
    assert tree.place("/etc/resolv.conf", directory=False)[0] == "run/systemd/resolv.conf"


def test_dots_stay_inside(tree: Tree) -> None:
    assert tree.place("/../../a/../b") == ("b", ["a", "b"])


def test_a_loop_of_links_ends(tree: Tree) -> None:
    (tree.path / "a").symlink_to("b")
    (tree.path / "b").symlink_to("a")
    with pytest.raises(SandboxError, match="too many symbolic links"):
        tree.place("/a/x")


@pytest.mark.parametrize(("directory", "what"), [(True, "a file is there"), (False, "a directory is there")])
def test_the_wrong_kind_is_refused(tree: Tree, directory: bool, what: str) -> None:
    (tree.path / "file").touch()
    (tree.path / "dir").mkdir()
    with pytest.raises(SandboxError, match=what):
        tree.place("/file" if directory else "/dir", directory=directory)
    with pytest.raises(SandboxError, match="/file is not a directory"):
        tree.place("/file/x")


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "l", "m"]), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_path_leaves_the_root(tree: Tree, parts: list[str]) -> None:
    for name, target in (("l", "/"), ("m", "../a/../..")):
        if not (tree.path / name).is_symlink():
            (tree.path / name).symlink_to(target)
    tree.place("/" + "/".join(parts))


def test_find_stays_inside(tree: Tree) -> None:
    (tree.path / "out").symlink_to(tree.outside)
    with pytest.raises(FileNotFoundError):
        inroot.find(tree.fd, "/out/canary")
    with pytest.raises(FileNotFoundError):
        inroot.find(tree.fd, "../outside/canary")


@pytest.mark.parametrize("kind", ["missing", "link", "file", "directory"])
def test_a_real_directory(tree: Tree, kind: str) -> None:
    path = tree.path / "dev"
    if kind == "link":
        path.symlink_to(tree.outside)
    elif kind == "file":
        path.touch()
    elif kind == "directory":
        (path / "kept").mkdir(parents=True)
    assert inroot.real_directory(tree.fd, "dev") == (kind == "missing")
    assert path.is_dir()
    assert not path.is_symlink()
    assert (path / "kept").exists() == (kind == "directory")
