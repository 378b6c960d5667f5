"""Who builds: pybuild and its peers, each as the commands that a user would type, with a store of its own.

What a tool's commands say of durability is in its `flushes`, for the table.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bench.measure import PATH, Work
from tests.support.dockerd import Dockerd

IMAGE = "bench/app:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One build: where its files are, and what is to come of it."""

    context: Path
    dockerfile: Path
    archive: Path | None = None
    jobs: int = 0


class Tool(Protocol):
    """A builder."""

    name: str
    flushes: str
    """What is on the disk for certain when the command ends."""
    daemons: tuple[int, ...]

    def version(self) -> str:
        """Its release, as it says it."""
        return _said(self.start())

    def start(self) -> Work:
        """The least that can be asked of it."""

    def build(self, job: Job) -> Work:
        """Build an image."""

    def push(self, job: Job, target: str) -> Work:
        """Send the image that `job` built to `target`."""

    def empty(self) -> None:
        """Forget everything."""


@dataclass(kw_only=True)
class Pybuild(Tool):
    """The command of this checkout, by the interpreter that runs the benchmark."""

    root: Path
    registry: str
    name: str = "pybuild"
    runtime: str = ""
    flushes: str = "blobs, index and names of the store; the archive is renamed, not synced"
    daemons: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "registries.toml").write_text(f'[registry."{self.registry}"]\nplain_http = true\n')

    def with_runtime(self, runtime: str) -> Pybuild:
        """The same, with a runtime of the caller's choice."""
        return replace(self, runtime=runtime, name=f"pybuild ({runtime})" if runtime else self.name)

    def start(self) -> Work:
        """See `Tool`."""
        return self._work(["--version"])

    def build(self, job: Job) -> Work:
        """See `Tool`."""
        return self._work(self._build(job))

    def push(self, job: Job, target: str) -> Work:
        """See `Tool`."""
        return self._work(["push", "-q", IMAGE, target])

    def empty(self) -> None:
        """See `Tool`."""
        shutil.rmtree(self.root / "store", ignore_errors=True)

    def _build(self, job: Job) -> list[str]:
        words = ["build", "--progress", "plain", "-q", "-t", IMAGE, "-f", str(job.dockerfile)]
        words += ["--network", "none"]
        words += ["--runtime", self.runtime] if self.runtime else []
        words += ["--jobs", str(job.jobs)] if job.jobs else []
        words += ["--output", f"archive:{job.archive}"] if job.archive else []
        return [*words, str(job.context)]

    def _work(self, words: list[str]) -> Work:
        environment = {
            "PATH": PATH,
            "HOME": str(self.root),
            "PYBUILD_STORE": str(self.root / "store"),
            "PYBUILD_REGISTRIES": str(self.root / "registries.toml"),
        }
        command = [str(Path(sys.executable).with_name("pybuild")), *words]
        return Work(commands=(command,), directory=self.root, environment=environment)


@dataclass(kw_only=True)
class Buildah(Tool):
    """`buildah` with layers, by runc or by chroot."""

    root: Path
    registry: str
    isolation: str
    name: str = "buildah"
    flushes: str = "nothing"
    daemons: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        text = f'unqualified-search-registries = []\n[[registry]]\nlocation = "{self.registry}"\ninsecure = true\n'
        (self.root / "registries.conf").write_text(text)
        (self.root / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.name = f"buildah ({self.isolation})"

    def start(self) -> Work:
        """See `Tool`."""
        return self._work(["--version"])

    def build(self, job: Job) -> Work:
        """See `Tool`; an archive is a second command."""
        isolation = {
            "runc": ("--isolation", "oci", "--runtime", "runc", "--network", "none"),
            "chroot": ("--isolation", "chroot", "--network", "host"),
        }
        words = ["bud", "--layers", *isolation[self.isolation], "--quiet", "--no-hosts"]
        words += ["--signature-policy", str(self.root / "policy.json"), "--jobs", str(job.jobs or 1)]
        words += ["-t", f"localhost/{IMAGE}", "-f", str(job.dockerfile), str(job.context)]
        if job.archive is None:
            return self._work(words)
        return self._work(words, self._push(f"oci-archive:{job.archive}"))

    def push(self, job: Job, target: str) -> Work:
        """See `Tool`."""
        return self._work(self._push(f"docker://{target}"))

    def empty(self) -> None:
        """See `Tool`."""
        subprocess.run(["buildah", *self._place(), "rmi", "--all", "--force"], capture_output=True, env={"PATH": PATH})
        _unmount(self.root)
        shutil.rmtree(self.root / "storage", ignore_errors=True)
        shutil.rmtree(self.root / "run", ignore_errors=True)

    def _push(self, target: str) -> list[str]:
        policy = ("--signature-policy", str(self.root / "policy.json"))
        return ["push", "--quiet", "--tls-verify=false", "--format", "oci", *policy, f"localhost/{IMAGE}", target]

    def _place(self) -> list[str]:
        storage = ["--root", str(self.root / "storage"), "--runroot", str(self.root / "run")]
        return [*storage, "--storage-driver", "overlay", "--registries-conf", str(self.root / "registries.conf")]

    def _work(self, *commands: list[str]) -> Work:
        environment = {"PATH": PATH, "HOME": str(self.root)}
        whole = [
            ["buildah", *self._place(), *words] if words != ["--version"] else ["buildah", *words] for words in commands
        ]
        return Work(commands=whole, directory=self.root, environment=environment)


@dataclass(kw_only=True)
class Docker(Tool):
    """Debian's `docker` with BuildKit inside its daemon."""

    root: Path
    daemon: Dockerd
    name: str = "docker"
    flushes: str = "nothing"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.daemons = self.daemon.pids
        self.environment = {
            "PATH": PATH, "HOME": str(self.root), "DOCKER_CONFIG": str(self.root), "DOCKER_HOST": self.daemon.host,
            "DOCKER_BUILDKIT": "1",
        }  # fmt: skip

    def version(self) -> str:
        """See `Tool`."""
        return f"docker {_said(self._work(['version', '--format', '{{.Server.Version}}']))}"

    def start(self) -> Work:
        """See `Tool`."""
        return self._work(["version"])

    def build(self, job: Job) -> Work:
        """See `Tool`; an archive is a second command, with layers that are not compressed."""
        words = ["build", "--progress", "plain", "--network", "none", "-q", "-t", IMAGE]
        words += ["-f", str(job.dockerfile), str(job.context)]
        if job.archive is None:
            return self._work(words)
        return self._work(words, ["save", "-o", str(job.archive), IMAGE])

    def push(self, job: Job, target: str) -> Work:
        """See `Tool`."""
        return self._work(["tag", IMAGE, target], ["push", "-q", target])

    def empty(self) -> None:
        """See `Tool`."""
        for words in (("system", "prune", "--all", "--force"), ("builder", "prune", "--all", "--force")):
            subprocess.run(["/usr/bin/docker", *words], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def _work(self, *commands: list[str]) -> Work:
        return Work(
            commands=[["/usr/bin/docker", *words] for words in commands],
            directory=self.root,
            environment=self.environment,
        )


def _said(work: Work) -> str:
    done = subprocess.run(
        work.commands[0], cwd=work.directory, env=dict(work.environment), capture_output=True, text=True
    )
    return done.stdout.strip().splitlines()[0]


def _unmount(root: Path) -> None:
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in reversed([place for place in mounted if place.startswith(f"{root}/")]):
        subprocess.run(["umount", place], check=True)
