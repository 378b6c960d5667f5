"""What is kept of a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path
from threading import Event

import pytest

from buildkit_py.errors import Cancelled
from buildkit_py.executor.source import git
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
