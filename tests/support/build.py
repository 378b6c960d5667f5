"""A directory with a build file, built by the real command, and what each build said that it did."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import bases
from tests.support.command import Pybuild, Result
from tests.support.trees import Unpacked, unpack

BASE = 'from "oci:base"'
"""What a build file of a `Project` with a base begins its images with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build by its events."""

    result: Result
    events: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, result: Result) -> Build:
        """From a run of the command with `--progress json`."""
        lines = result.stdout.splitlines()
        return cls(result=result, events=tuple(json.loads(line) for line in lines if line.startswith("{")))

    def of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        """The events of one kind, in order."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def ran(self) -> list[str]:
        """The titles of the steps that were executed (not those of commits and checks), in order of their start."""
        started: dict[str, str] = {}
        done: set[str] = set()
        for event in self.events:
            if event["event"] == "Started" and event["kind"] not in ("commit", "test", "output"):
                started[event["id"]] = event["title"]
            elif event["event"] == "Cached":
                # Before it started: only its bytes were missing. After: it worked, and made what was known.
                started.pop(event["id"], None)
            elif event["event"] == "Finished" and event["outcome"] == "done":
                done.add(event["id"])
        return [title for each, title in started.items() if each in done]

    @property
    def processes(self) -> list[str]:
        """The titles of the `run` and `host` steps that were executed."""
        return [title for title in self.ran if title.startswith(("run ", "host "))]

    @property
    def committed(self) -> list[str]:
        """The names of the layers that were written."""
        return [event["name"] for event in self.of_kind("LayerDone") if not event["reused"]]

    @property
    def layers(self) -> list[str]:
        """The names of the layers of all images, those of bases left out."""
        return [event["name"] for event in self.of_kind("LayerDone") if not event["from_base"]]

    @property
    def digests(self) -> dict[str, str]:
        """Image digests by name."""
        return {event["image"]: event["digest"] for event in self.of_kind("ImageDone")}

    @property
    def digest(self) -> str:
        """The digest of the one image."""
        (digest,) = self.digests.values()
        return digest

    @property
    def log(self) -> str:
        """What the steps printed."""
        return "\n".join(event["text"] for event in self.of_kind("Log"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory to build in, with `base/` as an OCI layout that holds busybox."""

    pybuild: Pybuild
    directory: Path
    arguments: tuple[str, ...] = field(default=())

    @classmethod
    def make(cls, pybuild: Pybuild, directory: Path) -> Project:
        """An empty one."""
        directory.mkdir(parents=True)
        bases.place("tiny", directory / "base")
        return cls(pybuild=pybuild, directory=directory)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, by path below the directory."""
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def file(self, text: str) -> None:
        """Write the build file; the version line comes by itself."""
        self.write({"Buildfile": f"buildfile 1\n{text}"})

    def image(self, *statements: str) -> None:
        """Write a build file of one image over the base."""
        self.file("\n".join(("image app {", BASE, *statements, "}")))

    def attempt(self, *arguments: str | os.PathLike[str]) -> Build:
        """Build, however it ends."""
        words = ("build", ".", "--progress", "json", *self.arguments, *arguments)
        return Build.of(self.pybuild(*words, cwd=self.directory))

    def build(self, *arguments: str | os.PathLike[str]) -> Build:
        """Build, which must succeed."""
        build = self.attempt(*arguments)
        assert build.result.code == 0, build.result.output
        return build

    def unpacked(self, *arguments: str) -> Unpacked:
        """Build, and unpack the image by umoci."""
        place = self.directory.parent / f"layout-{len(list(self.directory.parent.glob('layout-*')))}"
        self.build("-o", f"layout:{place}", "-t", "app:latest", *arguments)
        return unpack(place, place.with_name(f"{place.name}-bundle"), _tag(place))

    def check(self) -> None:
        """Fail where the store is not whole."""
        self.pybuild.ok("store", "check")


def _tag(layout: Path) -> str:
    (row,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return str(row["annotations"]["org.opencontainers.image.ref.name"])


def titles(builds: Iterable[Build]) -> list[str]:
    """Everything that several builds executed."""
    return [title for build in builds for title in build.ran]
