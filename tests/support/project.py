"""A directory with a Buildfile, built by the real command; what the steps printed is told apart from what it said."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support import bases, layouts
from tests.support.command import Pybuild, Result
from tests.support.trees import File, Unpacked, unpack


@dataclass(frozen=True)
class Built:
    """One build: how it ended, its events, and what its steps printed."""

    result: Result
    project: Project

    @property
    def code(self) -> int:
        """The exit code."""
        return self.result.code

    @property
    def message(self) -> str:
        """What a person reads on standard error."""
        return self.result.stderr

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """What `--progress json` wrote."""
        return [json.loads(line) for line in self.result.stdout.splitlines() if line.startswith("{")]

    def printed(self, stream: str = "stdout") -> list[str]:
        """The lines that steps printed, in order."""
        return [event["text"] for event in self.events if event["event"] == "Log" and event["stream"] == stream]

    @property
    def notes(self) -> list[str]:
        """What the build had to say."""
        return [event["text"] for event in self.events if event["event"] == "Note"]

    @property
    def ran(self) -> int:
        """How many steps had to run."""
        return next(int(event["ran"]) for event in self.events if event["event"] == "BuildDone")

    @property
    def digest(self) -> str:
        """The image's digest."""
        return next(str(event["digest"]) for event in self.events if event["event"] == "ImageDone")


@dataclass(frozen=True, kw_only=True)
class Project:
    """A directory of the test; `base` is a small image in it that `from "oci:base"` finds."""

    pybuild: Pybuild
    directory: Path
    arguments: tuple[str, ...] = field(default=())

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files below the directory."""
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def base(self, name: str = "tiny") -> None:
        """Make `oci:base` a base image of the tests."""
        if not (self.directory / "base").exists():
            bases.place(name, self.directory / "base")

    def build(self, body: str, *arguments: str | os.PathLike[str], head: str = "", start: str = '"oci:base"') -> Built:
        """Build one image `a` of these statements over the base; never raises for an exit code."""
        lines = ("buildfile 1", *filter(None, [head]), "image a {", f"from {start}", body, "}")
        return self.build_file("\n".join((*lines, "")), *arguments)

    def build_file(self, text: str, *arguments: str | os.PathLike[str]) -> Built:
        """Build a whole Buildfile."""
        self.write({"Buildfile": text})
        result = self.pybuild("build", ".", "--progress", "json", *self.arguments, *arguments, cwd=self.directory)
        return Built(result, self)

    def ok(self, body: str, *arguments: str | os.PathLike[str], head: str = "", start: str = '"oci:base"') -> Built:
        """Build, which must succeed."""
        built = self.build(body, *arguments, head=head, start=start)
        assert built.code == 0, built.result.output
        return built

    def lines(self, body: str, *arguments: str, head: str = "") -> list[str]:
        """What the steps printed to standard output."""
        return self.ok(body, *arguments, head=head).printed()

    def unpacked(self, body: str, *arguments: str, head: str = "", start: str = '"oci:base"') -> Unpacked:
        """The image, as umoci unpacks it."""
        layout = self.layout(body, *arguments, head=head, start=start)
        return unpack(layout, layout.with_name(f"{layout.name}-bundle"), "a")

    def files(self, body: str, *arguments: str, head: str = "", start: str = '"oci:base"') -> dict[str, File]:
        """Every entry of the image."""
        return self.unpacked(body, *arguments, head=head, start=start).files()

    def added(self, body: str, *arguments: str, head: str = "") -> list[str]:
        """What the layers on top of the base hold: the names of their members, sorted."""
        _, *layers = layouts.layers_of(self.layout(body, *arguments, head=head))
        return sorted(name.rstrip("/") for layer in layers for name in _names(layer))

    def layout(self, body: str, *arguments: str, head: str = "", start: str = '"oci:base"') -> Path:
        """The image `a` as an OCI layout outside the directory."""
        place = self.directory.parent / f"layout{len(list(self.directory.parent.glob('layout*')))}"
        self.ok(body, "-o", f"layout:{place}", *arguments, head=head, start=start)
        return place


def _names(layer: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return archive.getnames()
