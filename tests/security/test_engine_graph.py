"""Graphs and words of frontends that want what they may not have: a crash, an option of a mount, a privilege."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.errors import GraphError, PybuildError, SourceError
from buildkit_py.graph import CacheMount, Definition, GraphBuilder, Host, Mkdir, Op, Remove, Run, Scratch
from buildkit_py.graph.codec import encode
from buildkit_py.graph.op import MOUNT_KINDS
from buildkit_py.platform import Platform
from buildkit_py.solver.key import key_of
from buildkit_py.solver.selection import selectors_of
from buildkit_py.source import Span
from tests.support import layouts
from tests.support.dockerfiles import compiled
from tests.support.graphs import Graphs, sh
from tests.support.hostile import Machine, build_dockerfile
from tests.support.odd_graphs import RUN, damaged, resealed, sound, strange
from tests.support.project import Built, Project

# --- graphs that make no sense


def use(definition: Definition) -> None:
    """What every build does with a graph before anything runs."""
    assert Definition.from_json(definition.to_json()) == definition
    for vertex in definition.vertices.values():
        if isinstance(vertex.op, Run | Host):
            selections = {each.name: each.memo_key("sha256:x") for each in selectors_of(vertex.op)}
            key_of(vertex.op, inputs=vertex.inputs, selections=selections, tools={}, epoch=0)


def test_a_malformed_graph() -> None:
    """CVE-2024-23650: a graph is refused by an error that names the fault, or it can be used; it crashes nothing."""
    taken = 0
    assert Definition.from_json(resealed(sound()))
    for data in damaged(seed=23650, count=400):
        with suppress(GraphError):
            use(Definition.from_json(data))
            taken += 1
    assert taken, "every graph was refused: the damage is too great to reach what comes after the decoder"


def test_a_graph_that_says_one_thing_twice() -> None:
    """CVE-2024-23650: who checks a graph and who uses it read the same one; of two values neither is taken."""
    text = resealed(sound()).decode()
    for first, second in (
        ('"version": 1', '"version": 1, "version": 2'),
        ('"name": "app"', '"name": 7, "name": "app"'),
        ('"name": "app"', '"name": "app", "name": 7'),
        ('"text": "x"', '"text": [], "text": "x"'),
    ):
        assert first in text
        with pytest.raises(GraphError):
            Definition.from_json(text.replace(first, second, 1).encode())


def test_a_strange_graph_in_a_whole_build(tmp_path: Path) -> None:
    """CVE-2024-23650: what the decoder takes is built, or ends with a typed error, and leaves a sound store."""
    context = tmp_path / "context"
    (context / "d").mkdir(parents=True)
    (context / "f").write_text("x")
    (context / "l").symlink_to("/d")
    built, file = 0, tmp_path / "graph.json"
    with Engine(tmp_path / "store") as engine:
        for data in strange(seed=23650, count=80):
            file.write_bytes(data)
            with suppress(PybuildError):
                engine.build(BuildOptions(context=context, graph=file), lambda _: None)
                built += 1
    assert built > 10


def test_a_malformed_graph_on_the_command_line(project: Project) -> None:
    """CVE-2024-23650: a person is told what is wrong, and sees no traceback."""
    for data in (b"[" * 100_000, b"\xff\xfe", *damaged(seed=1, count=1)):
        (project.directory / "graph.json").write_bytes(data)
        built = Built(project.pybuild("build", ".", "--graph", "graph.json", cwd=project.directory), project)
        assert (built.code, "graph.json: " in built.message) == (4, True), built.result.output


def test_a_graph_that_names_files_of_the_machine(project: Project, machine: Machine) -> None:
    """CVE-2024-23650: where something was written is for who wrote it to say, and what stands there is not shown."""
    (project.directory / "link").symlink_to(machine.path)
    names = (str(machine.path / "secret"), "link/secret", "../machine/secret", "/dev/stdin", "\x1b]0;title\x07")
    graph = GraphBuilder()
    base = graph.add(Scratch())
    for number, name in enumerate(names):
        tip = graph.add(Remove(paths=(f"/{number}",)), base=base, span=Span(name, 1, 1, 1, 4))
        graph.hint(tip, "\x1b[2J")
        graph.target(f"a{number}", base=base, layers=[("l", tip)])
    project.write({"graph.json": graph.build().to_json()})
    words = ("build", ".", "--graph", "graph.json", "--keep-going")
    built = Built(project.pybuild(*words, cwd=project.directory), project)
    assert built.code == 14 and built.message.count(": error: remove /") == len(names), built.result.output
    assert "\x1b" not in built.result.output
    machine.check(built.result.output)


# --- options of mounts


FIELDS = (
    *(
        "bind-propagation=rshared",
        "propagation=shared",
        "options=suid",
        "option=dev",
        "o=suid,dev",
        "suid",
        "exec",
        "z",
    ),
    *("relabel=shared", "U=true", "consistency=cached", "volume-opt=type=none", "rw,nosymfollow", "ro=rshared"),
)
KINDS = ("devpts", "proc", "sysfs", "volume", "npipe", "image", "overlay", "glob", "ramfs", "mqueue", "")


def test_an_unknown_option_of_a_mount() -> None:
    """CVE-2024-9407: what a mount may say is a closed list, in every frontend, in a graph, and in Python."""
    for field in FIELDS:
        dockerfile_refuses(f"--mount=type=bind,target=/m,{field}")
    for kind in KINDS:
        dockerfile_refuses(f"--mount=type={kind},target=/m")
    dockerfile_refuses("--mount=type=cache,target=/m,sharing=evil")
    dockerfile_refuses("--mount=type=tmpfs,target=/m,size=1,mode=4777")
    for grant in GRANTS:
        assert buildfile_says(f"with {grant}\nrun true"), grant
    assert not buildfile_says("with cache(/c, sharing: locked), mount(./x, at: /m), tmpfs(/t, size: 1m)\nrun true")


GRANTS = (
    'mount(./x, at: /m, options: "suid")',
    "mount(./x, at: /m, propagation: shared)",
    "mount(./x, at: /m, writable: rshared)",
    "cache(/c, sharing: evil)",
    "cache(/c, mode: 4777)",
    "tmpfs(/t, exec: true)",
    'device("/dev/sda")',
    "privileged",
)


def dockerfile_refuses(flag: str) -> None:
    with pytest.raises(SourceError):
        compiled(f"FROM base\nRUN {flag} true")


def buildfile_says(body: str) -> list[Any]:
    from frontends import buildfile

    return buildfile.check(f'buildfile 1\nimage a {{\nfrom "b"\n{body}\n}}\n')


@pytest.mark.parametrize("kind", [*MOUNT_KINDS])
def test_an_unknown_option_of_a_mount_in_a_graph(kind: str) -> None:
    """CVE-2024-9407: the same for what another program writes."""
    for wrong in ({"options": ["suid"]}, {"propagation": "rshared"}, {"kind": "devpts"}, {"read_only": "rshared"}):
        plain = sound()
        mounts = next(vertex for vertex in plain["vertices"] if vertex["op"].get("mounts"))["op"]["mounts"]
        next(each for each in mounts if each["kind"] == kind).update(wrong)
        with pytest.raises(GraphError, match="malformed"):
            Definition.from_json(resealed(plain))


@pytest.mark.parametrize(
    "op",
    [
        replace(RUN, mounts=(CacheMount(target="/c", id="c", sharing="evil"),)),  # type: ignore[arg-type]
        replace(RUN, mounts=(), network="bridge"),  # type: ignore[arg-type]
        replace(RUN, mounts=(), security="Insecure"),  # type: ignore[arg-type]
        replace(RUN, mounts=(), surroundings="all"),  # type: ignore[arg-type]
        Host(args=("x",), network="container:1"),  # type: ignore[arg-type]
        Mkdir(path="/d", made="evil"),  # type: ignore[arg-type]
    ],
)
def test_a_word_that_no_list_has_in_python(op: Op) -> None:
    """CVE-2024-9407, CVE-2024-23653: no word that nobody knows stands between two that are known."""
    graph = GraphBuilder()
    base = graph.add(Scratch())
    graph.target("a", base=base, layers=[("l", graph.add(op, base=base))])
    with pytest.raises(GraphError, match="is one of"):
        graph.build()


# --- privileges


ALLOW = ("--allow", "security.insecure")
WIDE = ("SYS_ADMIN", "DAC_READ_SEARCH", "NET_ADMIN", "SYS_PTRACE")
HEAD = 'stage s {\nfrom "oci:base"\n}\n'


def denied(built: Built) -> None:
    """It ended before anything began, and says how to allow it."""
    assert built.code in (2, 3), built.result.output
    assert "--allow security.insecure" in built.message
    assert not [event for event in built.events if event["event"] == "Started"]


def by_buildfile(project: Project, *words: str) -> Built:
    return project.build("run true\nwith capability(SYS_ADMIN)\nrun grep CapEff /proc/self/status", *words)


def by_test_block(project: Project, *words: str) -> Built:
    return project.build('test "t" {\nwith capability(SYS_ADMIN)\nrun grep CapEff /proc/self/status\n}', *words)


def by_host_step(project: Project, *words: str) -> Built:
    return project.build("with capability(SYS_ADMIN)\nhost grep CapEff /proc/self/status", *words)


def by_import(project: Project, *words: str) -> Built:
    project.write(
        {"lib.build": "buildfile 1\ndef f() {\nwith capability(SYS_ADMIN)\nrun grep CapEff /proc/self/status\n}\n"}
    )
    return project.build("lib.f()", *words, head="import ./lib.build as lib")


def by_dockerfile(project: Project, *words: str) -> Built:
    return build_dockerfile(project, "FROM base\nRUN --security=insecure grep CapEff /proc/self/status\n", *words)


def by_trigger(project: Project, *words: str) -> Built:
    trigger = {"OnBuild": ["RUN --security=insecure grep CapEff /proc/self/status"], "Env": ["PATH=/bin"]}
    layouts.write_layout(project.directory / "on", layouts.layers_of(project.directory / "base"), trigger)
    place = f"on=oci-layout://{project.directory / 'on'}"
    return build_dockerfile(project, "FROM on\n", "--build-context", place, *words)


def by_graph(project: Project, *words: str) -> Built:
    return Graphs(project=project).build(sh("grep CapEff /proc/self/status", security="insecure"), arguments=words)


def by_graph_with_a_capability(project: Project, *words: str) -> Built:
    step = sh("grep CapEff /proc/self/status", capabilities=("SYS_ADMIN",))
    return Graphs(project=project).build(step, arguments=words)


WAYS_IN = (
    by_buildfile,
    by_test_block,
    by_host_step,
    by_import,
    by_dockerfile,
    by_trigger,
    by_graph,
    by_graph_with_a_capability,
)


@pytest.mark.parametrize("enter", WAYS_IN)
def test_privilege_without_a_grant(project: Project, enter: Callable[..., Built]) -> None:
    """CVE-2024-23653: only the client gives it, and what is known of a build that had it gives it to no other."""
    denied(enter(project, "--allow", "network.host"))
    granted = enter(project, *ALLOW)
    assert granted.code == 0, granted.result.output
    (line,) = granted.printed()
    assert int(re.sub(r"CapEff:\s*", "", line), 16) >> 21 & 1, "this is no privilege"
    denied(enter(project))


@pytest.mark.parametrize("enter", [by_buildfile, by_dockerfile, by_graph])
def test_privilege_that_another_build_had(project: Project, enter: Callable[..., Built]) -> None:
    """CVE-2024-23653: what a build left that had the leave, and had nothing to do, is the leave of no other."""
    assert enter(project, *ALLOW).ran
    assert enter(project, *ALLOW).ran == 0
    denied(enter(project))


@pytest.mark.parametrize("name", WIDE)
def test_a_capability_that_reaches_the_machine(project: Project, name: str) -> None:
    """CVE-2024-23653: one capability may be all that a way out needs."""
    built = project.build(f"with capability({name})\nrun true")
    denied(built)
    assert name in built.message


@pytest.mark.parametrize("kind", ["run", "host"])
def test_a_raw_socket_on_the_network_of_the_machine(project: Project, kind: str) -> None:
    """CVE-2024-23653: a step with the network is in the machine's, where a raw socket reads what anybody sends."""
    built = project.build(f"with capability(NET_RAW), network\n{kind} true")
    denied(built)
    assert "NET_RAW" in built.message
    project.ok("with capability(NET_RAW)\nrun true")


