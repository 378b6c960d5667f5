"""Keys: every named part counts, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildkit_py.graph.op import BindMount, CacheMount, Copy, Host, Run, SecretMount, Tool, Unpack
from buildkit_py.layer.entry import Entry
from buildkit_py.solver.key import Key, key_of
from buildkit_py.solver.selection import selectors_of

RUN = Run(
    args=("/bin/sh", "-c", "true"),
    env=(("A", "1"), ("B", "2")),
    mounts=(CacheMount(target="/cache", id="c"), SecretMount(id="token", target="/run/secrets/token")),
)


def key(op: Run | Host | Copy = RUN, **given: object) -> Key:
    parts = {"inputs": {"base": "sha256:b"}, "selections": {}, "tools": {}, "epoch": 0, **given}
    return key_of(op, **parts)  # type: ignore[arg-type]


def test_the_parts_have_names() -> None:
    made = key(selections={"/src": "sha256:s"}, tools={"make": "sha256:m"})
    assert made.parts.keys() >= {
        "op.type", "op.args", "env.A", "env.B", "mount./cache", "mount./run/secrets/token", "input.base",
        "select./src", "tool.make", "epoch",
    }  # fmt: skip
    assert made.parts["env.A"] == "1"


@pytest.mark.parametrize(
    "other",
    [
        key(replace(RUN, args=("/bin/sh", "-c", "false"))),
        key(replace(RUN, env=(("A", "1"), ("B", "3")))),
        key(replace(RUN, env=(("A", "1"),))),
        key(replace(RUN, mounts=RUN.mounts[:1])),
        key(replace(RUN, mounts=(CacheMount(target="/cache", id="other"), RUN.mounts[1]))),
        key(replace(RUN, network="host")),
        key(replace(RUN, cwd="/elsewhere")),
        key(replace(RUN, user="1000")),
        key(replace(RUN, capabilities=("SYS_ADMIN",))),
        key(inputs={"base": "sha256:c"}),
        key(selections={"/x": "sha256:s"}),
        key(tools={"make": "sha256:m"}),
        key(epoch=1),
    ],
)
def test_each_part_counts(other: Key) -> None:
    assert other.digest != key().digest


def test_the_order_of_what_has_none_does_not_count() -> None:
    both = {"base": "sha256:b", "tools": "sha256:t"}
    assert key(inputs=both).digest == key(inputs=dict(reversed(both.items()))).digest


def rows(op: Copy | Unpack, **fields: object) -> list[object]:
    (selector,) = selectors_of(op)
    return selector._row(replace(Entry(path="a", type="file", mode=0o644, size=1, digest="sha256:a"), **fields))  # type: ignore[arg-type]


COPY = Copy(sources=("/a",), dest="/b")


@pytest.mark.parametrize(
    ("op", "fields", "same"),
    [
        (COPY, {"uid": 7}, False),
        (replace(COPY, owner="0:0"), {"uid": 7, "gid": 8}, True),
        (COPY, {"mode": 0o600}, False),
        (replace(COPY, mode="auto"), {"mode": 0o600}, True),
        (replace(COPY, mode="auto"), {"mode": 0o755}, False),
        (replace(COPY, mode="auto"), {"mode": 0o755, "type": "hardlink", "target": "b"}, False),
        (replace(COPY, mode="0640"), {"mode": 0o755}, True),
        (replace(COPY, mode="u+x"), {"mode": 0o755}, False),
        (replace(COPY, mode="0640"), {"digest": "sha256:b"}, False),
        (Unpack(sources=("/a",), dest="/b"), {"mode": 0o755, "uid": 5}, True),
    ],
)
def test_a_selection_holds_what_the_result_can_show(op: Copy | Unpack, fields: dict[str, object], same: bool) -> None:
    assert (rows(op) == rows(op, **fields)) is same


def test_what_a_mount_shows_is_selected_and_the_rest_of_its_input_is_not() -> None:
    mount = BindMount(target="/src", input="code", source="/src")
    (selector,) = selectors_of(replace(RUN, mounts=(mount,)))
    assert (selector.name, selector.role, selector.sources) == ("/src", "code", ("/src",))
    assert selectors_of(Host(args=("make",), tools=(Tool(name="make"),))) == []
