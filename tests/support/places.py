"""A prepared place: a home, a store, a project and outputs in one directory, which can be copied as a whole."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.command import Pybuild
from tests.support.leftovers import deserted
from tests.support.wholeness import flaws, named_rows, names, readable_by_skopeo


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`registry` is `host:port` of one that the command may use."""

    root: Path
    registry: str
    pybuild: Pybuild

    @classmethod
    def make(cls, root: Path, registry: str, registries: Path) -> Place:
        """A new one, without a store."""
        for name in ("home", "project"):
            (root / name).mkdir(parents=True)
        pybuild = Pybuild(home=root / "home", store=root / "store", registries=registries)
        return cls(root=root, registry=registry, pybuild=pybuild)

    @property
    def store(self) -> Path:
        """Where its store is."""
        return self.pybuild.store

    @property
    def project(self) -> Path:
        """Where commands run."""
        return self.root / "project"

    def copy(self, root: Path) -> Place:
        """Another one with all that is in this."""
        subprocess.run(["cp", "--archive", "--reflink=auto", self.root, root], check=True)
        return replace(self, root=root, pybuild=replace(self.pybuild, home=root / "home", store=root / "store"))

    def ok(self, *words: str | os.PathLike[str]) -> str:
        """Run a command that must succeed; what it printed."""
        return self.pybuild.ok(*words, cwd=self.project).stdout

    def check(self) -> None:
        """Fail where anything is wrong with the store, or left behind."""
        assert self.ok("store", "check") == "the store is whole\n"
        assert flaws(self.store) == []
        assert named_rows(self.store) == names(self.store)
        assert list((self.store / "tmp").iterdir()) == []
        deserted(self.root)

    def check_images(self) -> None:
        """Fail where another tool can't read every image."""
        for name in names(self.store):
            readable_by_skopeo(self.store, name)


@contextmanager
def sample(what: str, points: Sequence[int], count: int) -> Iterator[list[int]]:
    """All points with `PYBUILD_FAULTS=all`, else some by the seed `PYBUILD_FAULTS_SEED`, which a failure names."""
    if os.environ.get("PYBUILD_FAULTS") == "all":
        yield list(points)
        return
    seed = os.environ.get("PYBUILD_FAULTS_SEED") or str(time.time_ns() % 1_000_000)
    try:
        yield sorted(random.Random(f"{seed} {what}").sample(points, min(count, len(points))))
    except BaseException as error:
        error.add_note(f"chosen by PYBUILD_FAULTS_SEED={seed}")
        raise
