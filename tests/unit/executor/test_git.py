"""What is kept of a repository."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from buildkit_py.errors import Cancelled, SourceInputError
from buildkit_py.executor.source import git
from buildkit_py.executor.source.submodules import absolute
from buildkit_py.graph.op import GitSource

WHO = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")


def run(directory: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *WHO, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_kept_repository_does_not_show_how_it_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    run(origin, "init", "--quiet")
    for number in range(5):
        (origin / f"f{number}").write_text(f"{number}\n" * 100)
        run(origin, "add", "-A")
        run(origin, "commit", "--quiet", "-m", str(number))
    commit = run(origin, "rev-parse", "HEAD")
    monkeypatch.setattr(git, "_check_url", lambda url: None)
    monkeypatch.setattr(git, "_PROTOCOLS", "file")
    kept = []
    for count in range(2):
        source = GitSource(url=f"file://{origin}", commit=commit, keep_git_dir=True)
        directory, scratch = tmp_path / f"out{count}", tmp_path / f"scratch{count}"
        directory.mkdir()
        scratch.mkdir()
        git._checkout(source, directory, scratch, Event())
        kept.append(files(directory))
        assert run(directory, "status", "--porcelain") == ""
        run(origin, "repack", "-a", "-d", "-f", "--depth=1")
        (origin / "f0").touch()
    assert kept[0] == kept[1]
    assert not [name for name in kept[0] if "logs" in name or name.endswith("FETCH_HEAD")]


def test_git_ends_with_the_build() -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        git._run(["sleep", "1000"], {}, cancelled, "somewhere")


# --- submodules


def commit_all(directory: Path, **modules: Path) -> str:
    """A repository with a file, and others inside it by name; its commit."""
    directory.mkdir()
    run(directory, "init", "--quiet")
    (directory / "file").write_text(directory.name)
    for name, other in modules.items():
        allowed = ("-c", "protocol.file.allow=always")
        run(directory, *allowed, "submodule", "--quiet", "add", f"../{other.name}", name)
    run(directory, "add", "-A")
    run(directory, "commit", "--quiet", "-m", "x")
    return run(directory, "rev-parse", "HEAD")


def checked_out(tmp_path: Path, name: str, source: GitSource) -> Path:
    directory, scratch = tmp_path / name, tmp_path / f"{name}-scratch"
    directory.mkdir()
    scratch.mkdir()
    git._checkout(source, directory, scratch, Event())
    return directory


@pytest.fixture
def nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitSource:
    """A repository that holds another, which holds a third."""
    monkeypatch.setattr(git, "_check_url", lambda url: None)
    monkeypatch.setattr(git, "_PROTOCOLS", "file")
    third, second, first = (tmp_path / name for name in ("third", "second", "first"))
    commit_all(third)
    commit_all(second, deep=third)
    commit = commit_all(first, lib=second)
    return GitSource(url=f"file://{first}", commit=commit, submodules=True)


def test_submodules_are_laid_down_as_files(tmp_path: Path, nested: GitSource) -> None:
    assert {name: data for name, data in files(checked_out(tmp_path, "out", nested)).items() if "git" not in name} == {
        "file": b"first",
        "lib/file": b"second",
        "lib/deep/file": b"third",
    }
    assert not list((tmp_path / "out").rglob(".git"))
    without = checked_out(tmp_path, "bare", replace(nested, submodules=False))
    assert list((without / "lib").iterdir()) == []


def test_kept_repositories_of_submodules_work_and_are_the_same_again(tmp_path: Path, nested: GitSource) -> None:
    kept = [checked_out(tmp_path, name, replace(nested, keep_git_dir=True)) for name in ("one", "two")]
    assert files(kept[0]) == files(kept[1])
    for place in (kept[0], kept[0] / "lib", kept[0] / "lib" / "deep"):
        assert run(place, "status", "--porcelain") == ""
        assert run(place, "rev-parse", "--show-toplevel") == str(place)


def test_a_submodule_without_a_url_is_an_error(tmp_path: Path, nested: GitSource) -> None:
    first = tmp_path / "first"
    run(first, "rm", "--quiet", "-f", "--cached", ".gitmodules")
    run(first, "commit", "--quiet", "-m", "x")
    with pytest.raises(SourceInputError, match=r"the submodule 'lib' no URL"):
        checked_out(tmp_path, "out", replace(nested, commit=run(first, "rev-parse", "HEAD")))


def test_a_submodule_is_reached_by_the_network_alone(
    tmp_path: Path, nested: GitSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(git, "_check_url", asked.append)
    checked_out(tmp_path, "out", nested)
    assert [Path(url).name for url in asked] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("url", "parent", "found"),
    [
        ("https://b.example/x", "https://a.example/o/r.git", "https://b.example/x"),
        ("../x.git", "https://a.example/o/r.git", "https://a.example/o/x.git"),
        ("../../p/x", "https://a.example/o/r.git/", "https://a.example/p/x"),
        ("./x", "https://a.example/o/r", "https://a.example/o/r/x"),
        ("../x", "git@a.example:o/r", "git@a.example:o/x"),
        ("../x", "git@a.example:r", "git@a.example:x"),
    ],
)
def test_a_relative_url_starts_at_the_repository_above(url: str, parent: str, found: str) -> None:
    assert absolute(url, parent) == found


def test_a_relative_url_does_not_leave_the_server() -> None:
    with pytest.raises(SourceInputError, match="leads out"):
        absolute("../../../x", "https://a.example/o/r")
