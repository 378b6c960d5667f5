"""A definition: the vertices of a build, and what is to be made of them.

    Definition
    ├── vertices   digest → Vertex(op, inputs by role)          an acyclic graph, in topological order
    ├── targets    ImageTarget: base, layers, config, tests, outputs; one for each image and platform
    └── spans      digest → where it was written                outside every digest

A vertex's digest is SHA-256 of the canonical JSON of `{"op": …, "inputs": {role: digest}}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.graph import codec
from buildkit_py.graph.op import Op
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.source import Diagnostic, Span, joined

VERSION = 1
_DOUBTFUL = re.compile(rb"\\u(?:0000|d)")
"""Escapes that canonical JSON has for NUL and for half a surrogate pair; other text may look so, and is read then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One node: an op and the digests of its inputs by role. `digest` names both."""

    op: Op
    inputs: Mapping[str, str]
    digest: str

    @classmethod
    def of(cls, op: Op, inputs: Mapping[str, str]) -> Vertex:
        """Make a vertex and compute its digest. Raises `GraphError` where the op holds text that can't be written."""
        plain = {"op": codec.encode(op), "inputs": dict(inputs)}
        data = canonical.dumps(plain)
        if _DOUBTFUL.search(data):
            from buildkit_py.graph.values import texts

            texts(plain["op"])
        return cls(op=op, inputs=dict(inputs), digest=str(Digest.of(data)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """One layer to commit: the diffs of the steps from the previous layer's tip (or the base) to `tip`."""

    name: str
    tip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """One line of an image's history: what made it (`text`), a `comment`, and whether it made no layer (`empty`)."""

    text: str
    comment: str = ""
    empty: bool = False
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestItem:
    """One check. `run`: a vertex that must succeed, whose tree is thrown away. Others look at `path` in the finished
    tree.

    `file`: a regular file is there; `absent`: nothing is; `owner`, `mode`, `text`: as `expected` says (`text`: the file
    holds that line or fragment). `expected` of `file` may be empty.
    """

    __test__ = False
    kind: Literal["run", "file", "absent", "owner", "mode", "text"]
    vertex: str | None = None
    path: str | None = None
    expected: str | None = None
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A `test` block; every item must hold before anything is published."""

    __test__ = False
    name: str
    items: tuple[TestItem, ...]
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where an image goes. `value` is a path (archive, layout, docker, rootfs), a reference (registry) or a name
    (store)."""

    kind: Literal["archive", "layout", "docker", "registry", "rootfs", "store"]
    value: str
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTarget:
    """An image of one platform.

    `base` is the vertex below the first layer (`scratch`, an `ImageSource`: its layers come along, or None of them).
    The config is complete: nothing is inherited when the image is assembled. An empty `layers` gives the base's own
    layers. `history` comes after the base's own: each line that is not `empty` stands for one of `layers`, in their
    order; without any line, each layer gets one that names it.
    """

    name: str
    platform: str
    base: str
    layers: tuple[LayerPlan, ...] = ()
    config: ImageConfig = field(default_factory=ImageConfig)
    annotations: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[Test, ...] = ()
    outputs: tuple[Output, ...] = ()
    history: tuple[HistoryLine, ...] = ()
    span: Span | None = field(default=None, compare=False)

    @property
    def tip(self) -> str:
        """The vertex whose tree is the image's."""
        return self.layers[-1].tip if self.layers else self.base


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A whole build. `vertices` is in topological order: inputs stand before what uses them.

    `fresh` are vertices that run although their result is known. `warnings` are what the frontend has to say to the
    person who builds, `hints` what it has to say of single vertices once they fail. Like spans, they are outside every
    digest.
    """

    vertices: Mapping[str, Vertex]
    targets: tuple[ImageTarget, ...]
    secrets: Mapping[str, str] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical encoding without spans."""
        plain = self.to_plain(spans=False)
        return str(
            canonical.digest({name: plain[name] for name in plain if name not in ("fresh", "warnings", "hints")})
        )

    def hinted(self, digest: str, hint: str | None = None) -> str | None:
        """A hint about a vertex that failed, and what the frontend has to say of it."""
        return joined(hint, self.hints.get(digest))

    def to_plain(self, *, spans: bool = True) -> dict[str, Any]:
        """The JSON value that `spec/graph.md` describes."""
        return codec.encode_definition(self, spans=spans)

    def to_json(self) -> bytes:
        """The canonical encoding, spans included."""
        return canonical.dumps(self.to_plain())

    @classmethod
    def from_json(cls, data: bytes) -> Definition:
        """Decode and check what another program wrote; raises `GraphError`."""
        from buildkit_py.graph import wire

        return wire.decode(data)

    def chain(self, tip: str, base: str) -> Iterator[Vertex]:
        """The steps from just above `base` up to `tip`, lowest first."""
        steps: list[Vertex] = []
        while tip != base:
            vertex = self.vertices[tip]
            steps.append(vertex)
            tip = vertex.inputs["base"]
        return reversed(steps)
