"""Building a graph in Python.

graph = GraphBuilder()
base = graph.add(Scratch())
greeting = graph.add(Write(path="/hello", text="hi\\n"), base=base)
graph.target("hello", base=base, layers=[("files", greeting)])
definition = graph.build()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import GraphError
from buildkit_py.graph.definition import Definition, HistoryLine, ImageTarget, LayerPlan, Output, Test, Vertex
from buildkit_py.graph.op import Op
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic, Span


@dataclass(slots=True)
class GraphBuilder:
    """Collects vertices and targets; equal vertices are one."""

    _vertices: dict[str, Vertex] = field(default_factory=dict)
    _targets: list[ImageTarget] = field(default_factory=list)
    _spans: dict[str, Span] = field(default_factory=dict)
    _secrets: dict[str, str] = field(default_factory=dict)
    _fresh: dict[str, None] = field(default_factory=dict)
    _warnings: list[Diagnostic] = field(default_factory=list)
    _hints: dict[str, str] = field(default_factory=dict)

    def add(self, op: Op, *, span: Span | None = None, inputs: Mapping[str, str] | None = None, **roles: str) -> str:
        """Add a vertex and return its digest. Inputs are digests by role: `base=…`, or `inputs={"from": …}`.

        Raises `GraphError` for text that can't be written, and where an input is not in the graph yet, so a graph
        can't have a cycle.
        """
        named = {**(inputs or {}), **roles}
        for role, digest in named.items():
            if digest not in self._vertices:
                raise GraphError(f"input {role!r} names a vertex that is not in the graph: {digest}", span=span)
        try:
            vertex = Vertex.of(op, named)
        except GraphError as error:
            raise GraphError(error.message, hint=error.hint, span=span) from None
        self._vertices.setdefault(vertex.digest, vertex)
        if span is not None:
            self._spans.setdefault(vertex.digest, span)
        return vertex.digest

    def secret(self, name: str, text: str = "") -> None:
        """Declare a secret that steps may mount, with a sentence for the person who must give it."""
        self._secrets[name] = text

    def fresh(self, digest: str) -> None:
        """Have a vertex run although its result is known."""
        self._fresh[digest] = None

    def warn(self, warning: Diagnostic) -> None:
        """Tell the person who builds something that does not stop the build."""
        self._warnings.append(warning)

    def hint(self, digest: str, text: str) -> None:
        """Have the person who builds told something about a vertex if it fails."""
        self._hints.setdefault(digest, text)

    def target(
        self,
        name: str,
        *,
        base: str,
        layers: Iterable[tuple[str, str]] = (),
        platform: Platform | None = None,
        config: ImageConfig | None = None,
        annotations: Mapping[str, str] | None = None,
        tests: Sequence[Test] = (),
        outputs: Sequence[Output] = (),
        history: Sequence[HistoryLine] = (),
        span: Span | None = None,
    ) -> None:
        """Declare an image: `layers` are (name, tip vertex), lowest first, each above the one before."""
        self._targets.append(
            ImageTarget(
                name=name,
                platform=str(platform or Platform.host()),
                base=base,
                layers=tuple(LayerPlan(name=layer, tip=tip) for layer, tip in layers),
                config=config or ImageConfig(),
                annotations=annotations or {},
                tests=tuple(tests),
                outputs=tuple(outputs),
                history=tuple(history),
                span=span,
            )
        )

    def build(self) -> Definition:
        """The finished definition, checked; vertices that nothing needs are left out."""
        from buildkit_py.graph.check import check, reachable

        wanted = reachable(self._vertices, self._targets)
        definition = Definition(
            vertices={digest: vertex for digest, vertex in self._vertices.items() if digest in wanted},
            targets=tuple(self._targets),
            secrets=dict(self._secrets),
            spans={digest: span for digest, span in self._spans.items() if digest in wanted},
            fresh=tuple(digest for digest in self._fresh if digest in wanted),
            warnings=tuple(self._warnings),
            hints={digest: text for digest, text in self._hints.items() if digest in wanted},
        )
        check(definition)
        return definition
