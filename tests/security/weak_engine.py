"""Guards of the engine taken away, one a function, for the proof that the tests of the rows notice."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def follow_links_of_the_machine() -> None:
    """The source of a mount is opened by its path."""
    from buildkit_py.executor.sandbox import inroot

    def find(root: int, path: str, *, readable: bool = False) -> int:
        place = f"{os.readlink(f'/proc/self/fd/{root}')}/{path}"
        return os.open(place, (os.O_RDONLY if readable else os.O_PATH) | os.O_CLOEXEC)

    inroot.find = find


def make_mount_points_by_path() -> None:
    """What is missing of a mount point is made wherever its path leads."""
    from buildkit_py.executor.sandbox import inroot

    def place(root: int, path: str, *, directory: bool) -> inroot.Place:
        where = Path(os.readlink(f"/proc/self/fd/{root}") + path)
        (where if directory else where.parent).mkdir(parents=True, exist_ok=True)
        if not directory:
            where.touch()
        return inroot.Place(os.open(where, os.O_PATH | os.O_CLOEXEC), path.strip("/"), ())

    inroot.place = place


def remove_mount_points_by_path() -> None:
    """What was made to mount on is removed by its path when the step has ended."""
    from buildkit_py.executor import snapshotter

    def removing(collect: Callable[..., Any]) -> Callable[..., Any]:
        def collected(directory: Path, *arguments: Any, stubs: Any, **more: Any) -> Any:
            for stub in reversed(stubs):
                path = directory / stub
                if path.is_dir():
                    path.rmdir() if not any(path.iterdir()) else None
                elif path.exists():
                    path.unlink()
            return collect(directory, *arguments, stubs=stubs, **more)

        return collected

    snapshotter.collect = removing(snapshotter.collect)
    snapshotter.collect_full = removing(snapshotter.collect_full)


def grant_everything() -> None:
    """Nobody asks whether the client allows it."""
    from buildkit_py.engine import run

    run.check_grants = lambda definition, allowed: None


def name_caches_by_their_ids() -> None:
    """The directory of a cache is called as its id is."""
    from buildkit_py.store.layout import Layout

    Layout.cache = lambda self, name: Path(os.path.normpath(self.caches / name))  # type: ignore[method-assign]


def read_any_passwd() -> None:
    """Nobody looks at what a runtime reads of the tree."""
    from buildkit_py.executor.sandbox import worker

    worker.check_accounts = lambda root: None


def open_by_path() -> None:
    """A file of a directory is opened wherever its links lead."""
    from buildkit_py.engine import buildfile, contexts, resolver

    for module in (buildfile, contexts, resolver):
        module.open_beneath = lambda root, path: (root / path.lstrip("/")).open("rb")  # type: ignore[attr-defined]


def take_any_ref() -> None:
    """Git is given any word."""
    from buildkit_py.executor.source import git

    git._REF = git._URL = re.compile("(?s).*")


def pass_the_environment_on() -> None:
    """Every program gets the environment of pybuild."""
    execute = os.execve

    def leaking(path: Any, words: Any, environment: Any) -> None:
        execute(path, words, {**os.environ, **environment})

    os.execve = leaking  # type: ignore[assignment]


def make_the_working_directory_by_path() -> None:
    """The working directory is made where its path leads."""
    from buildkit_py.executor.sandbox import rootfs

    def make(root: int, path: str) -> None:
        Path(os.readlink(f"/proc/self/fd/{root}") + path).mkdir(parents=True, exist_ok=True)

    rootfs._check_cwd = make
