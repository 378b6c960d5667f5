"""What a graph may ask for beyond what a Buildfile does: names, limits, privileges, proxies; and what it is told."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py import events
from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.graph.op import ImageSource, Remove, Run
from tests.support import bases, layouts
from tests.support.graphs import BASE, PATH, Graphs, sh
from tests.support.layouts import Entry, folder
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")
SNAPSHOTTERS = ("overlay", "copy")
WAYS = [("overlay", "runc"), ("overlay", "crun"), ("overlay", "bwrap"), ("copy", "runc")]


@pytest.fixture(params=RUNTIMES)
def graphs(project: Project, request: pytest.FixtureRequest) -> Graphs:
    return Graphs(project=project, arguments=("--runtime", request.param))


@pytest.fixture
def graph(project: Project) -> Graphs:
    return Graphs(project=project)


def with_files(project: Project, name: str, *entries: Entry) -> ImageSource:
    """An image `oci:NAME` of the tiny base and these entries, as the base of steps."""
    tiny = layouts.layers_of(bases.layout("tiny"))
    layouts.write_layout(project.directory / name, [*tiny, layouts.layer(entries)], {})
    return replace(BASE, ref=f"oci:{name}")


# --- names, limits


def test_names_of_its_own(graphs: Graphs) -> None:
    named = sh(
        "hostname; head -n 2 /etc/hosts; grep -c build-1 /etc/hosts",
        hostname="build-1",
        hosts=(("db.local", "10.1.2.3"), ("db.local", "fd00::7")),
    )
    lines = graphs.lines(named, sh("hostname; grep -c db.local /etc/hosts || true"))
    assert lines == ["build-1", "10.1.2.3\tdb.local", "fd00::7\tdb.local", "1", "pybuild", "0"]
    assert graphs.added(named) == []


def test_limits_are_those_of_the_step_alone(graphs: Graphs) -> None:
    limited = sh("ulimit -n; ulimit -Hn; ulimit -c", limits=(("nofile", 64, 128), ("core", 0, -1)))
    lines = graphs.lines(limited, sh("ulimit -n"))
    assert lines[:3] == ["64", "128", "0"]
    assert lines[3] != "64"


def test_an_impossible_limit_is_told(graph: Graphs) -> None:
    built = graph.build(sh("true"), sh("true", limits=(("nofile", 1, -1),)))
    assert built.code == 13
    assert "steps:2:1: error: run " in built.message
    assert "the limit nofile can't be raised to unlimited" in built.message


# --- privileges

SU = (
    Entry(name="bin/su", data=Path("/bin/busybox").read_bytes(), mode=0o4755),
    Entry(name="etc/passwd", data=b"root::0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n"),
)


def test_set_user_id_programs(graphs: Graphs) -> None:
    base = with_files(graphs.project, "suid", *SU)
    asked = sh("/bin/su root -c 'id -u; grep CapEff /proc/self/status'", user="app", set_id=True)
    assert graphs.lines(asked, base=base) == ["0", "CapEff:\t00000000800405fb"]
    refused = graphs.build(sh(asked.args[2], user="app"), base=base)
    assert refused.code == 5
    assert "must be suid" in refused.result.output


@pytest.mark.parametrize(("snapshotter", "runtime"), WAYS)
def test_a_device_node_is_in_the_layer_and_opens_nothing(graph: Graphs, snapshotter: str, runtime: str) -> None:
    way = ("--snapshotter", snapshotter, "--runtime", runtime)
    made = sh("mknod -m 640 /node c 1 3; mknod /disk b 7 0; chown 3:4 /node", capabilities=("MKNOD",), set_id=True)
    seen = sh("stat -c '%F %t %T %a %u' /node /disk; ! cat /node 2>/dev/null", capabilities=("MKNOD",), set_id=True)
    lines = graph.lines(made, seen, arguments=way)
    assert lines == ["character special file 1 3 640 3", "block special file 7 0 644 0"]
    files = graph.unpacked(made, arguments=way).rootfs
    node = (files / "node").lstat()
    assert stat.S_ISCHR(node.st_mode) and os.major(node.st_rdev) == 1 and (node.st_uid, node.st_gid) == (3, 4)
    assert stat.S_ISBLK((files / "disk").lstat().st_mode)


def test_no_sandbox_where_the_client_allows_it(graphs: Graphs) -> None:
    step = sh(
        "mkdir /m; mount -t tmpfs none /m; touch /m/lost; grep Seccomp: /proc/self/status; umount /m",
        security="insecure",
    )
    assert graphs.lines(step, arguments=("--allow", "security.insecure")) == ["Seccomp:\t0"]
    assert graphs.added(step, arguments=("--allow", "security.insecure")) == ["", "m"][1:]


# --- proxies


def test_proxies_are_in_the_environment_and_nowhere_else(project: Project, tmp_path: Path) -> None:
    secret = "canary-user:canary-word"
    step = sh("echo ${HTTP_PROXY##*@} $no_proxy", proxy=True)
    own = sh("echo $HTTP_PROXY; env | grep -c proxy", env=(PATH, ("HTTP_PROXY", "own")), proxy=True)
    project.write({"graph.json": Graphs(project=project).encoded(BASE, step, own, sh("env | grep -ci proxy || true"))})
    seen: list[events.Event] = []
    proxies = {"HTTP_PROXY": f"http://{secret}@proxy.test:3128", "no_proxy": "one.test"}
    asked = BuildOptions(context=project.directory, graph=project.directory / "graph.json", proxies=proxies)
    with Engine(tmp_path / "own-store") as engine:
        engine.build(asked, seen.append)
        assert engine.build(replace(asked, proxies={"HTTP_PROXY": "http://other"}), seen.append).ran == 0
    printed = [event.text for event in seen if isinstance(event, events.Log)]
    assert printed == ["proxy.test:3128 one.test", "own", "1", "0"]
    kept = [path for path in (tmp_path / "own-store").rglob("*") if path.is_file()]
    assert kept and not [path for path in kept if b"canary" in path.read_bytes()]


# --- the environment


def test_nothing_of_the_machine_is_in_the_environment(graphs: Graphs) -> None:
    pybuild = graphs.project.pybuild.having(TERM="xterm-planted", PLANTED="x", LANG="de_DE.UTF-8", http_proxy="p")
    graphs = Graphs(project=Project(pybuild=pybuild, directory=graphs.project.directory), arguments=graphs.arguments)
    assert sorted(graphs.lines(Run(args=("/bin/busybox", "env"), proxy=True))) == ["HOME=/root"]
    assert sorted(graphs.lines(Run(args=("/bin/busybox", "env"), env=(PATH, ("HOME", "/h"))))) == [
        "HOME=/h",
        "=".join(PATH),
    ]


# --- who and where


USERS = (
    Entry(
        name="etc/passwd",
        data=b"root:x:0:0::/home/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nbare:x:5:6:::\n",
    ),
    Entry(name="etc/group", data=b"root:x:0:\nwheel:x:10:root,app\naudio:x:29:other,app\nno:x:45:apple\n"),
)


SEEN = {
    "app": "1000 1000 10 29 /home/app",
    "1000": "1000 1000 10 29 /home/app",
    "app:audio": "1000 29 /home/app",
    "app:77": "1000 77 /home/app",
    "1234": "1234 0 /",
    "1234:5": "1234 5 /",
    "1000:0": "1000 0 /home/app",
    "bare": "5 6 /",
    "root": "0 0 10 /home/root",
    "0": "0 0 10 /home/root",
}


def test_users(graph: Graphs) -> None:
    base = with_files(graph.project, "users", *USERS)
    steps = [sh("echo $(id -u) $(id -G) $HOME", user=user) for user in SEEN]
    assert graph.lines(*steps, base=base) == list(SEEN.values())


def test_a_user_that_is_not_there(graph: Graphs) -> None:
    for user, said in (("nobodi", "no user 'nobodi'"), ("root:staf", "no group 'staf'"), ("0:1x", "no group '1x'")):
        built = graph.build(sh("true"), sh("true", user=user))
        assert built.code == 14
        assert "steps:2:1: error: run " in built.message
        assert said in built.message


def test_a_directory_that_is_not_there(graphs: Graphs) -> None:
    built = graphs.build(sh("true"), sh("pwd", cwd="/not/here"))
    assert built.code == 13
    assert "steps:2:1: error: run " in built.message
    assert "the working directory /not/here can't be entered: No such file or directory" in built.message
    built = graphs.build(sh("true", cwd="/etc/passwd"))
    assert "the working directory /etc/passwd is not a directory" in built.message


# --- what a failure says


@pytest.mark.parametrize(("script", "status"), [("exit 42", 42), ("kill -9 $$", 137), ("nowhere", 127)])
def test_a_failure_says_its_exit_code_and_the_last_lines(graphs: Graphs, script: str, status: int) -> None:
    built = graphs.build(sh(f"for i in $(seq 50); do echo line $i; done; {script}"))
    assert built.code == 5
    assert f"exit code: {status}\n" in built.message
    assert "line 50" in built.message and "line 30\n" not in built.message


def test_a_shell_that_is_not_there(graphs: Graphs) -> None:
    layouts.write_layout(graphs.project.directory / "empty", [layouts.layer([folder("x")])], {})
    base = replace(BASE, ref="oci:empty")
    built = graphs.build(sh("echo hello"), base=base)
    assert built.code == 5
    assert "exit code: 127 (/bin/sh: no such file)" in built.message
    assert "start from an image that has /bin/sh" in built.message
    assert "write the command as a list" in built.message
    built = graphs.build(Run(args=("tool",)), base=base)
    assert "tool: not found in PATH=" in built.message
    assert "as a list" not in built.message


# --- /etc


def etc(project: Project, kind: str) -> ImageSource:
    """A base whose /etc is odd."""
    entries: Mapping[str, list[Entry]] = {
        "none": [Entry(name=".wh.etc")],
        "dangling": [layouts.link("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")],
        "absolute": [layouts.link("etc/resolv.conf", "/run/nowhere/resolv.conf")],
        "file": [Entry(name="etc/resolv.conf", data=b"# own\n"), Entry(name="etc/hosts", data=b"# own\n")],
        "linked": [Entry(name=".wh.etc"), layouts.link("etc", "usr/etc"), folder("usr/etc", 0o711)],
    }
    return with_files(project, kind, *entries[kind])


LOOK = """set -e
test -f /etc/resolv.conf; test -s /etc/hosts
! rm /etc/hosts 2>/dev/null; ! mv /etc/hosts /h 2>/dev/null; ! echo x 2>/dev/null >> /etc/hosts
test -f /etc/hosts
"""


@pytest.mark.parametrize(("snapshotter", "runtime"), WAYS)
@pytest.mark.parametrize("kind", ["none", "dangling", "absolute", "file", "linked"])
def test_the_files_of_the_network_reach_no_layer(graph: Graphs, kind: str, snapshotter: str, runtime: str) -> None:
    base = etc(graph.project, kind)
    way = ("--snapshotter", snapshotter, "--runtime", runtime)
    look = (sh(LOOK, network="none"), sh(LOOK, network="host"))
    assert graph.added(*look, arguments=way, base=base, below=2) == []
    files = graph.unpacked(*look, sh("touch /made"), arguments=way, base=base).rootfs
    if kind == "none":
        assert not (files / "etc").exists()
    if kind == "dangling":
        assert str((files / "etc/resolv.conf").readlink()) == "../run/systemd/resolve/stub-resolv.conf"
    assert not (files / "run").exists()


def test_a_link_that_a_step_puts_in_place_of_the_file(graph: Graphs) -> None:
    """What is mounted can't be replaced; what only leads there can."""
    base = etc(graph.project, "dangling")
    built = graph.build(sh("ln -sf /elsewhere /etc/resolv.conf && cat /etc/resolv.conf"), base=base)
    assert built.code == 5
    step = sh("ln -sf /elsewhere /etc/resolv.conf; hostname > /etc/hostname")
    files = graph.unpacked(step, base=base).rootfs
    assert str((files / "etc/resolv.conf").readlink()) == "/elsewhere"
    assert (files / "etc/hostname").read_text() == "pybuild\n"
    refused = graph.build(sh("rm /etc/resolv.conf"))
    assert refused.code == 5 and "busy" in refused.result.output


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_a_step_that_changes_nothing_adds_nothing(graph: Graphs, snapshotter: str) -> None:
    step = sh("touch -d 2001-01-01 /etc /etc/passwd; mkdir /x; rmdir /x; chmod 755 /etc; cat /etc/hosts >/dev/null")
    assert graph.added(step, arguments=("--snapshotter", snapshotter)) == []


# --- what is left where a process ran


@pytest.mark.parametrize(("snapshotter", "runtime"), WAYS)
def test_directories_of_the_system_vanish_or_stay(graph: Graphs, snapshotter: str, runtime: str) -> None:
    arguments = ("--snapshotter", snapshotter, "--runtime", runtime)
    bare = Remove(paths=("/dev", "/proc", "/sys"), missing_ok=True)
    left = graph.added(bare, sh("touch /x"), arguments=arguments)
    stayed = graph.added(bare, sh("touch /x", system_directories="stay"), arguments=arguments)
    assert {"dev", "proc", "sys"}.isdisjoint(left)
    assert {"x", "dev", "proc", "sys"} <= set(stayed)
