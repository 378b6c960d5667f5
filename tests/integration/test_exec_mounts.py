"""Mounts of all kinds, by graphs: what they show, whose they are, in what order they are made, and what they leave."""

from __future__ import annotations

import os
import socket

import pytest

from buildkit_py.graph.op import (
    BindMount,
    CacheMount,
    FileMount,
    LocalSource,
    Op,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from tests.support.graphs import BASE, PATH, Graphs, sh
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")
SNAPSHOTTERS = ("overlay", "copy")
WAYS = [("overlay", "runc"), ("overlay", "crun"), ("overlay", "bwrap"), ("copy", "runc"), ("copy", "bwrap")]
HIDDEN = ("base", "graph.json")


@pytest.fixture
def graphs(project: Project) -> Graphs:
    inputs: dict[str, Op] = {
        "context": LocalSource(special=True, ignore=HIDDEN),
        "plain": LocalSource(ignore=HIDDEN),
        "image": BASE,
    }
    return Graphs(project=project, inputs=inputs)


# --- binds


def test_files_of_the_client_are_shown_as_they_are(graphs: Graphs) -> None:
    src = graphs.project.directory / "src"
    graphs.project.write({"src/a": "1", "src/b": "2"})
    (src / "a").chmod(0o640)
    os.chown(src / "a", 7, 8)
    os.link(src / "a", src / "c")
    (src / "b").chmod(0o4711)
    src.chmod(0o750)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(src / "s"))
    look = "cd /in; stat -c '%n %a %u:%g %F' . *"
    shown = graphs.lines(sh(look, mounts=(BindMount(target="/in", input="context", source="/src"),)))
    assert [line.split()[:3] for line in shown] == [
        [".", "750", "0:0"],
        ["a", "640", "0:0"],
        ["b", "4711", "0:0"],
        ["c", "640", "0:0"],
        ["s", "755", "0:0"],
    ]
    plain = graphs.lines(sh(look, mounts=(BindMount(target="/in", input="plain", source="/src"),)))
    assert [line.split()[:3] for line in plain] == [
        [".", "755", "0:0"],
        ["a", "644", "0:0"],
        ["b", "755", "0:0"],
        ["c", "644", "0:0"],
    ]


def test_a_mode_that_is_shown_is_in_the_key(graphs: Graphs) -> None:
    graphs.project.write({"f": "1"})
    steps = {role: sh("stat -c %a /in", mounts=(BindMount(target="/in", input=role, source="/f"),)) for role in ROLES}
    for step in steps.values():
        graphs.ok(step)
    (graphs.project.directory / "f").chmod(0o600)
    assert graphs.lines(steps["context"]) == ["600"]
    assert graphs.ok(steps["plain"]).ran == 0


ROLES = ("context", "plain")


def test_a_name_with_the_signs_of_patterns(graphs: Graphs) -> None:
    graphs.project.write({"app/[id]/page*?": "odd\n", "app/i/page": "wrong\n"})
    for role in ROLES:
        mount = BindMount(target="/in", input=role, source="/app/[id]")
        assert graphs.lines(sh("cat /in/page*", mounts=(mount,))) == ["odd"]


@pytest.mark.parametrize("role", ["context", "image"])
def test_a_source_that_is_not_there(graphs: Graphs, role: str) -> None:
    mount = BindMount(target="/in", input=role, source="/nowhere")
    built = graphs.build(sh("true"), sh("true", mounts=(mount,)))
    assert built.code == 14
    assert "steps:2:1: error: " in built.message
    assert "/nowhere is not there" in built.message


