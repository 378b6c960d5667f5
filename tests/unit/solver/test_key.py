"""Keys: every named part counts, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildkit_py.graph.op import BindMount, CacheMount, Copy, Host, Run, SecretMount, SshMount, TmpfsMount, Tool, Unpack
from buildkit_py.layer.entry import Entry
from buildkit_py.platform import Platform
from buildkit_py.solver import key as key_module
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


def test_the_order_of_mounts_counts() -> None:
    outer, inner = TmpfsMount(target="/a"), CacheMount(target="/a/b", id="c")
    forth, back = key(replace(RUN, mounts=(outer, inner))), key(replace(RUN, mounts=(inner, outer)))
    assert forth.parts["mounts"] == ["/a", "/a/b"]
    assert forth.digest != back.digest


def test_whether_an_optional_secret_was_given_counts_but_not_what_it_is() -> None:
    op = replace(RUN, mounts=(SecretMount(id="token", env="T", required=False), SshMount(required=False)))
    without, both = key(op), key(op, given=frozenset({"secret.token", "ssh.default", "secret.other"}))
    assert (without.parts["secret.token"], without.parts["ssh.default"]) == ("absent", "absent")
    assert (both.parts["secret.token"], both.parts["ssh.default"]) == ("given", "given")
    assert len({without.digest, both.digest, key(op, given={"secret.token"}).digest}) == 3
    assert not {"secret.token", "secret.other"} & key(given={"secret.token"}).parts.keys()


def test_what_ops_mean_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(key_module, "KEY_VERSION", key_module.KEY_VERSION + 1)
    assert key().digest != before.digest


def test_a_process_without_a_platform_is_one_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = key()
    assert here.digest == key(replace(RUN, platform=str(Platform.host()))).digest
    monkeypatch.setattr(Platform, "host", classmethod(lambda cls: cls("linux", "s390x")))
    assert key().digest != here.digest
    assert "op.platform" not in key(COPY).parts


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
