"""What `with` gives a step, by the real command, and that none of it is in a layer."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")


# --- caches


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_cache_outlives_the_build_and_is_in_no_layer(project: Project, runtime: str) -> None:
    grow = "with cache(/var/cache/app)\nrun echo {} >> /var/cache/app/log; cat /var/cache/app/log"
    assert project.lines(grow.format("one"), "--runtime", runtime) == ["one"]
    assert project.lines(grow.format("two"), "--runtime", runtime) == ["one", "two"]
    assert project.added(grow.format("three"), "--runtime", runtime) == []


def test_a_cache_belongs_to_whom_the_step_runs_as(project: Project) -> None:
    body = """
    user 1000:2000
    with cache(/cache)
    run touch /cache/mine; stat -c '%u %g %a' /cache
    """
    assert project.lines(body) == ["1000 2000 755"]


@pytest.mark.parametrize(("sharing", "seen"), [("locked", {"0"}), ("shared", {"0", "1"}), ("private", {"0"})])
def test_sharing(project: Project, sharing: str, seen: set[str]) -> None:
    """Two steps at once: each counts the marks of the other, while it holds its own."""
    stages = "".join(
        f"""
        stage s{number} {{
            from "oci:base"
            with cache(/c, sharing: {sharing}), cache(/meet, id: meet)
            run {{
                touch /meet/{number}
                ls /c | grep -c busy || true
                touch /c/busy{number}
                for i in $(seq 100); do
                    test ! -e /meet/{3 - number} || break
                    sleep 0.02
                done
                sleep 0.3
                test {sharing} != shared || ls /c | grep -c busy
                rm /c/busy{number}
            }}
        }}
        """
        for number in (1, 2)
    )
    body = "copy /etc/passwd to /1 from s1\ncopy /etc/passwd to /2 from s2"
    printed = project.lines(body, head=stages)
    if sharing == "shared":
        assert "2" in printed
    else:
        assert set(printed) == {"0"}


# --- mounts


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_mount_of_the_context_shows_what_a_copy_would(project: Project, runtime: str) -> None:
    project.write(
        {
            "src/one.txt": "1\n",
            "src/deep/two.txt": "2\n",
            "src/.hidden": "3",
            "other": "no",
        }
    )
    body = """
    with mount(./src, at: /in)
    run cd /in; find . -type f | sort; touch x 2>/dev/null || echo read-only
    with mount(./src/deep/two.txt, at: /etc/two)
    run cat /etc/two
    with mount(./src/deep, at: /srv/a/b)
    run ls /srv/a/b
    """
    assert project.lines(body, "--runtime", runtime) == [
        *("./.hidden", "./deep/two.txt", "./one.txt", "read-only"),
        "2",
        "two.txt",
    ]
    assert project.added(body, "--runtime", runtime) == []


def test_a_mount_of_the_whole_context_has_no_build_file(project: Project) -> None:
    project.write({"app": "x"})
    body = "with mount(./, at: /in)\nrun ls -a /in\noutput archive ./out.tar"
    first = project.lines(body)
    assert (project.directory / "out.tar").exists()
    assert "app" in first
    assert not {"Buildfile", "Buildfile.lock", "out.tar"} & set(first)
    assert project.ok(body).ran == 0


def test_writes_to_a_mount_are_thrown_away(project: Project) -> None:
    project.write({"src/file": "kept\n"})
    body = """
    with mount(./src, at: /in, writable: true)
    run echo changed > /in/file; touch /in/new; rm -r /in/../in/new; cat /in/file
    with mount(./src, at: /in)
    run cat /in/file
    """
    assert project.lines(body) == ["changed", "kept"]
    assert (project.directory / "src/file").read_text() == "kept\n"
    assert project.added(body) == []


def test_a_mount_of_a_stage_and_of_an_image(project: Project) -> None:
    head = (
        'stage tools {\nfrom "oci:base"\nwrite /opt/t/tool "#!/bin/sh\\necho tool\\n" mode 0755\nremove /etc/passwd\n}'
    )
    body = """
    with mount(/opt/t, at: /tools, from: tools), mount(/, at: /image, from: "oci:base"), mount(/, at: /all, from: tools)
    run /tools/tool; head -n 1 /image/etc/passwd; test ! -e /all/etc/passwd
    with mount(/opt/t/tool, at: /usr/bin/tool, from: tools, writable: true)
    run tool
    """
    assert project.lines(body, head=head) == ["tool", "root:x:0:0:root:/root:/bin/sh", "tool"]
    assert project.added(body, head=head) == []


def test_a_mount_of_what_is_not_there(project: Project) -> None:
    project.write({"src/a": ""})
    built = project.build("with mount(./scr, at: /in)\nrun true")
    assert built.code == 14
    assert "Buildfile:5:1: error:" in built.message
    assert "/scr is not there" in built.message
    assert "did you mean ./src?" in built.message
    built = project.build('with mount(/nowhere, at: /in, from: "oci:base")\nrun true')
    assert built.code == 14
    assert "/nowhere" in built.message


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tmpfs_has_its_size_and_is_gone_afterwards(project: Project, runtime: str) -> None:
    body = """
    with tmpfs(/scratch, size: 1m)
    run {
        head -c 900000 /dev/zero > /scratch/fits
        if head -c 900000 /dev/zero > /scratch/more 2>/dev/null; then echo no limit; fi
        stat -f -c %T /scratch
        stat -c %a /scratch
    }
    run test ! -e /scratch
    """
    assert project.lines(body, "--runtime", runtime) == ["tmpfs", "1777"]
    assert project.added(body, "--runtime", runtime) == []


# --- capabilities


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_capability_is_refused_without_the_grant(project: Project, runtime: str) -> None:
    assert project.build("run mknod /pipe b 7 200", "--runtime", runtime).code == 5
    body = "with capability(MKNOD)\nrun mknod /pipe b 7 200; rm /pipe; grep CapBnd /proc/self/status"
    assert project.lines(body, "--runtime", runtime) == ["CapBnd:\t00000000880405fb"]
    assert project.build("run chroot / true; ip link add dummy0 type dummy", "--runtime", runtime).code == 5


def test_an_unknown_capability_is_an_error_of_the_file(project: Project) -> None:
    built = project.build("with capability(MKNODE)\nrun true")
    assert built.code == 3
    assert "did you mean `MKNOD`?" in built.message


# --- ssh


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the test", "-f", path], check=True)
    return path


@pytest.fixture
def agent(key: Path) -> Iterator[Path]:
    """A real agent that holds the key; its socket's name must be short."""
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        place = Path(directory, "socket")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
        try:
            while not place.exists():
                assert process.poll() is None
                threading.Event().wait(0.01)
            subprocess.run(["ssh-add", "-q", key], env={"SSH_AUTH_SOCK": str(place)}, check=True)
            yield place
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


