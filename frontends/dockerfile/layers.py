"""Where layers end: one an instruction as everywhere else, or as the person who builds says.

`stage` makes one layer a stage, `squash` one of everything above the base. A plan is TOML:

    [[layer]]
    name = "dependencies"
    lines = [4, 9]        # a range: the instructions that begin on lines 4 to 9 of the Dockerfile share a layer

What no plan names stays a layer of its own. The history keeps a line for every instruction; all but the last of those
that share a layer say that they made none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import UsageError
from buildkit_py.graph import HistoryLine
from buildkit_py.source import Diagnostic
from frontends.dockerfile import syntax
from frontends.dockerfile.lower.image import Layer

STAGE, SQUASH = "stage", "squash"
_EXAMPLE = 'write [[layer]] with name = "…" and lines = [first, last]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Lines of the Dockerfile whose instructions share a layer."""

    name: str
    first: int
    last: int


def arrange_layers(
    layers: Sequence[Layer], history: Sequence[HistoryLine], choice: str
) -> tuple[list[tuple[str, str]], list[HistoryLine]]:
    """The layers (name, tip) and the history of an image, grouped as `choice` says; raises `UsageError`."""
    groups = _groups(layers, _grouping(choice))
    last = {index for group in groups for index in group[1][-1:]}
    made: list[HistoryLine] = []
    number = 0
    for line in history:
        if not line.empty:
            line = replace(line, empty=number not in last)
            number += 1
        made.append(line)
    return [(name, layers[indexes[-1]].tip) for name, indexes in groups], made


def _groups(layers: Sequence[Layer], key: Callable[[Layer], object] | None) -> list[tuple[str, list[int]]]:
    """Names and indexes of layers that belong together; only neighbours do."""
    groups: list[tuple[str, list[int]]] = []
    before: object = None
    for index, layer in enumerate(layers):
        now = key(layer) if key is not None else None
        if now is not None and now == before and groups:
            groups[-1][1].append(index)
        else:
            name = now.name if isinstance(now, Range) else layer.name
            groups.append((name if not isinstance(now, str) else now, [index]))
        before = now
    return groups


def _grouping(choice: str) -> Callable[[Layer], object] | None:
    if not choice:
        return None
    if choice == STAGE:
        return lambda layer: f"stage {layer.stage}"
    if choice == SQUASH:
        return lambda layer: "squashed"
    ranges = read_plan(choice)
    return lambda layer: next((each for each in ranges if each.first <= layer.span.line <= each.last), None)


def idle_ranges(choice: str, file: syntax.File, layers: Sequence[Layer]) -> Iterator[Diagnostic]:
    """Warnings about ranges of a plan from which the image has no layer; raises `UsageError` where no instruction of
    the file begins in one."""
    ranges = read_plan(choice) if choice not in ("", STAGE, SQUASH) else []
    begun = [each.span.line for stage in file.stages for each in (stage.start, *stage.instructions)]
    for each in ranges:
        if not any(each.first <= line <= each.last for line in begun):
            raise UsageError(
                f"no instruction begins on lines {each.first} to {each.last}, the layer {each.name!r} of the plan",
                hint=f"instructions begin on the lines {begun[0]} to {begun[-1]}; lines = [first, last] is a range",
            )
        if not any(each.first <= layer.span.line <= each.last for layer in layers):
            yield Diagnostic(
                message=f"nothing on lines {each.first} to {each.last}, the layer {each.name!r} of the plan, makes a "
                "layer of this image",
                span=None,
                severity="warning",
                hint="name lines of RUN, COPY, ADD or WORKDIR in stages that the image stands on",
            )


def read_plan(text: str) -> list[Range]:
    """The ranges of a plan; raises `UsageError` that says what is wrong with it."""
    try:
        plan = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the plan of layers is not TOML: {error}", hint=_EXAMPLE) from None
    tables = plan.get("layer")
    if set(plan) != {"layer"} or not isinstance(tables, list) or not tables:
        raise UsageError("the plan of layers names none", hint=_EXAMPLE)
    ranges = sorted((_range(table) for table in tables), key=lambda each: each.first)
    for one, other in pairwise(ranges):
        if other.first <= one.last:
            raise UsageError(f"the layers {one.name!r} and {other.name!r} of the plan overlap", hint=_EXAMPLE)
    return ranges


def _range(table: object) -> Range:
    if not isinstance(table, dict) or set(table) != {"name", "lines"}:
        raise UsageError("a layer of the plan has a name and lines, and nothing else", hint=_EXAMPLE)
    name, lines = table["name"], table["lines"]
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 255:
        raise UsageError(f"not a name of a layer: {name!r}", hint=_EXAMPLE)
    if not isinstance(lines, list) or len(lines) != 2 or not all(type(line) is int for line in lines):
        raise UsageError(f"the layer {name!r} of the plan needs two line numbers", hint=_EXAMPLE)
    first, last = lines
    if not 1 <= first <= last:
        raise UsageError(f"the lines of the layer {name!r} go from {first} to {last}", hint=_EXAMPLE)
    return Range(name=name, first=first, last=last)
