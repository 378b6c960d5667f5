"""Whether a target makes sense: its configuration, its tests and its outputs. Every fault is a `GraphError`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from buildkit_py.errors import GraphError
from buildkit_py.graph import values
from buildkit_py.graph.codec import encode
from buildkit_py.graph.op import ImageSource, Scratch

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition, ImageTarget, Output, Test, TestItem
    from buildkit_py.graph.resolver import ImageConfig

_PORT = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/[a-z]{1,16})?\Z")
_HEALTH_TIMES = ("interval", "timeout", "start_period", "start_interval", "retries")
_HEALTH_TESTS = ("CMD", "CMD-SHELL", "NONE")


def roots(target: ImageTarget) -> list[str]:
    """The vertices that a target names itself."""
    runs = [item.vertex for test in target.tests for item in test.items if item.vertex is not None]
    return [target.base, *(layer.tip for layer in target.layers), *runs]


def check_target(definition: Definition, target: ImageTarget) -> None:
    """Raise `GraphError` for the first fault of a target, with where the faulty part was written."""
    with values.written_at(target.span):
        _check_names(target)
        _check_layers(definition, target)
        _check_history(target)
        _check_config(target.config)
        for test in target.tests:
            for item in test.items:
                with values.written_at(item.span):
                    _check_item(definition, target, test, item)
        for output in target.outputs:
            with values.written_at(output.span):
                _check_output(output)


def _check_names(target: ImageTarget) -> None:
    values.texts(encode(target))
    values.line(target.name, "the name of an image")
    values.platform(target.platform)
    for name in target.annotations:
        values.line(name, "the name of an annotation")


def _check_layers(definition: Definition, target: ImageTarget) -> None:
    for digest in roots(target):
        if digest not in definition.vertices:
            raise GraphError(f"image {target.name!r} names a vertex that is not there: {digest[:80]!r}")
    if not isinstance(definition.vertices[target.base].op, Scratch | ImageSource):
        raise GraphError(f"the base of image {target.name!r} is neither an image nor scratch")
    lower = target.base
    for layer in target.layers:
        tip = layer.tip
        while tip != lower:
            below = definition.vertices[tip].inputs.get("base")
            if below is None:
                raise GraphError(f"the layers of image {target.name!r} do not stand on each other")
            tip = below
        lower = layer.tip


def _check_history(target: ImageTarget) -> None:
    values.texts([line.text for line in target.history])
    lines = sum(not line.empty for line in target.history)
    if target.history and lines != len(target.layers):
        raise GraphError(
            f"the history of image {target.name!r} tells of {lines} layers, but it has {len(target.layers)}"
        )


def _check_config(config: ImageConfig) -> None:
    for name, _ in config.env:
        values.variable(name)
    values.user(config.user)
    for port in config.expose:
        if not _PORT.match(port):
            raise GraphError(f"not a port: {port!r}", hint="write a number and perhaps a protocol, as 8080 or 53/udp")
    for place in config.volumes:
        values.components(place)
    values.number(config.stop_timeout, "a time in seconds", least=-1)
    _check_health(config.healthcheck or {})


def _check_health(check: Mapping[str, object]) -> None:
    for name, value in check.items():
        if name in _HEALTH_TIMES:
            values.number(value, f"the {name} of a healthcheck")
        elif name != "test":
            raise GraphError(f"a healthcheck has no {name!r}", hint=f"it has test, {', '.join(_HEALTH_TIMES)}")
        elif not _is_command(value):
            raise GraphError(
                f"the test of a healthcheck is a list of words that begins with {', '.join(_HEALTH_TESTS)}"
            )


def _is_command(value: object) -> bool:
    words = value if isinstance(value, list | tuple) else ()
    return bool(words) and all(isinstance(word, str) for word in words) and words[0] in _HEALTH_TESTS


def _check_item(definition: Definition, target: ImageTarget, test: Test, item: TestItem) -> None:
    if item.kind == "run":
        if item.vertex is None or definition.vertices[item.vertex].inputs.get("base") != target.tip:
            raise GraphError(f"test {test.name!r} does not run on the image {target.name!r}")
        return
    if item.vertex is not None or item.path is None:
        raise GraphError(f"test {test.name!r}: a {item.kind!r} item needs a path, and runs nothing")
    values.path(item.path)
    if item.kind in ("owner", "mode", "text"):
        if item.expected is None:
            raise GraphError(f"test {test.name!r}: a {item.kind!r} item needs what is expected")
        _EXPECTED[item.kind](item.expected)


_EXPECTED: Mapping[str, Callable[[str], None]] = {
    "owner": values.check_owner,
    "mode": values.octal,
    "text": lambda text: None,
}


def _check_output(output: Output) -> None:
    if output.kind == "store":
        values.stored(output.value)
    else:
        # Where a build may write or push is for the engine to say; here it only has to be a place.
        values.components(output.value)
