"""Several machines that share nothing but a registry: each has a home, a store and a copy of the project of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import bases
from tests.support.build import Build, Project
from tests.support.command import Pybuild
from tests.support.faulty_registry import FaultyRegistry
from tests.support.registry import write_config


@dataclass(slots=True, kw_only=True)
class Machines:
    """Makes machines below a directory, that reach the registries `names`; `base` is the name of a base image."""

    directory: Path
    base: str
    names: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    _count: int = 0

    def new(self) -> Project:
        """A machine that has built nothing yet."""
        self._count += 1
        place = self.directory / f"machine-{self._count}"
        (place / "home").mkdir(parents=True)
        (place / "project").mkdir()
        registries = write_config(place / "registries.toml", *self.names)
        pybuild = Pybuild(home=place / "home", store=place / "store", registries=registries)
        made = Project(pybuild=pybuild, directory=place / "project")
        made.write({name: text.replace("@BASE@", self.base) for name, text in self.files.items()})
        return made


def push_base(registry: str, name: str = "library/base") -> str:
    """Copy the small base to a registry (`host:port`, plain HTTP); gives its name."""
    target = f"{registry}/{name}:1"
    source = f"oci:{bases.layout('tiny')}:latest"
    words = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", source, f"docker://{target}"]
    subprocess.run(words, check=True, capture_output=True)
    return target


def hold_base(registry: FaultyRegistry, name: str = "library/base") -> str:
    """The same for a registry in the test's own process."""
    place = bases.layout("tiny")
    for blob in (place / "blobs/sha256").iterdir():
        registry.put(blob.read_bytes())
    (entry,) = json.loads((place / "index.json").read_bytes())["manifests"]
    registry.add_manifest(name, "1", registry.blobs[entry["digest"]], entry["mediaType"])
    return f"{registry.name}/{name}:1"


def fetched(registry: FaultyRegistry, repository: str) -> list[str]:
    """The digests of the blobs that were asked for of a repository since the last look, in order."""
    with registry.lock:
        asked = [item.path for item in registry.requests if item.method == "GET" and "/blobs/sha256:" in item.path]
        registry.requests.clear()
    return [path.rpartition("/")[2] for path in asked if path.startswith(f"/v2/{repository}/")]


def notes(build: Build) -> list[str]:
    """What a build had to say."""
    return [event["text"] for event in build.of_kind("Note")]


def warnings(build: Build) -> list[str]:
    """What a build warned of."""
    return [event["text"] for event in build.of_kind("Note") if event["level"] == "warning"]
