"""Where the parts of a definition were written, as a whole."""

from __future__ import annotations

from collections.abc import Callable

from buildkit_py.dataclass import replace
from buildkit_py.graph.definition import Definition, HistoryLine, ImageTarget, Output, Test, TestItem
from buildkit_py.source import Span, renamed, renamed_span


def relocated(definition: Definition, name: Callable[[str], str]) -> Definition:
    """The same build with every file of its spans called as `name` says."""

    def moved(span: Span | None) -> Span | None:
        return renamed_span(span, name) if span is not None else None

    def item(each: TestItem) -> TestItem:
        return replace(each, span=moved(each.span))

    def test(each: Test) -> Test:
        return replace(each, items=tuple(map(item, each.items)), span=moved(each.span))

    def output(each: Output) -> Output:
        return replace(each, span=moved(each.span))

    def line(each: HistoryLine) -> HistoryLine:
        return replace(each, span=moved(each.span))

    def target(each: ImageTarget) -> ImageTarget:
        return replace(
            each,
            tests=tuple(map(test, each.tests)),
            outputs=tuple(map(output, each.outputs)),
            history=tuple(map(line, each.history)),
            span=moved(each.span),
        )

    return replace(
        definition,
        targets=tuple(map(target, definition.targets)),
        spans={digest: renamed_span(span, name) for digest, span in definition.spans.items()},
        warnings=tuple(renamed(each, name) for each in definition.warnings),
    )
