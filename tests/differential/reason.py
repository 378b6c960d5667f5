"""A reasoned case: what a Dockerfile has to give, written down from the reference, and how an image is held against it.

What is written is checked, what is left out is not. Paths and layers are those above the base; what a layer removes is
`GONE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.bases import BASE_HISTORY
from tests.differential.case import Case, Context, unindented
from tests.differential.record import Failure, Outcome, Record
from tests.differential.tree import Tree, changes

GONE = "gone"
COMMENT = "buildkit.dockerfile.v0"
SOURCE, STEP, INPUT, TOOL = 3, 5, 14, 13
"""The exit codes of a Dockerfile that is wrong, a step that failed, a file that is not there."""
_PLACE = re.compile(r"Dockerfile:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What has to come of it.

    `tree` is everything that the final image has beyond its base, or otherwise. `layers` is what each layer changes.
    `history` has lines as `+ RUN …` (a layer) or `- ENV …` (none). `config` holds the named settings; None is unset.
    `fails` is an exit code and a line of the Dockerfile, 0 for any.
    """

    tree: Tree | None = None
    layers: Sequence[Tree] | None = None
    history: Sequence[str] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    fails: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoned:
    """A case and what has to come of it; `since` is the first release of Docker whose BuildKit can do it."""

    case: Case
    expected: Expected
    since: int = 23


def reason(
    name: str, rule: str, text: str, context: Context | None = None, *arguments: str, since: int = 23, **expected: Any
) -> Reasoned:
    """A case in few words."""
    case = Case(
        name=name,
        rule=rule,
        text=unindented(text),
        context=context or {},
        arguments=arguments,
        referees=(),
        fails="fails" in expected,
    )
    return Reasoned(case=case, expected=Expected(**expected), since=since)


def faults(outcome: Outcome, expected: Expected, *, ours: bool = True) -> list[str]:
    """What is otherwise than it has to be; exit codes and places of errors are pybuild's own (`ours`)."""
    if isinstance(outcome, Failure):
        return list(_of_failure(outcome, expected, ours))
    if expected.fails:
        return ["the build works"]
    base = sum(line.text == BASE_HISTORY for line in outcome.history)
    return [*_of_files(outcome, expected, base), *_of_document(outcome, expected, base)]


def _of_failure(outcome: Failure, expected: Expected, ours: bool) -> Iterator[str]:
    if expected.fails is None:
        yield f"the build fails: {outcome.message}"
        return
    code, line = expected.fails
    if not ours:
        return
    if code and not outcome.message.startswith(f"exit code {code}\n"):
        yield f"another exit code than {code}: {outcome.message}"
    place = _PLACE.search(outcome.message)
    if line and (place is None or int(place[1]) != line):
        yield f"another line than {line}: {outcome.message}"


def _of_files(record: Record, expected: Expected, base: int) -> Iterator[str]:
    under = record.trees[base - 1] if base else {}
    if expected.tree is not None:
        yield from _unequal("tree", changes(under, record.tree), expected.tree)
    if expected.layers is not None:
        layers = record.layers[base:]
        if len(layers) != len(expected.layers):
            yield f"{len(layers)} layers instead of {len(expected.layers)}: {layers}"
        for number, (made, wanted) in enumerate(zip(layers, expected.layers, strict=False)):
            yield from _unequal(f"layer {number}", made, wanted)


def _of_document(record: Record, expected: Expected, base: int) -> Iterator[str]:
    lines = record.history[base:]
    if expected.history is not None:
        made = [f"{'-' if line.empty else '+'} {line.text}" for line in lines]
        if made != list(expected.history):
            yield "history:\n" + "\n".join(f"    {line!r}" for line in made)
        if any(line.comment != COMMENT for line in lines):
            yield f"a line without the comment {COMMENT!r}"
    if (layers := sum(not line.empty for line in record.history)) != len(record.layers):
        yield f"the history tells of {layers} layers, and there are {len(record.layers)}"
    for name, wanted in expected.config.items():
        if (value := record.config.get(name)) != wanted:
            yield f"config {name}: {value!r} instead of {wanted!r}"


def _unequal(what: str, made: Tree, wanted: Tree) -> Iterator[str]:
    for path in sorted(made.keys() | wanted.keys()):
        if made.get(path) != wanted.get(path):
            yield f"{what} {path}: {made.get(path, 'nothing')} instead of {wanted.get(path, 'nothing')}"
