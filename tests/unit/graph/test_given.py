"""What a step may use, as a reviewer sees it in the drawings of a graph."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from buildkit_py.graph import (
    BindMount,
    CacheMount,
    Definition,
    FileMount,
    GraphBuilder,
    Host,
    ImageSource,
    LocalSource,
    Op,
    Run,
    Scratch,
    SecretMount,
    SshMount,
    TmpfsMount,
    Tool,
    Write,
    render,
)
from buildkit_py.graph.given import granted
from buildkit_py.platform import Platform
from tests.security.test_image_config import EVIL, HARMFUL
from tests.support.command import Pybuild

MOUNTS = (
    SecretMount(id="token", target="/run/secrets/token"),
    SecretMount(id="key", env="KEY", required=False),
    SecretMount(id="file", target="/x y"),
    SshMount(),
    SshMount(id="work", required=False, target="/s"),
    CacheMount(target="/c", id="/c"),
    CacheMount(target="/d", id="pip", sharing="locked", input="m"),
    BindMount(target="/tests", input="c", source="/tests"),
    BindMount(target="/deps", input="m", source="/app", read_only=False),
    TmpfsMount(target="/tt"),
    TmpfsMount(target="/tu", size=64 << 20),
    FileMount(target="/dev/pipes/run", text="x"),
)


@pytest.mark.parametrize(
    ("op", "texts"),
    [
        (Write(path="/x", text=""), ()),
        (Run(args=("x",)), ()),
        (Run(args=("x",), network="host", security="insecure"), ("security.insecure", "network")),
        (Run(args=("x",), capabilities=("MKNOD", "NET_RAW")), ("capability(MKNOD, NET_RAW)",)),
        (
            Run(args=("x",), timeout=600_000, memory=1 << 30, pids=200, cpus=1500),
            ("timeout(10m)", "memory(1g)", "pids(200)", "cpus(1.5)"),
        ),
        (Host(args=("x",), tools=(Tool(name="git"), Tool(name="tar"))), ("tool(git, tar)",)),
        (
            Run(args=("x",), mounts=MOUNTS),
            (
                "secret(token)",
                "secret(key, env: KEY, optional: true)",
                'secret(file, target: "/x y")',
                "ssh",
                "ssh(work, optional: true)",
                "cache(/c)",
                "cache(/d, id: pip, sharing: locked, from: stage 1)",
                "mount(./tests, at: /tests)",
                "mount(/app, at: /deps, writable: true, from: stage 1)",
                "tmpfs(/tt)",
                "tmpfs(/tu, size: 64m)",
            ),
        ),
    ],
)
def test_a_grant_is_written_as_in_a_buildfile(op: Op, texts: tuple[str, ...]) -> None:
    assert granted(op, {"c": "context", "m": "stage 1"}) == texts


def definition(op: Run | Host, **inputs: Op) -> Definition:
    graph = GraphBuilder()
    scratch = graph.add(Scratch())
    tip = graph.add(op, base=scratch, inputs={role: graph.add(each) for role, each in inputs.items()})
    for mount in op.mounts:
        if isinstance(mount, SecretMount):
            graph.secret(mount.id)
    graph.target("a", base=scratch, layers=[("l", tip)], platform=Platform.parse("linux/amd64"))
    return graph.build()


def test_every_drawing_shows_what_a_step_may_use() -> None:
    mounts = (SecretMount(id="token", target="/run/secrets/token"), BindMount(target="/t", input="m"))
    op = Run(args=("cat", "x"), network="host", mounts=mounts)
    drawn = definition(op, m=LocalSource())
    line = "with network, secret(token), mount(./, at: /t)"
    assert f"   └─ run cat x\n          {line}\n" in render.tree(drawn)
    assert f'label="run cat x\\n{line}"' in render.dot(drawn)
    assert f"run cat x\n{line}</title>" in render.svg(drawn)


def test_tools_are_told_by_the_image_that_has_them() -> None:
    drawn = definition(Host(args=("x",)), tools=ImageSource(ref="docker.io/library/debian:12", platform="linux/amd64"))
    assert "with tools(docker.io/library/debian:12)\n" in render.tree(drawn)


def test_nothing_hides_behind_what_a_build_file_calls_things() -> None:
    mounts = (
        SecretMount(id=EVIL, env="A"),
        CacheMount(target="/c", id="x" * 150 + "), network"),
        TmpfsMount(target="/last"),
    )
    drawn = definition(Run(args=("x",), mounts=mounts))
    for draw in (render.tree, render.dot, render.svg):
        text = html.unescape(draw(drawn))
        assert not HARMFUL & set(text)
        assert "tmpfs(/last)" in text
    assert 'x), network")' in render.tree(drawn)


def test_a_reviewer_sees_what_a_dockerfile_would_have_to_be_allowed(pybuild: Pybuild, tmp_path: Path) -> None:
    lines = (
        "FROM scratch",
        "RUN --mount=type=secret,id=token --network=none a",
        "RUN --security=insecure --network=host b",
    )
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    shown = pybuild.ok("graph", ".", cwd=tmp_path).stdout
    assert "run a\n│         with capability(MKNOD), secret(token, optional: true)\n" in shown
    assert "run b\n          with security.insecure, network, capability(MKNOD)\n" in shown