@pytest.mark.parametrize(("snapshotter", "runtime"), WAYS)
def test_writes_are_thrown_away(graphs: Graphs, snapshotter: str, runtime: str) -> None:
    graphs.project.write({"src/a": "kept\n", "src/d/b": "kept\n"})
    script = "cd /in; stat -c %a .; echo new > a; rm -r d; mkdir d; touch x; ls; cat a; ls d"
    mounts = (BindMount(target="/in", input="context", source="/src", read_only=False),)
    image = (BindMount(target="/in", input="image", source="/", read_only=False),)
    steps = (
        sh(script, mounts=mounts),
        sh("cat /in/a /in/d/b", mounts=(BindMount(target="/in", input="context", source="/src"),)),
        sh("rm -r /in/etc; touch /in/x; stat -c '%a %u' /in", mounts=image),
    )
    way = ("--snapshotter", snapshotter, "--runtime", runtime)
    lines = graphs.lines(*steps, arguments=way)
    assert lines == ["755", "a", "d", "x", "new", "kept", "kept", "755 0"]
    assert (graphs.project.directory / "src/a").read_text() == "kept\n"
    assert graphs.added(*steps, arguments=way) == []


# --- one in another, and what is left


@pytest.mark.parametrize(("snapshotter", "runtime"), WAYS)
def test_mounts_inside_mounts_in_any_order(graphs: Graphs, snapshotter: str, runtime: str) -> None:
    graphs.project.write({"src/a": "a\n"})
    mounts = (
        CacheMount(target="/in/deep/cache", id="c"),
        FileMount(target="/in/deep/cache/file", text="f\n"),
        TmpfsMount(target="/in/tmp/"),
        BindMount(target="/in", input="context", source="/src"),
        BindMount(target="/etc/hosts", input="context", source="/src/a"),
    )
    script = "cat /in/a /in/deep/cache/file /etc/hosts; touch /in/tmp/x /in/deep/cache/kept; ! touch /in/x 2>/dev/null"
    way = ("--snapshotter", snapshotter, "--runtime", runtime)
    assert graphs.lines(sh(script, mounts=mounts), arguments=way) == ["a", "f", "a"]
    assert graphs.lines(sh("ls /c", mounts=(CacheMount(target="/c", id="c"),))) == ["file", "kept"]
    assert not (graphs.project.directory / "src/deep").exists()
    assert graphs.added(sh(script, mounts=mounts), arguments=way) == []


