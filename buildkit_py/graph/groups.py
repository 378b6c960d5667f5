"""A definition as people think of it: stages and images, each with its steps in order.

    Card "stage 1"                     Card "image web (linux/amd64)"
    ├── Row from docker.io/…           ├── Row from scratch
    ├── Row copy ./src → /src          ├── Section layer "deps"
    └── Row run make            ◀──────┤   └── Row copy /out → /opt, needs ("from", stage 1)
                                       └── Section test, outputs

An image shows all steps that it consists of, also those it shares with another image. A stage is a run of steps that
only other steps use; the graph does not keep the names that a build file gave to stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.graph.given import granted
from buildkit_py.graph.op import SOURCES, ImageSource, LocalSource
from buildkit_py.graph.title import clip, printable_line, title

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition, ImageTarget, TestItem, Vertex

_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An input other than the base: by which role, from where (`label`), and the vertex if it is a step."""

    role: str
    label: str
    vertex: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a card. `kind` is the op's type, `test` or `output`; `vertex` is None where it is not a vertex.
    `grants` are what the step may use, its mounts with where they come from."""

    kind: str
    text: str
    vertex: str | None = None
    needs: tuple[Need, ...] = ()
    grants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows that belong together under a heading; the heading of a stage's only section is empty."""

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A stage or an image. `name` is unique in the definition."""

    name: str
    kind: str
    sections: tuple[Section, ...]

    def rows(self) -> Iterator[Row]:
        """All rows, top to bottom."""
        for section in self.sections:
            yield from section.rows


def cards_of(definition: Definition) -> list[Card]:
    """Stages first, in the order of their first steps, then images as declared."""
    grouping = _Grouping(definition)
    stages = [grouping.stage(number) for number in range(len(grouping.stages))]
    return [*stages, *(grouping.image(target) for target in definition.targets)]


def with_grants(row: Row) -> str:
    """What the step of a row may use, as one line; empty where that is nothing beyond its tree."""
    return f"with {', '.join(row.grants)}" if row.grants else ""


def image_name(target: ImageTarget) -> str:
    """What the card of a target is called."""
    return f"image {clip(target.name, _NAME)} ({target.platform})"


@dataclass(slots=True)
class _Grouping:
    """Knows for each step the card that it is first shown in."""

    definition: Definition
    stages: list[list[str]] = field(default_factory=list)
    home: dict[str, str] = field(default_factory=dict)

    _native: str = ""

    def __post_init__(self) -> None:
        platforms = {target.platform for target in self.definition.targets}
        # A drawing must not depend on the machine: a step says its platform only where the build has several.
        self._native = platforms.pop() if len(platforms) == 1 else ""
        for target in self.definition.targets:
            for digest in _steps_of(self.definition, target):
                self.home.setdefault(digest, image_name(target))
        tips: dict[str, list[str]] = {}
        for digest, vertex in self.definition.vertices.items():
            if digest in self.home or isinstance(vertex.op, SOURCES):
                continue
            stage = tips.pop(vertex.inputs["base"], None)
            if stage is None:
                stage = []
                self.stages.append(stage)
            stage.append(digest)
            tips[digest] = stage
        for number, stage in enumerate(self.stages, start=1):
            self.home.update(dict.fromkeys(stage, f"stage {number}"))

    def stage(self, number: int) -> Card:
        steps = self.stages[number]
        base = self.definition.vertices[steps[0]].inputs["base"]
        rows = (self._base(base, self._native), *(self._row(step, self._native) for step in steps))
        return Card(name=f"stage {number + 1}", kind="stage", sections=(Section(heading="", rows=rows),))

    def image(self, target: ImageTarget) -> Card:
        sections = [Section(heading="", rows=(self._base(target.base, target.platform),))]
        lower = target.base
        for layer in target.layers:
            steps = tuple(self._row(step.digest, target.platform) for step in self.definition.chain(layer.tip, lower))
            sections.append(Section(heading=f"layer {clip(layer.name, _NAME)}", rows=steps))
            lower = layer.tip
        for test in target.tests:
            rows = tuple(self._check(item, target.platform) for item in test.items)
            sections.append(Section(heading=f"test {clip(test.name, _NAME)}", rows=rows))
        if target.outputs:
            outputs = tuple(Row(kind="output", text=clip(f"{each.kind} {each.value}", 100)) for each in target.outputs)
            sections.append(Section(heading="outputs", rows=outputs))
        return Card(name=image_name(target), kind="image", sections=tuple(sections))

    def _base(self, digest: str, native: str) -> Row:
        vertex = self.definition.vertices[digest]
        if isinstance(vertex.op, SOURCES):
            return Row(kind=vertex.op.type, text=title(vertex.op, native=native), vertex=digest)
        home = self.home[digest]
        return Row(kind="stage", text=f"from {home}", needs=(Need(role="base", label=home, vertex=digest),))

    def _row(self, digest: str, native: str) -> Row:
        vertex = self.definition.vertices[digest]
        source = vertex.inputs.get("from")
        text = title(vertex.op, native=native, origin=self.definition.vertices[source].op if source else None)
        needs = tuple(self._needs(vertex))
        grants = granted(vertex.op, {need.role: need.label for need in needs})
        return Row(kind=vertex.op.type, text=text, vertex=digest, needs=needs, grants=grants)

    def _needs(self, vertex: Vertex) -> Iterator[Need]:
        for role, digest in vertex.inputs.items():
            op = self.definition.vertices[digest].op
            if role == "base":
                continue
            if not isinstance(op, SOURCES):
                yield Need(role=role, label=self.home[digest], vertex=digest)
            elif isinstance(op, LocalSource):
                yield Need(role=role, label=op.name, vertex=None)
            else:
                name = op.ref if isinstance(op, ImageSource) else title(op, native="")
                yield Need(role=role, label=printable_line(name), vertex=None)

    def _check(self, item: TestItem, native: str) -> Row:
        if item.vertex is not None:
            return replace(self._row(item.vertex, native), kind="test")
        words = filter(None, (item.kind, item.path, item.expected))
        return Row(kind="test", text=clip(" ".join(words), 100))


def _steps_of(definition: Definition, target: ImageTarget) -> Iterator[str]:
    for vertex in definition.chain(target.tip, target.base):
        yield vertex.digest
    for test in target.tests:
        for item in test.items:
            if item.vertex is not None:
                yield item.vertex
