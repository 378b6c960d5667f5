"""What tests of attacks share: a directory of the machine that no build may see or change, and ways that lead to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from buildkit_py.graph.op import ImageSource
from tests.support import bases, layouts
from tests.support.graphs import BASE
from tests.support.layouts import Entry, folder
from tests.support.project import Built, Project
from tests.support.stored import described

CANARY = "canary-of-the-machine"
UP = "/".join([".."] * 12)
"""More than there are directories above anything that a test makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The directory `path`, and what it was like before the attack.

    It holds what an engine that follows links would hit: `secret`, the empty directory `b/stub` and the empty file
    `b/file`.
    """

    path: Path
    before: Mapping[str, tuple[object, ...]]

    @classmethod
    def plant(cls, path: Path) -> Machine:
        """Make it."""
        (path / "b/stub").mkdir(parents=True)
        (path / "b/file").touch()
        (path / "secret").write_text(CANARY)
        return cls(path=path, before=described(path))

    def check(self, *said: str) -> None:
        """Fail where it was changed, or where something that was said tells what is in it."""
        assert described(self.path) == self.before, "the machine was changed"
        assert CANARY not in "\n".join(said), "the canary was told"


def image(project: Project, name: str, *entries: Entry) -> ImageSource:
    """The image `oci:NAME`: the tiny base with these entries laid over it."""
    tiny = layouts.layers_of(bases.layout("tiny"))
    layouts.write_layout(project.directory / name, [*tiny, layouts.layer(entries)], {"Env": ["PATH=/bin"]})
    return replace(BASE, ref=f"oci:{name}")


def folders(path: Path) -> list[Entry]:
    """A directory, empty, and those above it, for an image that has the same path as the machine."""
    return [folder(str(each).lstrip("/")) for each in (*reversed(path.parents), path) if each != Path("/")]


def build_dockerfile(
    project: Project, text: str, *arguments: str | os.PathLike[str], context: Sequence[str] = (".",)
) -> Built:
    """Build a Dockerfile, in which `base` is the project's base; never raises for an exit code."""
    project.write({"Dockerfile": text})
    named = () if any(str(word) == "-f" for word in arguments) else ("-f", "Dockerfile")
    base = f"base=oci-layout://{project.directory / 'base'}"
    words = ("build", *context, "--progress", "json", "--build-context", base, *named, *project.arguments, *arguments)
    return Built(project.pybuild(*words, cwd=project.directory), project)