# The tiny base has no ssh-add, so the machine's asks the agent.
LIST_KEYS = """
with ssh, tool(ssh-add)
host ssh-add -l; stat -c '%u %a %F' "$SSH_AUTH_SOCK"
"""


def fingerprint(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True, check=True).stdout.split()[1]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_agent_is_forwarded(project: Project, agent: Path, key: Path, runtime: str) -> None:
    asking = Project(pybuild=project.pybuild.having(SSH_AUTH_SOCK=str(agent)), directory=project.directory)
    lines = asking.lines(LIST_KEYS, "--ssh", "default", "--runtime", runtime)
    assert fingerprint(key) in lines[0]
    assert lines[1] == "0 600 socket"
    assert asking.added(LIST_KEYS, "--ssh", "default", "--runtime", runtime) == []


def test_a_key_file_is_served_by_an_agent(project: Project, key: Path) -> None:
    assert fingerprint(key) in project.lines(LIST_KEYS, "--ssh", f"default={key}")[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_agents_socket_belongs_to_the_user_of_the_step(project: Project, agent: Path, runtime: str) -> None:
    body = "user 1234:5\nwith ssh(deploy)\nrun stat -c '%u %g %a %F' $SSH_AUTH_SOCK; test -w $SSH_AUTH_SOCK"
    assert project.lines(body, "--ssh", f"deploy={agent}", "--runtime", runtime) == ["1234 5 600 socket"]


def test_no_agent(project: Project) -> None:
    built = project.build("with ssh\nrun true")
    assert built.code == 2
    assert "Buildfile:5:1: error: the step needs the ssh agent 'default'" in built.message
    assert "--ssh default" in built.message
    assert project.lines("with ssh(optional: true)\nrun echo ${SSH_AUTH_SOCK:-none}") == ["none"]


def test_an_agent_that_can_not_be_used_is_told_before_anything_runs(project: Project, tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead))
    told = {
        "default": "SSH_AUTH_SOCK is not set",
        f"default={tmp_path}/none": f"can't be used: {tmp_path}/none: No such file or directory",
        f"default={dead}": f"can't be used: {dead}: Connection refused",
        f"default={tmp_path}": "is neither a socket nor a key",
    }
    for grant in ("ssh", "ssh(optional: true)"):
        for spec, words in told.items():
            built = project.build(f"run touch /x\nwith {grant}\nrun true", "--ssh", spec)
            assert built.code == 14, built.message
            assert "Buildfile:6:1: error: " in built.message
            assert words in built.message
            assert not [event for event in built.events if event["event"] == "Started"]
    # One that no step asks for may be anything.
    assert project.build("run true", "--ssh", f"default={dead}").code == 0


# --- tools


def test_a_missing_tool_is_told_before_anything_runs(project: Project) -> None:
    body = """
    run touch /x
    with tool(tar), tool(no-such-tool, package: its-package)
    host true
    """
    built = project.build(body)
    assert built.code == 9
    assert "Buildfile:7:5: error: the tool `no-such-tool` is not installed" in built.message
    assert "apt-get install its-package" in built.message
    assert not [event for event in built.events if event["event"] == "Started"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_programs_of_an_image_change_the_tree(project: Project, runtime: str) -> None:
    body = """
    with tools("oci:base")
    host {
        test ! -e /usr/bin/python3
        busybox echo hello > "$ROOTFS/by-image"
        chown 3:4 "$ROOTFS/by-image"
        touch /left-in-the-image /tmp/left
        ls "$ROOTFS"
    }
    """
    files = project.files(body, "--runtime", runtime, start="scratch")
    assert {"/by-image"} == {name for name in files if "/" not in name[1:]} - {"/dev", "/proc", "/sys"}
    assert (files["/by-image"].text, files["/by-image"].uid, files["/by-image"].gid) == ("hello\n", 3, 4)
