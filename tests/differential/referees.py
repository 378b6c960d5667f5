"""Those who build the same Dockerfiles: Debian's `buildah` and the BuildKit inside Debian's `docker.io`, and pybuild.

Each has a place of its own, gets the base images beforehand, and is ended by its own pid.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.differential import bases, record
from tests.differential.case import Case
from tests.differential.record import Failure, Outcome
from tests.support import cache
from tests.support.command import Pybuild
from tests.support.dockerd import serve_dockerd

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Builder(Protocol):
    """Builds a case that was written to a directory."""

    def build(self, case: Case, directory: Path) -> Outcome:
        """What came of it."""


def _run(words: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.fspath(word) for word in words],
        cwd=cwd,
        env={**_ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """pybuild, by its command; base images come from the registry of the tests."""

    pybuild: Pybuild

    def build(self, case: Case, directory: Path) -> Outcome:
        """What came of it."""
        layout = directory.with_name(f"{directory.name}-layout")
        words = ("build", ".", "--progress", "plain", "-o", f"layout:{layout}", *case.arguments)
        result = self.pybuild(*words, cwd=directory)
        return record.from_layout(layout) if result.code == 0 else Failure(message=result.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """`buildah bud` with a storage of its own."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Buildah:
        """A storage that holds the bases."""
        root.mkdir(parents=True)
        (root / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
        buildah = cls(root=root)
        for name in bases.NAMES:
            identity = buildah._ok("pull", "--quiet", f"oci:{bases.layout(name)}:latest").strip()
            buildah._ok("tag", identity, f"docker.io/library/{name}:latest")
        return buildah

    def build(self, case: Case, directory: Path) -> Outcome:
        """What came of it; layers are not asked for, since they are put together otherwise here."""
        image, out = f"localhost/{directory.name}:latest", directory.with_name(f"{directory.name}-buildah")
        options = ("--isolation", "chroot", "--pull-never", "--layers=false", "--format", "docker", "--no-hosts")
        plain = ("--network", "host", "--identity-label=false", "--quiet", "--tag", image)
        done = self._call("bud", *options, *plain, *case.arguments, ".", cwd=directory)
        if done.returncode:
            return Failure(message=done.stdout + done.stderr)
        self._ok("push", "--quiet", image, f"dir:{out}")
        return record.from_directory(out)

    def close(self) -> None:
        """Unmount what the storage holds mounted."""
        self._ok("umount", "--all")
        mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for place in reversed([place for place in mounted if place.startswith(f"{self.root}/")]):
            cache.run("umount", place)

    def _call(self, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        place = ("--root", self.root / "storage", "--runroot", self.root / "run", "--storage-driver", "overlay")
        configuration = ("--registries-conf", self.root / "registries.conf")
        return _run(("buildah", *place, *configuration, *words), cwd, {"HOME": str(self.root)})

    def _ok(self, *words: str | Path) -> str:
        done = self._call(*words, cwd=self.root)
        assert done.returncode == 0, f"buildah {' '.join(map(str, words))}: {done.stdout}{done.stderr}"
        return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """`docker build` at a daemon that listens at `host`, with `root` for its own files."""

    host: str
    root: Path

    def build(self, case: Case, directory: Path) -> Outcome:
        """What came of it."""
        image, saved = f"{directory.name}:latest".lower(), directory.with_name(f"{directory.name}.tar")
        words = ("build", "--progress", "plain", "--network", "none", "--tag", image, *case.arguments, ".")
        done = self.call(*words, cwd=directory)
        if done.returncode:
            return Failure(message=done.stdout + done.stderr)
        self._ok("save", "--output", saved, image)
        return record.from_saved(saved)

    def load_bases(self) -> None:
        """Put the bases into the daemon's store."""
        for name in bases.NAMES:
            archive = self.root / f"{name}.tar"
            source = f"oci:{bases.layout(name)}:latest"
            cache.run("skopeo", "copy", "--quiet", source, f"docker-archive:{archive}:{name}:latest")
            self._ok("load", "--quiet", "--input", archive)

    def call(self, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the client."""
        environment = {
            "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1", "HOME": str(self.root), "DOCKER_CONFIG": str(self.root)
        }  # fmt: skip
        return _run(("/usr/bin/docker", *words), cwd, environment)

    def _ok(self, *words: str | Path) -> None:
        done = self.call(*words, cwd=self.root)
        assert done.returncode == 0, f"docker {' '.join(map(str, words))}: {done.stdout}{done.stderr}"


@contextmanager
def serve_docker(root: Path) -> Iterator[Docker]:
    """A daemon of its own that reaches nothing, with the bases in its store."""
    with serve_dockerd(root) as daemon:
        docker = Docker(host=daemon.host, root=root)
        docker.load_bases()
        yield docker


def version(docker: Docker) -> int:
    """The daemon's release: 20, 28."""
    done = docker.call("version", "--format", "{{json .Server.Version}}", cwd=docker.root)
    return int(json.loads(done.stdout).split(".")[0])