@pytest.mark.parametrize(("snapshotter", "runtime"), WAYS)
def test_places_that_were_made_for_mounts_are_gone(graphs: Graphs, snapshotter: str, runtime: str) -> None:
    mounts = (
        BindMount(target="/new/one/two", input="image", source="/etc"),
        CacheMount(target="/var/cache/new/deep", id="c"),
        TmpfsMount(target="/usr/bin/place"),
        SecretMount(target="/run/secrets/s", id="s"),
        FileMount(target="/opt/x/file", text="x"),
        SshMount(target="/agents/a", id="default", required=False),
    )
    (graphs.project.directory.parent / "secret").write_text("long enough")
    given = ("--secret", f"id=s,src={graphs.project.directory.parent / 'secret'}")
    way = ("--snapshotter", snapshotter, "--runtime", runtime, *given)
    step = sh("cat /run/secrets/s /opt/x/file > /dev/null; ls -d /new/one/two /var/cache/new/deep", mounts=mounts)
    assert graphs.added(step, arguments=way) == []
    more = sh("touch /new/one/own /usr/bin/own; ls /new/one", mounts=mounts)
    assert graphs.added(more, arguments=way) == ["new", "new/one", "new/one/own", "usr", "usr/bin", "usr/bin/own"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_script_is_run_as_a_file_below_dev(graphs: Graphs, runtime: str) -> None:
    text = "#!/bin/busybox sh\necho $0; ls /dev/pipes; touch /made\n"
    step = Run(args=("/dev/pipes/EOF",), env=(PATH,), mounts=(FileMount(target="/dev/pipes/EOF", text=text),))
    shell = sh(
        ". /dev/pipes/E1; cat /dev/pipes/E2",
        mounts=(
            FileMount(target="/dev/pipes/E1", text="echo one\n", mode="0644"),
            FileMount(target="/dev/pipes/E2", text="two\n", mode="0644"),
        ),
    )
    way = ("--runtime", runtime)
    assert graphs.lines(step, shell, arguments=way) == ["/dev/pipes/EOF", "EOF", "one", "two"]
    assert graphs.added(step, shell, arguments=way) == ["made"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_memory_has_its_size(graphs: Graphs, runtime: str) -> None:
    mounts = (TmpfsMount(target="/dev/shm", size=2 << 20), TmpfsMount(target="/t", size=1 << 20))
    script = "for d in /dev/shm /t; do df -k $d | tail -n 1 | awk '{print $2}'; stat -c %a $d; done"
    assert graphs.lines(sh(script, mounts=mounts), arguments=("--runtime", runtime)) == ["2048", "1777", "1024", "1777"]


# --- secrets and agents


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_secrets_and_whose_they_are(graphs: Graphs, runtime: str) -> None:
    secret = graphs.project.directory.parent / "secret"
    secret.write_text("of the test")
    mounts = (
        SecretMount(id="s", target="/run/secrets/s", mode="0440", owner="5:6"),
        SecretMount(id="s", target="/root/.key", env="KEY"),
        SecretMount(id="none", env="NONE", required=False),
        SecretMount(id="none", target="/run/none", required=False),
        SshMount(id="none", required=False),
    )
    script = """
    stat -c '%a %u:%g' /run/secrets/s /root/.key
    cmp /run/secrets/s /root/.key; test "$KEY" = "$(cat /run/secrets/s)"
    echo "${NONE-unset}" "${SSH_AUTH_SOCK-unset}"; test ! -e /run/none
    """
    way = ("--runtime", runtime, "--secret", f"id=s,src={secret}")
    assert graphs.lines(sh(script, mounts=mounts), arguments=way) == ["440 5:6", "400 0:0", " unset"]


# --- caches


def test_a_new_cache_begins_with_a_copy(graphs: Graphs) -> None:
    graphs.project.write({"seed/a": "first\n", "seed/d/b": "b\n"})
    (graphs.project.directory / "seed/d").chmod(0o700)
    (graphs.project.directory / "seed/a").chmod(0o600)
    cache = CacheMount(target="/c", id="c", input="context", source="/seed")
    grow = sh("cat /c/a; stat -c %a /c /c/a /c/d; echo more >> /c/a", mounts=(cache,))
    assert graphs.lines(grow) == ["first", "755", "600", "700"]
    empty = sh("cat /c/a; rm -r /c/*", mounts=(cache,))
    assert graphs.lines(empty) == ["first", "more"]
    assert graphs.lines(sh("ls /c", mounts=(cache,))) == [], "it is not filled a second time"
    graphs.project.write({"seed/a": "second\n"})
    assert graphs.lines(sh("cat /c/a", mounts=(cache,))) == ["second"], "another content is another cache"
    plain = CacheMount(target="/c", id="c")
    assert graphs.lines(sh("ls /c", mounts=(plain,))) == []


@pytest.mark.parametrize("sharing", ["shared", "locked", "private"])
def test_caches_of_images_and_their_owners(graphs: Graphs, sharing: str) -> None:
    cache = CacheMount(
        target="/c",
        id="own",
        input="image",
        source="/bin",
        owner="3:4",
        mode="0711",
        sharing=sharing,  # type: ignore[arg-type]
    )
    fresh = CacheMount(target="/f", id="fresh", owner="5:6", mode="0700", sharing=sharing)  # type: ignore[arg-type]
    script = "stat -c '%a %u:%g' /c /f; test -x /c/busybox; stat -c '%u:%g' /c/busybox"
    assert graphs.lines(sh(script, mounts=(cache, fresh))) == ["711 3:4", "700 5:6", "0:0"]


def test_a_cache_can_only_begin_with_a_directory(graphs: Graphs) -> None:
    cache = CacheMount(target="/c", id="c", input="image", source="/etc/passwd")
    built = graphs.build(sh("true", mounts=(cache,)))
    assert built.code == 14
    assert "/etc/passwd is not a directory, as a cache must begin with" in built.message
    missing = graphs.build(sh("true", mounts=(CacheMount(target="/c", id="c", input="image", source="/no"),)))
    assert missing.code == 14 and "/no is not there" in missing.message
