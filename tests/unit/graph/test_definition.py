"""The encoding of a definition: canonical, versioned, checked on the way in."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import GraphError
from buildkit_py.graph import (
    BindMount,
    CacheMount,
    Copy,
    Definition,
    GraphBuilder,
    HistoryLine,
    Host,
    ImageConfig,
    ImageSource,
    LocalSource,
    Merge,
    Output,
    Run,
    Scratch,
    SecretMount,
    Symlink,
    Test,
    TestItem,
    Tool,
    Write,
)
from buildkit_py.graph.pin import pin
from buildkit_py.graph.resolver import ResolvedImage, StaticResolver
from buildkit_py.graph.spans import relocated
from buildkit_py.graph.wire import schema
from buildkit_py.source import Diagnostic, Span

SPEC = Path(__file__).parents[3] / "spec"


def sample() -> Definition:
    graph = GraphBuilder()
    span = Span("Buildfile", 3, 1, 3, 9)
    base = graph.add(Scratch())
    context = graph.add(LocalSource(hidden=("Buildfile",)))
    python = graph.add(ImageSource(ref="docker.io/library/python:3.12", platform="linux/amd64"))
    files = graph.add(
        Copy(sources=("/src/",), dest="/app/", mode="auto", owner="0:0"),
        span=span,
        inputs={"base": base, "from": context},
    )
    more = graph.add(
        Copy(
            sources=("/a/./b*",),
            dest="/",
            contents="always",
            mode="0644",
            directory_mode="0755",
            made="alike",
            optional=True,
            parents=True,
            unpack=True,
        ),
        inputs={"base": files, "from": graph.add(LocalSource(name="other", special=True))},
    )
    merged = graph.add(Merge(), inputs={"base": more, "from": python})
    run = graph.add(
        Run(
            args=("/bin/sh", "-c", "true"),
            env=(("PATH", "/bin"),),
            network="host",
            mounts=(
                BindMount(target="/py", input="m0"),
                CacheMount(target="/c", id="pip", input="m1", source="/x"),
                SecretMount(id="token", env="TOKEN"),
            ),
            hostname="host",
            hosts=(("db", "10.0.0.1"), ("v6", "::1")),
            limits=(("nofile", 1024, 4096), ("core", 0, -1)),
            set_id=True,
            proxy=True,
            security="insecure",
            xattrs="capabilities",
        ),
        inputs={"base": merged, "m0": python, "m1": python},
    )
    graph.fresh(run)
    graph.warn(Diagnostic(message="beware", span=span, severity="warning", hint="do not", notes=(("here", span),)))
    graph.warn(Diagnostic(message="note", span=None, severity="note", rule="X", label="l"))
    host = graph.add(Host(args=("tool",), tools=(Tool(name="tool", package="pkg"),)), base=run)
    check = graph.add(Run(args=("true",)), base=host)
    graph.secret("token", "a token")
    graph.hint(run, "about it")
    graph.target(
        "web",
        base=base,
        layers=[("files", files), ("rest", host)],
        tests=[
            Test(
                name="t",
                items=(
                    TestItem(kind="run", vertex=check),
                    TestItem(kind="mode", path="/x", expected="0644", span=span),
                ),
            )
        ],
        outputs=[Output(kind="archive", value="out.tar", span=span)],
        history=[
            HistoryLine(text="ENV x", empty=True),
            HistoryLine(text="COPY", comment="c"),
            HistoryLine(text="RUN"),
        ],
        config=ImageConfig(shell=("sh",), on_build=("RUN x",), stop_timeout=3, args_escaped=True, author="me"),
        span=span,
    )
    return graph.build()


def test_a_definition_survives_the_round_trip_with_its_spans() -> None:
    definition = sample()
    again = Definition.from_json(definition.to_json())
    assert again == definition
    assert again.to_json() == definition.to_json()
    assert again.targets[0].outputs[0].span == Span("Buildfile", 3, 1, 3, 9)


def test_spans_are_outside_every_digest() -> None:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    top = graph.add(Write(path="/a", text="x"), base=base, span=Span("other", 9, 9, 9, 10))
    bare = GraphBuilder()
    same = bare.add(Write(path="/a", text="x"), base=bare.add(Scratch()))
    assert top == same
    graph.target("i", base=base, layers=[("l", top)])
    bare.target("i", base=base, layers=[("l", top)])
    assert graph.build().digest == bare.build().digest


def test_what_runs_again_and_what_is_said_is_outside_the_digest() -> None:
    definition = sample()
    assert definition.fresh and definition.warnings
    assert replace(definition, fresh=(), warnings=()).digest == definition.digest


def test_pinning_and_moving_carry_everything_along() -> None:
    definition = sample()
    image = ResolvedImage(digest="sha256:" + "0" * 64, config=ImageConfig())
    pinned = pin(definition, StaticResolver(images={"docker.io/library/python:3.12": image}))
    (fresh,) = pinned.fresh
    assert isinstance(pinned.vertices[fresh].op, Run) and fresh not in definition.fresh
    assert list(pinned.hints.values()) == list(definition.hints.values()) == ["about it"]
    assert pinned.warnings == definition.warnings and pinned.targets[0].history == definition.targets[0].history
    moved = relocated(definition, lambda name: f"x/{name}").warnings[0]
    assert moved.span is not None and moved.span.file == moved.notes[0][1].file == "x/Buildfile"


def test_a_field_at_its_default_is_not_encoded() -> None:
    assert b'"missing_ok"' not in sample().to_json()


def test_the_schema_in_the_specification_is_the_one_of_the_code_and_takes_the_sample() -> None:
    written = json.loads((SPEC / "graph.schema.json").read_text())
    assert written == schema()
    jsonschema.validate(json.loads(sample().to_json()), written)


def test_vertices_that_nothing_needs_are_left_out() -> None:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    graph.add(Write(path="/unused", text=""), base=base)
    graph.target("i", base=base)
    assert list(graph.build().vertices) == [base]


def test_an_input_must_be_there_before_what_uses_it() -> None:
    with pytest.raises(GraphError, match="not in the graph"):
        GraphBuilder().add(Write(path="/a", text=""), base="sha256:" + "0" * 64)


def broken(change: Any) -> bytes:
    plain = json.loads(sample().to_json())
    change(plain)
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "version"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["vertices"][0]["op"].update(type="format-disk"), "malformed"),
        (lambda d: d["vertices"][0].update(digest="sha256:" + "0" * 64), "calls itself|names"),
        (lambda d: d["vertices"].reverse(), "does not stand before"),
        (lambda d: d["vertices"].append(d["vertices"][0]), "twice"),
        (lambda d: d["targets"][0].update(base="sha256:" + "0" * 64), "not there"),
        (lambda d: d["targets"][0]["layers"].reverse(), "do not stand on each other"),
        (lambda d: d["targets"][0].update(platform="../x"), "platform"),
        (lambda d: d["vertices"][0]["inputs"].update(base="x"), "malformed"),
        (lambda d: d.update(vertices=[]), "not there"),
        (lambda d: d.update(fresh=["sha256:" + "0" * 64]), "run again is not there"),
        (lambda d: d.update(fresh=["x"]), "malformed at fresh/0"),
        (lambda d: d["warnings"][0].update(severity="loud"), "malformed at warnings/0/severity"),
        (lambda d: d["warnings"][0].update(span=["f", 1, 2, 3]), "malformed at warnings/0/span"),
        (lambda d: d["warnings"][0].update(extra=1), "malformed at warnings/0/extra"),
        (lambda d: d["targets"][0]["history"].pop(), "tells of 1 layers, but it has 2"),
        (lambda d: d["targets"][0]["history"][0].update(text="\0"), "NUL"),
        (lambda d: d["targets"][0]["config"].update(stop_timeout="3"), "malformed"),
    ],
)
def test_a_malformed_graph_is_refused_with_a_typed_error(change: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Definition.from_json(broken(change))


@pytest.mark.parametrize(
    "op",
    [
        Write(path="relative", text=""),
        Write(path="/a", text="", mode="9999"),
        Write(path="/a", text="", owner="root;rm"),
        Write(path="/a", text="", owner="4294967295"),
        Run(args=()),
        Run(args=("x",), capabilities=("EVERYTHING",)),
        Run(args=("x",), env=(("A=B", "c"),)),
        Run(args=("x",), mounts=(CacheMount(target="/c", id=""),)),
        Run(args=("x",), mounts=(BindMount(target="/c", input="nowhere"),)),
    ],
)
def test_an_op_that_makes_no_sense_is_refused(op: Any) -> None:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    graph.target("i", base=base, layers=[("l", graph.add(op, base=base))])
    with pytest.raises(GraphError):
        graph.build()


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\udcff"])
def test_text_that_cannot_be_written_is_refused_where_it_stands(text: str) -> None:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    span = Span("f", 1, 2, 3, 4)
    with pytest.raises(GraphError, match=r"a text can't hold|not Unicode text") as caught:
        graph.add(Symlink(path="/l", target=text), span=span, base=base)
    assert caught.value.span == span
    with pytest.raises(GraphError, match=r"a text can't hold|not Unicode text"):
        graph.add(Run(args=("x",), env=((text, ""),)), base=base)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\ud7a3", "a\0b"])
def test_a_file_may_hold_what_looks_so_and_nul(text: str) -> None:
    graph = GraphBuilder()
    graph.add(Write(path="/f", text=text), base=graph.add(Scratch()))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_json_is_a_definition_or_a_graph_error(value: Any) -> None:
    with pytest.raises(GraphError):
        Definition.from_json(json.dumps(value).encode())


@given(st.data())
def test_any_mutation_is_a_definition_or_a_graph_error(data: st.DataObject) -> None:
    plain = json.loads(sample().to_json())
    place: Any = plain
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if data.draw(st.booleans()) or not isinstance(place[key], dict | list) or not place[key]:
            place[key] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.text()))
            break
        place = place[key]
    with suppress(GraphError):
        Definition.from_json(json.dumps(plain).encode())
