"""A graph for people: `tree` (text), `dot` (for Graphviz) and `svg` (a drawing). Equal definitions give equal text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from buildkit_py.graph.drawing import svg
from buildkit_py.graph.groups import Card, Row, Section, cards_of, with_grants

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition

__all__ = ["dot", "svg", "tree"]

_TITLE = 100
_Item = TypeVar("_Item")
COLOURS = {"run": "#c2410c", "host": "#7c3aed", "test": "#15803d", "output": "#0f766e", "stage": "#64748b"}


def tree(definition: Definition) -> str:
    """Stages and images, each with its steps in order, as text with lines. Ends with a line end."""
    blocks = ["\n".join(_tree_card(card)) + "\n" for card in cards_of(definition)]
    return "\n".join(blocks) if blocks else "nothing to build\n"


def _tree_card(card: Card) -> Iterator[str]:
    yield card.name
    # Rows without a heading stand beside the sections that have one.
    items: list[Row | Section] = []
    for section in card.sections:
        items += [section] if section.heading else section.rows
    for item, branch, trunk in _branches(items):
        if isinstance(item, Row):
            yield from _lines(item, branch, trunk)
            continue
        yield f"{branch}{item.heading}"
        for row, twig, below in _branches(item.rows):
            yield from _lines(row, trunk + twig, trunk + below)


def _branches(items: Iterable[_Item]) -> Iterator[tuple[_Item, str, str]]:
    listed = list(items)
    for number, item in enumerate(listed, start=1):
        last = number == len(listed)
        yield item, "└─ " if last else "├─ ", "   " if last else "│  "


def _lines(row: Row, first: str, second: str) -> Iterator[str]:
    # Other roles than this one are those of mounts and tools, which the grants name with where they come from.
    notes = [need.label for need in row.needs if need.role == "from"]
    yield f"{first}{row.text}  ← {', '.join(notes)}" if notes else f"{first}{row.text}"
    if row.grants:
        yield f"{second}    {with_grants(row)}"


def dot(definition: Definition) -> str:
    """The graph in Graphviz's language: a cluster for each stage and image, a node for each vertex."""
    lines = [
        "digraph build {",
        '  rankdir="LR"; compound=true;',
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="monospace", fontsize=10];',
        '  edge [color="#64748b", fontname="sans-serif", fontsize=9];',
    ]
    placed: set[str] = set()
    for number, card in enumerate(cards_of(definition)):
        rows = [row for row in card.rows() if row.vertex is not None and row.vertex not in placed]
        placed.update(row.vertex for row in rows if row.vertex is not None)
        lines.append(f'  subgraph cluster_{number} {{ label={_quoted(card.name)}; style=rounded; color="#94a3b8";')
        lines += [
            f"    {_dot_node(row.vertex, row.text, row.kind, with_grants(row))}"
            for row in rows
            if row.vertex is not None
        ]
        lines.append("  }")
    lines += [f"  {line}" for line in _dot_rest(definition, placed)]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_rest(definition: Definition, placed: set[str]) -> Iterator[str]:
    from buildkit_py.graph.title import title

    for digest, vertex in definition.vertices.items():
        if digest not in placed:
            yield _dot_node(digest, title(vertex.op, native=""), vertex.op.type)
        for role, source in vertex.inputs.items():
            look = "" if role == "base" else f" [style=dashed, label={_quoted(role)}]"
            yield f"{_quoted(_short(source))} -> {_quoted(_short(digest))}{look};"


def _dot_node(digest: str, text: str, kind: str, below: str = "") -> str:
    from buildkit_py.graph.title import clip

    colour = COLOURS.get(kind, "#1d4ed8")
    label = "\\n".join(_escaped(line) for line in (clip(text, _TITLE), below) if line)
    return f'{_quoted(_short(digest))} [label="{label}", color={_quoted(colour)}];'


def _short(digest: str) -> str:
    return digest.partition(":")[2][:16]


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