def test_privilege_without_a_grant_in_python(project: Project, tmp_path: Path) -> None:
    """CVE-2024-23653: the Python API asks for the same leave, of a graph, of a Dockerfile and of a Buildfile."""
    wish = sh("true", security="insecure")
    project.write(
        {
            "graph.json": Graphs(project=project).encoded(Scratch(), wish),
            "Dockerfile": "FROM scratch\nRUN --security=insecure true\n",
            "Buildfile": "buildfile 1\nimage a {\nfrom scratch\nwith capability(SYS_ADMIN)\nrun true\n}\n",
        }
    )
    here = BuildOptions(context=project.directory)
    asked = [replace(here, file=project.directory / name) for name in ("Dockerfile", "Buildfile")]
    with Engine(tmp_path / "own") as engine:
        for options in (*asked, replace(here, graph=project.directory / "graph.json")):
            for allow in (frozenset[str](), frozenset({"network.host"}), frozenset({"security.sandbox"})):
                begun: list[Any] = []
                with pytest.raises(PybuildError) as caught:
                    engine.build(replace(options, allow=allow), begun.append)
                assert "--allow security.insecure" in (caught.value.hint or "")
                assert not [event for event in begun if type(event).__name__ == "Started"]


def test_privilege_that_a_graph_spells_otherwise() -> None:
    """CVE-2024-23653: a decoded graph says `insecure` or nothing."""
    platform = str(Platform.host())
    for wish in ("Insecure", "insecure ", "INSECURE", True, None, ["insecure"]):
        graph = GraphBuilder()
        base = graph.add(Scratch())
        graph.target("a", base=base, layers=[("l", graph.add(sh("true", security="insecure"), base=base))])
        plain = json.loads(graph.build().to_json())
        plain["vertices"][-1]["op"]["security"] = wish
        assert plain["targets"][0]["platform"] == platform
        with pytest.raises(GraphError, match="malformed"):
            Definition.from_json(resealed(plain))
    assert encode(sh("true"))["type"] == "run"
