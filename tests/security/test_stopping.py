"""What costs a step nothing and whoever waits for it for ever: the build is left when it is stopped."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from buildkit_py.errors import Cancelled
from buildkit_py.executor.leaks import refuse_secrets
from buildkit_py.executor.secrets import SecretStore
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import EmptyTree
from buildkit_py.layer.upper import collect
from tests.support.canary import VALUE
from tests.support.project import Project
from tests.support.running import interrupted

SPARSE = Entry(path="sparse", type="file", size=8 << 40, digest="sha256:" + 64 * "0")


class Zeros:
    """A file of any size, whose reader stops the build at the third piece."""

    def __init__(self, stopped: Event) -> None:
        self._stopped = stopped
        self.reads = 0

    def __enter__(self) -> Zeros:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        self.reads += 1
        if self.reads == 3:
            self._stopped.set()
        assert self.reads < 10
        return bytes(size)


def test_a_sparse_file_in_a_cache_keeps_nobody_waiting(project: Project) -> None:
    """It can't be searched for the secret in any time, so the cache is emptied."""
    project.write({"Buildfile": BUILDFILE, "token": VALUE})
    words = ("--secret", "id=t,src=token")
    assert interrupted(project.pybuild, *words, cwd=project.directory, at="written") == 130
    (cache,) = project.pybuild.store.glob("caches/*/0")
    assert os.listdir(cache) == []


BUILDFILE = """buildfile 1
secret t "of the test"
image a {
    from "oci:base"
    with cache("/c"), secret(t)
    run truncate -s 8000G /c/sparse && echo written
}
"""


def test_the_search_of_what_a_step_leaves(tmp_path: Path) -> None:
    stopped = Event()
    secrets = SecretStore(hidden={"the password": VALUE.encode()})
    with pytest.raises(Cancelled):
        refuse_secrets(secrets, Diff((SPARSE,)), lambda entry: Zeros(stopped), stopped)  # type: ignore[arg-type,return-value]


def test_the_writing_of_a_layer() -> None:
    stopped = Event()

    class Nowhere:
        def write(self, data: object) -> None: ...

    def check() -> None:
        if stopped.is_set():
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        write_layer(Diff((SPARSE,)), lambda entry: Zeros(stopped), Nowhere(), check=check)  # type: ignore[arg-type,return-value]


def test_the_names_that_a_step_leaves(tmp_path: Path) -> None:
    """A million empty files."""
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/empty").touch()
    stopped = Event()
    stopped.set()
    with pytest.raises(Cancelled):
        collect(tmp_path / "upper", EmptyTree(), epoch=0, cancelled=stopped)
