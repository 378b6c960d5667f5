"""Between typed values and plain JSON values.

Encoding leaves out fields at their defaults. Decoding here trusts its input (what this program wrote); what comes
from outside goes through `wire`, which checks everything first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import MISSING, Field, fields, is_dataclass
from buildkit_py.graph.op import MOUNT_KINDS, OPS, Op, Tool
from buildkit_py.source import Diagnostic, Span

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition

_TAGS = ("type", "kind")
_ALWAYS = object()
"""The default of what is never left out."""
_PLAIN = frozenset({str, int, bool, type(None)})


@cache
def _fields(cls: type[Any]) -> tuple[tuple[str, object], ...]:
    return tuple((item.name, _default(item)) for item in fields(cls))


def _default(item: Field[Any]) -> object:
    if item.name in _TAGS:
        return _ALWAYS
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def encode(value: Any) -> Any:
    """A dataclass, tuple or mapping as a plain JSON value."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple or kind is list:
        return [item if type(item) in _PLAIN else encode(item) for item in value]
    if is_dataclass(kind):
        items = ((name, getattr(value, name), default) for name, default in _fields(kind))
        return {name: encode(item) for name, item, default in items if item != default}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    return value


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value


def decode_op(plain: Mapping[str, Any]) -> Op:
    """An op from trusted JSON."""
    values = {name: _tuple(value) for name, value in plain.items()}
    if "mounts" in values:
        values["mounts"] = tuple(
            MOUNT_KINDS[mount["kind"]](**{name: _tuple(value) for name, value in mount.items()})
            for mount in values["mounts"]
        )
    if "tools" in values:
        values["tools"] = tuple(Tool(**tool) for tool in values["tools"])
    return OPS[plain["type"]](**values)


def encode_span(span: Span) -> list[Any]:
    """A span as `[file, line, column, end line, end column]`."""
    return [span.file, span.line, span.column, span.end_line, span.end_column]


def encode_definition(definition: Definition, *, spans: bool) -> dict[str, Any]:
    """The whole definition; see `spec/graph.md`."""
    from buildkit_py.graph.definition import VERSION

    plain: dict[str, Any] = {
        "version": VERSION,
        "vertices": [
            {"digest": vertex.digest, "op": encode(vertex.op), "inputs": dict(vertex.inputs)}
            for vertex in definition.vertices.values()
        ],
        "targets": [_without_spans(encode(target)) for target in definition.targets],
    }
    if definition.secrets:
        plain["secrets"] = dict(definition.secrets)
    if definition.fresh:
        plain["fresh"] = list(definition.fresh)
    if definition.warnings:
        plain["warnings"] = [_encode_warning(item) for item in definition.warnings]
    if definition.hints:
        plain["hints"] = dict(definition.hints)
    if spans:
        plain["spans"] = {
            **{digest: encode_span(span) for digest, span in definition.spans.items()},
            **_nested_spans(definition),
        }
    return plain


def _encode_warning(item: Diagnostic) -> dict[str, Any]:
    plain: dict[str, Any] = {"message": item.message, "severity": item.severity}
    texts = {"label": item.label, "hint": item.hint, "rule": item.rule}
    plain.update((name, text) for name, text in texts.items() if text is not None)
    if item.span:
        plain["span"] = encode_span(item.span)
    if item.notes:
        plain["notes"] = [[text, encode_span(span)] for text, span in item.notes]
    return plain


def decode_warning(plain: Mapping[str, Any]) -> Diagnostic:
    """A warning from trusted JSON."""
    span = plain.get("span")
    notes = tuple((text, Span(*place)) for text, place in plain.get("notes", ()))
    return Diagnostic(**{**plain, "span": Span(*span) if span else None, "notes": notes})


def _without_spans(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _without_spans(value) for key, value in plain.items() if key != "span"}
    if isinstance(plain, list):
        return [_without_spans(item) for item in plain]
    return plain


def _nested_spans(definition: Definition) -> dict[str, list[Any]]:
    """Spans of targets, tests, items, outputs and lines of history, under JSON pointers into the definition."""
    found: dict[str, list[Any]] = {}

    def note(pointer: str, span: Span | None) -> None:
        if span is not None:
            found[pointer] = encode_span(span)

    for number, target in enumerate(definition.targets):
        here = f"/targets/{number}"
        note(here, target.span)
        for index, output in enumerate(target.outputs):
            note(f"{here}/outputs/{index}", output.span)
        for index, line in enumerate(target.history):
            note(f"{here}/history/{index}", line.span)
        for index, test in enumerate(target.tests):
            note(f"{here}/tests/{index}", test.span)
            for position, item in enumerate(test.items):
                note(f"{here}/tests/{index}/items/{position}", item.span)
    return found


def decode_definition(plain: Mapping[str, Any]) -> Definition:
    """A definition from trusted JSON."""
    from buildkit_py.graph.definition import (
        Definition,
        HistoryLine,
        ImageTarget,
        LayerPlan,
        Output,
        Test,
        TestItem,
        Vertex,
    )
    from buildkit_py.graph.resolver import ImageConfig

    spans = {key: Span(*value) for key, value in plain.get("spans", {}).items()}

    def test(here: str, value: Mapping[str, Any]) -> Test:
        items = tuple(
            TestItem(**item, span=spans.get(f"{here}/items/{position}")) for position, item in enumerate(value["items"])
        )
        return Test(name=value["name"], items=items, span=spans.get(here))

    def target(number: int, value: Mapping[str, Any]) -> ImageTarget:
        here = f"/targets/{number}"
        config = {name: _tuple(item) for name, item in value.get("config", {}).items()}
        return ImageTarget(
            name=value["name"],
            platform=value["platform"],
            base=value["base"],
            layers=tuple(LayerPlan(**layer) for layer in value.get("layers", ())),
            config=ImageConfig(**config),
            annotations=value.get("annotations", {}),
            tests=tuple(test(f"{here}/tests/{index}", item) for index, item in enumerate(value.get("tests", ()))),
            outputs=tuple(
                Output(**item, span=spans.get(f"{here}/outputs/{index}"))
                for index, item in enumerate(value.get("outputs", ()))
            ),
            history=tuple(
                HistoryLine(**line, span=spans.get(f"{here}/history/{index}"))
                for index, line in enumerate(value.get("history", ()))
            ),
            span=spans.get(here),
        )

    return Definition(
        vertices={
            item["digest"]: Vertex(op=decode_op(item["op"]), inputs=item["inputs"], digest=item["digest"])
            for item in plain["vertices"]
        },
        targets=tuple(target(number, value) for number, value in enumerate(plain["targets"])),
        secrets=plain.get("secrets", {}),
        spans={key: span for key, span in spans.items() if not key.startswith("/")},
        fresh=tuple(plain.get("fresh", ())),
        warnings=tuple(map(decode_warning, plain.get("warnings", ()))),
        hints=plain.get("hints", {}),
    )
