"""What a definition may not say: each value that would break something later, and anything at random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildkit_py import canonical
from buildkit_py.errors import GraphError
from buildkit_py.graph import (
    BindMount,
    CacheMount,
    Chmod,
    Chown,
    Copy,
    Definition,
    FileMount,
    GitSource,
    GraphBuilder,
    HistoryLine,
    Host,
    HttpSource,
    ImageConfig,
    ImageSource,
    LocalSource,
    Merge,
    Mkdir,
    Op,
    Output,
    Remove,
    Run,
    Scratch,
    SecretMount,
    SshMount,
    Symlink,
    Test,
    TestItem,
    TmpfsMount,
    Tool,
    Unpack,
    Write,
    codec,
    render,
)
from buildkit_py.graph.op import SOURCES
from buildkit_py.graph.title import title
from buildkit_py.platform import Platform
from buildkit_py.solver.key import key_of
from buildkit_py.solver.selection import selectors_of
from buildkit_py.source import Span

SPAN = Span("Buildfile", 3, 1, 3, 9)
LONG = "x" * 256
RUN = Run(args=("true",))


def build(op: Op | None = None, *, name: str = "app", inputs: tuple[str, ...] = (), **target: Any) -> Definition:
    graph = GraphBuilder()
    base = tip = graph.add(Scratch())
    if op is not None and isinstance(op, SOURCES):
        tip = graph.add(Copy(sources=("/x",), dest="/x"), inputs={"base": base, "from": graph.add(op, span=SPAN)})
    elif op is not None:
        roles = {
            "base": base,
            **({"from": base} if isinstance(op, Copy | Merge | Unpack) else {}),
            **dict.fromkeys(inputs, base),
        }
        tip = graph.add(op, inputs=roles, span=SPAN)
    graph.target(name, base=base, layers=[("l", tip)] if tip != base else [], span=SPAN, **target)
    return graph.build()


def mounted(*mounts: Any) -> Run:
    return replace(RUN, mounts=mounts)


@pytest.mark.parametrize(
    "op",
    [
        Write(path="/a", text="\ud800"),
        Write(path="/\ud800", text=""),
        Write(path="/a\0", text=""),
        Write(path="/" + LONG, text=""),
        Write(path="/" + "a/" * 3000, text=""),
        Write(path="/a", text="", mode="auto"),
        Write(path="/a", text="", owner="a:b:c"),
        Write(path="/a", text="", owner="9" * 5000),
        Symlink(path="/a", target=""),
        Symlink(path="/a", target="a\0b"),
        Symlink(path="/a", target="x" * 5000),
        Copy(sources=("",), dest="/a"),
        Copy(sources=("/" + LONG,), dest="/a"),
        Copy(sources=("/a",), dest="/a", exclude=("\ud800",)),
        Unpack(sources=("/a",), dest="/a", strip=-1),
        Chmod(paths=("a",), mode="0644"),
        ImageSource(ref="oci:../outside", platform="linux/amd64"),
        ImageSource(ref="oci:/outside", platform="linux/amd64"),
        ImageSource(ref="oci:a/../../outside:v1", platform="linux/amd64"),
        ImageSource(ref="oci-archive:a/../b.tar", platform="linux/amd64"),
        ImageSource(ref="oci:", platform="linux/amd64"),
        ImageSource(ref="oci:a:", platform="linux/amd64"),
        ImageSource(ref="Registry/UPPER", platform="linux/amd64"),
        ImageSource(ref="a@sha256:0", platform="linux/amd64"),
        HttpSource(url="https://example.org/a", filename=".."),
        HttpSource(url="https://example.org/a", filename=LONG),
        HttpSource(url="https://example.org/\n", filename="a"),
        GitSource(url="", commit="0" * 40),
        LocalSource(ignore=("\ud800",)),
        Run(args=("",)),
        replace(RUN, platform="x/y/z/w"),
        replace(RUN, env=(("", "x"),)),
        replace(RUN, env=(("A", "\0"),)),
        Host(args=("x",), tools=(Tool(name="/bin/sh"),)),
        mounted(CacheMount(target="/", id="c")),
        mounted(TmpfsMount(target="//")),
        mounted(TmpfsMount(target="/a/..")),
        mounted(TmpfsMount(target="/a"), CacheMount(target="/b/../a/", id="c")),
        mounted(SshMount(), SshMount()),
        mounted(SshMount(), FileMount(target="/run/ssh/default", text="")),
        mounted(TmpfsMount(target="/a", size=0)),
        mounted(TmpfsMount(target="/a", size=2**64)),
        mounted(CacheMount(target="/a", id="c", mode="u+x")),
        mounted(FileMount(target="/a", text="", mode="u+x")),
        mounted(SecretMount(id="s", env="A=B")),
        mounted(SecretMount(id="s", env="")),
        mounted(SecretMount(id="s", target="/s", owner="a:b:c")),
        mounted(CacheMount(target="/c", id="c", source="x")),
        mounted(CacheMount(target="/c", id="c", input="base")),
        mounted(CacheMount(target="/c", id="c", input="nowhere")),
        replace(RUN, hostname="a b"),
        replace(RUN, hostname="-a"),
        replace(RUN, hostname="a" * 65),
        replace(RUN, hosts=(("a b", "127.0.0.1"),)),
        replace(RUN, hosts=(("a", "localhost"),)),
        replace(RUN, hosts=(("a", "127.0.0.1 b"),)),
        replace(RUN, limits=(("files", 1, 1),)),
        replace(RUN, limits=(("nofile", -2, 1),)),
        replace(RUN, limits=(("nofile", 2, 1),)),
        replace(RUN, limits=(("nofile", -1, 1),)),
        replace(RUN, limits=(("nofile", 1, 2**64),)),
        replace(RUN, limits=(("nofile", 1, 1), ("nofile", 2, 2))),
        HttpSource(url="https://example.org/a", filename="a", mode="u+x"),
        LocalSource(name=""),
        LocalSource(name="a\nb"),
        Copy(sources=("/a",), dest="/a", mode="9"),
        Copy(sources=("/a",), dest="/a", directory_mode="x"),
        Copy(sources=("/a",), dest="/a", directory_mode="auto"),
        Copy(sources=("/a",), dest="/a", parents=True),
        Copy(sources=("/a",), dest="/a", unpack=True),
    ],
)
def test_an_op_that_would_break_the_engine_is_refused_where_it_was_written(op: Op) -> None:
    with pytest.raises(GraphError) as caught:
        build(op)
    assert caught.value.span == SPAN
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("role", ["base", "tools"])
def test_a_mount_can_not_take_an_input_that_the_step_sees_whole(role: str) -> None:
    op = Host(args=("x",), mounts=(BindMount(target="/m", input=role),))
    with pytest.raises(GraphError, match="can't take the input"):
        build(op, inputs=("tools",))


@pytest.mark.parametrize(
    "target",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": LONG},
        {"name": "\ud800"},
        {"annotations": {"": "x"}},
        {"annotations": {"a": "\ud800"}},
        {"config": ImageConfig(user="4294967295")},
        {"config": ImageConfig(user="0:4294967295")},
        {"config": ImageConfig(user="-1")},
        {"config": ImageConfig(user="+0")},
        {"config": ImageConfig(user="9" * 5000)},
        {"config": ImageConfig(user="a:b:c")},
        {"config": ImageConfig(user="a\nb")},
        {"config": ImageConfig(env=(("A=B", "c"),))},
        {"config": ImageConfig(expose=("web",))},
        {"config": ImageConfig(expose=("80/",))},
        {"config": ImageConfig(volumes=("",))},
        {"config": ImageConfig(labels={"a\0": "x"})},
        {"config": ImageConfig(command=("a\0",))},
        {"config": ImageConfig(healthcheck={"tests": ["CMD", "x"]})},
        {"config": ImageConfig(healthcheck={"test": "CMD x"})},
        {"config": ImageConfig(healthcheck={"test": []})},
        {"config": ImageConfig(healthcheck={"test": ["x"]})},
        {"config": ImageConfig(healthcheck={"interval": "30s"})},
        {"config": ImageConfig(healthcheck={"interval": -1})},
        {"config": ImageConfig(healthcheck={"retries": True})},
        {"config": ImageConfig(stop_timeout=-2)},
        {"config": ImageConfig(shell=("\0",))},
        {"config": ImageConfig(on_build=("\ud800",))},
        {"config": ImageConfig(author="\0")},
        {"history": [HistoryLine(text="RUN x")]},
        {"history": [HistoryLine(text="\0", empty=True)]},
        {"history": [HistoryLine(text="x", comment="\ud800", empty=True)]},
        {"outputs": [Output(kind="archive", value="")]},
        {"outputs": [Output(kind="archive", value="a\0b")]},
        {"outputs": [Output(kind="store", value="../a b")]},
        {"tests": [Test(name="t", items=(TestItem(kind="mode", path="/a", expected="abc"),))]},
        {"tests": [Test(name="t", items=(TestItem(kind="mode", path="/a"),))]},
        {"tests": [Test(name="t", items=(TestItem(kind="owner", path="/a", expected="a:b:c"),))]},
        {"tests": [Test(name="t", items=(TestItem(kind="file", path="a"),))]},
        {"tests": [Test(name="t", items=(TestItem(kind="file"),))]},
    ],
)
def test_an_image_that_would_break_the_engine_is_refused_where_it_was_written(target: dict[str, Any]) -> None:
    with pytest.raises(GraphError) as caught:
        build(**target)
    assert caught.value.span == SPAN
    assert caught.value.message.isprintable()


def test_a_fault_of_a_part_is_told_where_the_part_was_written() -> None:
    inner = Span("Buildfile", 7, 1, 7, 9)
    item = TestItem(kind="mode", path="/a", expected="rwx", span=inner)
    with pytest.raises(GraphError) as caught:
        build(tests=[Test(name="t", items=(item,))])
    assert caught.value.span == inner


def test_what_bases_and_frontends_say_is_taken() -> None:
    build(
        Write(path="/a", text="\0", mode="u+x,go-w", owner="4294967294:group$"),
        config=ImageConfig(
            user="65532:65532",
            expose=("8080", "53/udp", "8000-8010/tcp"),
            volumes=("/data/",),
            healthcheck={"test": ["CMD-SHELL", "true"], "interval": 10**9, "retries": 3},
        ),
        outputs=[Output(kind="store", value="app:1.0"), Output(kind="layout", value="./out")],
    )
    build(mounted(SecretMount(id="a", env="A"), SecretMount(id="b", env="B"), SshMount(), TmpfsMount(target="/t")))
    build(ImageSource(ref="oci:base/layout:v1", platform="linux/amd64"))
    lines = [HistoryLine(text="COPY x"), HistoryLine(text="", empty=True)]
    build(LocalSource(name="other", special=True), history=lines)
    build(
        replace(
            mounted(CacheMount(target="/c", id="c", input="m", source="/x")),
            hostname="a.example",
            hosts=(("db_1", "10.0.0.1"), ("a", "2001:db8::1")),
            limits=(("nofile", 1, -1), ("core", -1, -1), ("nproc", 5, 5)),
        ),
        inputs=("m",),
        config=ImageConfig(stop_timeout=-1),
    )
    build(Merge())


def test_a_decoder_takes_no_value_of_another_type() -> None:
    op = Remove(paths=("/a",), missing_ok=True)
    plain = build(op).to_plain()
    for wrong in ("false", 1, "true"):
        plain["vertices"][-1]["op"]["missing_ok"] = wrong
        with pytest.raises(GraphError, match="malformed at vertices/1/op"):
            Definition.from_json(json.dumps(plain).encode())


# Anything at random.

odd = st.sampled_from(
    ["", "/", "/a", "a", "..", "\0", "\ud800", "\n", "0", "0:0", LONG, "oci:..", "base", "0644", "/*"]
)
some_text = odd | st.text(max_size=8)
some_texts = st.lists(some_text, max_size=3).map(tuple)
mode = st.sampled_from(["0644", "u+x", "auto", ""]) | some_text
mounts = st.lists(
    st.builds(BindMount, target=some_text, input=st.sampled_from(["base", "m", "tools"]) | some_text, source=some_text)
    | st.builds(
        CacheMount,
        target=some_text,
        id=some_text,
        mode=mode,
        owner=some_text,
        input=st.none() | st.sampled_from(["base", "m"]),
        source=some_text,
    )
    | st.builds(TmpfsMount, target=some_text, size=st.none() | st.integers())
    | st.builds(
        SecretMount, id=some_text, target=st.none() | some_text, env=st.none() | some_text, required=st.booleans()
    )
    | st.builds(SshMount, id=some_text, target=st.none() | some_text, required=st.booleans())
    | st.builds(FileMount, target=some_text, text=some_text),
    max_size=3,
).map(tuple)
processes: Mapping[str, Any] = {
    "args": some_texts,
    "env": st.lists(st.tuples(some_text, some_text), max_size=2).map(tuple),
    "mounts": mounts,
    "platform": st.sampled_from(["", "linux/arm64"]) | some_text,
}
ops: st.SearchStrategy[Op] = st.one_of(
    st.builds(
        ImageSource, ref=st.just("docker.io/library/a:1") | some_text, platform=st.just("linux/amd64") | some_text
    ),
    st.builds(LocalSource, name=some_text, ignore=some_texts, hidden=some_texts, special=st.booleans()),
    st.builds(HttpSource, url=some_text, filename=some_text, mode=mode),
    st.builds(GitSource, url=some_text, commit=st.just("0" * 40) | some_text, subdir=some_text),
    st.builds(Copy, sources=some_texts, dest=some_text, mode=st.none() | mode, owner=st.none() | some_text),
    st.builds(
        Copy,
        sources=some_texts,
        dest=some_text,
        directory_mode=st.none() | mode,
        contents=st.sampled_from(["slash", "always"]),
        parents=st.booleans(),
        unpack=st.booleans(),
        optional=st.booleans(),
    ),
    st.just(Merge()),
    st.builds(Mkdir, path=some_text, mode=mode),
    st.builds(Write, path=some_text, text=some_text, owner=some_text),
    st.builds(Symlink, path=some_text, target=some_text),
    st.builds(Remove, paths=some_texts),
    st.builds(Chmod, paths=some_texts, mode=mode),
    st.builds(Chown, paths=some_texts, owner=some_text),
    st.builds(Unpack, sources=some_texts, dest=some_text, strip=st.integers(-1, 2)),
    st.builds(Run, **processes, cwd=st.just("/") | some_text, user=some_text),
    st.builds(
        Run,
        args=st.just(("x",)),
        hostname=some_text,
        hosts=st.lists(st.tuples(some_text, some_text | st.just("::1")), max_size=2).map(tuple),
        limits=st.lists(st.tuples(st.just("nofile") | some_text, st.integers(), st.integers()), max_size=2).map(tuple),
    ),
    st.builds(Host, **processes, tools=st.lists(st.builds(Tool, name=some_text), max_size=2).map(tuple)),
)
configs = st.builds(
    ImageConfig,
    user=some_text,
    volumes=some_texts,
    expose=some_texts,
    labels=st.dictionaries(some_text, some_text, max_size=2),
    healthcheck=st.none()
    | st.dictionaries(st.just("test") | some_text, st.integers() | st.lists(some_text), max_size=2),
)
items = st.builds(
    TestItem,
    kind=st.sampled_from(["file", "absent", "owner", "mode", "text"]),
    path=st.none() | some_text,
    expected=st.none() | mode,
)


def use_all(definition: Definition) -> None:
    """What every build does with a definition before anything runs."""
    plain = json.loads(json.dumps(definition.to_plain()))
    assert codec.decode_definition(plain) == definition
    assert Definition.from_json(definition.to_json()) == definition
    for text in (render.tree(definition), render.dot(definition), render.svg(definition)):
        text.encode()
    for vertex in definition.vertices.values():
        assert title(vertex.op).isprintable()
        if isinstance(vertex.op, SOURCES):
            continue
        selections = {each.name: each.memo_key("sha256:x") for each in selectors_of(vertex.op)}
        key_of(vertex.op, inputs=vertex.inputs, selections=selections, tools={}, epoch=0)
        canonical.dumps(codec.encode(vertex.op)).decode()


def roles(op: Op) -> set[str]:
    """The inputs that the mounts of an op name."""
    mounts = [mount for mount in getattr(op, "mounts", ()) if isinstance(mount, BindMount | CacheMount)]
    return {mount.input for mount in mounts if mount.input is not None}


@settings(deadline=None)
@given(ops, some_text | st.just("app"), configs | st.just(ImageConfig()), st.lists(items, max_size=2))
def test_any_graph_is_refused_or_can_be_used(op: Op, name: str, config: ImageConfig, items: list[TestItem]) -> None:
    inputs = roles(op)
    with suppress(GraphError):
        use_all(build(op, name=name, inputs=tuple(inputs), config=config, tests=[Test(name="t", items=tuple(items))]))


@settings(deadline=None)
@given(ops)
def test_any_op_in_a_sound_graph_is_refused_or_can_be_used(op: Op) -> None:
    inputs = roles(op)
    with suppress(GraphError):
        use_all(build(op, inputs=tuple(inputs), platform=Platform.parse("linux/amd64")))


@settings(deadline=None)
@given(st.data())
def test_any_mutation_of_a_graph_is_refused_or_can_be_used(data: st.DataObject) -> None:
    run = Run(
        args=("sh", "-c", "x"), mounts=(CacheMount(target="/c", id="c"), SecretMount(id="t", env="T", required=False))
    )
    plain = json.loads(build(run, config=ImageConfig(user="1", labels={"a": "b"})).to_json())
    place: Any = data.draw(st.sampled_from([plain["targets"][0], *(vertex["op"] for vertex in plain["vertices"])]))
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key]:
            break
        place = place[key]
    place[key] = data.draw(some_text | mode | st.none() | st.booleans() | st.integers() | some_texts.map(list))
    with suppress(GraphError):
        renamed: dict[str, str] = {}
        text = json.dumps(plain)
        for vertex in plain["vertices"]:
            inputs = {role: renamed.get(old, old) for role, old in vertex["inputs"].items()}
            renamed[vertex["digest"]] = str(canonical.digest({"op": vertex["op"], "inputs": inputs}))
        for old, new in renamed.items():
            text = text.replace(old, new)
        use_all(Definition.from_json(text.encode()))
