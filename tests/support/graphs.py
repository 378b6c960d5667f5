"""Builds of graphs that a test writes in Python: steps over the base `oci:base` of a project, one after the other."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from buildkit_py.graph import GraphBuilder
from buildkit_py.graph.op import ImageSource, LocalSource, Op, Run
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from tests.support import layouts
from tests.support.project import Built, Project
from tests.support.trees import Unpacked, unpack

PATH = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
BASE = ImageSource(ref="oci:base", platform=str(Platform.host()))
CONTEXT = LocalSource(special=True)


def sh(script: str, **more: object) -> Run:
    """A shell's step."""
    values: dict[str, object] = {"args": ("/bin/sh", "-c", script), "env": (PATH,), **more}
    return Run(**values)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """`inputs` are sources by role, which every exec step gets that has a mount of them."""

    project: Project
    inputs: Mapping[str, Op] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    def build(self, *steps: Op, arguments: Sequence[str | os.PathLike[str]] = (), base: Op = BASE) -> Built:
        """Build one image `a` of these steps, whatever comes of it."""
        self.project.write({"graph.json": self.encoded(base, *steps)})
        words = ("build", ".", "--graph", "graph.json", "--progress", "json", *self.arguments, *arguments)
        return Built(self.project.pybuild(*words, cwd=self.project.directory), self.project)

    def encoded(self, base: Op, *steps: Op) -> bytes:
        """The graph. Step number N is written in line N of `steps`."""
        graph = GraphBuilder()
        start = tip = graph.add(base)
        roles = {role: graph.add(op) for role, op in self.inputs.items()}
        for number, step in enumerate(steps, 1):
            named = {getattr(mount, "input", None) for mount in getattr(step, "mounts", ())}
            used = {role: digest for role, digest in roles.items() if role in named}
            span = Span(file="steps", line=number, column=1, end_line=number, end_column=2)
            tip = graph.add(step, span=span, inputs=used, base=tip)
        layers = [("steps", tip)] if tip != start else []
        graph.target("a", base=start, layers=layers, config=ImageConfig(env=(PATH,)))
        return graph.build().to_json()

    def ok(self, *steps: Op, arguments: Sequence[str | os.PathLike[str]] = (), base: Op = BASE) -> Built:
        """Build, which must succeed."""
        built = self.build(*steps, arguments=arguments, base=base)
        assert built.code == 0, built.result.output
        return built

    def lines(self, *steps: Op, arguments: Sequence[str] = (), base: Op = BASE) -> list[str]:
        """What the steps printed."""
        return self.ok(*steps, arguments=arguments, base=base).printed()

    def added(self, *steps: Op, arguments: Sequence[str] = (), base: Op = BASE, below: int = 1) -> list[str]:
        """The names in the layers on top of the base, which has `below`."""
        layers = layouts.layers_of(self._layout(steps, arguments, base))[below:]
        return sorted(name.rstrip("/") for layer in layers for name in _names(layer))

    def unpacked(self, *steps: Op, arguments: Sequence[str] = (), base: Op = BASE) -> Unpacked:
        """The image, as umoci unpacks it."""
        layout = self._layout(steps, arguments, base)
        return unpack(layout, layout.with_name(f"{layout.name}-bundle"), "a")

    def _layout(self, steps: Sequence[Op], arguments: Sequence[str], base: Op) -> Path:
        above = self.project.directory.parent
        place = above / f"layout{len(list(above.glob('layout*')))}"
        self.ok(*steps, arguments=("-o", f"layout:{place}", *arguments), base=base)
        return place


def _names(layer: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return archive.getnames()
