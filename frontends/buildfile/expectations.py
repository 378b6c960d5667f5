"""`test` blocks to the graph's tests: programs on the finished tree, and expectations of single paths."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.errors import SourceError
from buildkit_py.graph import Test, TestItem
from frontends.buildfile import syntax, values
from frontends.buildfile.evaluate import Evaluator
from frontends.buildfile.expand import Action, expand_test
from frontends.buildfile.programs import lower_program
from frontends.buildfile.state import State

_CHECKS = {"owner": values.owner, "mode": values.octal, "text": values.filled}


def lower_tests(state: State) -> tuple[Test, ...]:
    """The tests of a finished state; faults go to its diagnostics."""
    made = []
    for action in state.tests:
        node = action.node
        assert isinstance(node, syntax.Test)
        try:
            name = action.scope.evaluator().word(node.name, values.filled)
            items = [item for inner in expand_test(action) for item in _items(state, inner)]
            made.append(Test(name=name, items=tuple(items), span=node.span))
        except SourceError as error:
            state.lowering.diagnostics += error.diagnostics
    return tuple(made)


def _items(state: State, action: Action) -> Iterator[TestItem]:
    node = action.node
    evaluator = action.scope.evaluator(state.environment)
    if isinstance(node, syntax.Exec):
        op, inputs = lower_program(state, action, state.config.workdir or "/")
        vertex = state.lowering.graph.add(op, span=node.span, inputs={"base": state.tip, **inputs})
        yield TestItem(kind="run", vertex=vertex, span=node.span)
    elif isinstance(node, syntax.Command):
        yield from _expectations(node, evaluator)


def _expectations(node: syntax.Command, evaluator: Evaluator) -> Iterator[TestItem]:
    word = node.keyword.text
    if word in _CHECKS:
        path, expected = node.operands
        yield TestItem(
            kind=word,  # type: ignore[arg-type]
            path=evaluator.word(path, values.path),
            expected=evaluator.word(expected, _CHECKS[word]),
            span=node.span,
        )
        return
    for operand in node.operands:
        path_text = evaluator.word(operand, values.path)
        yield TestItem(kind=word, path=path_text, span=node.span)  # type: ignore[arg-type]
        for option in node.options:
            name = option.name.text
            expected_text = evaluator.word(option.values[0], _CHECKS[name])
            yield TestItem(kind=name, path=path_text, expected=expected_text, span=node.span)  # type: ignore[arg-type]
