"""One suite for all runtimes: what a step sees, what it can't reach, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import Cancelled, InfrastructureError, SandboxError
from buildkit_py.executor.sandbox import (
    DEFAULT_CAPABILITIES,
    HOST_CAPABILITIES,
    BindMount,
    DirectoryRoot,
    FileMount,
    OverlayMount,
    OverlayRoot,
    Runner,
    SandboxSpec,
    TmpfsMount,
    host_view,
    network_mounts,
    pick_runtime,
)
from buildkit_py.executor.sandbox.overlay import MAX_LOWERS
from tests.support.boxes import BUSYBOX, PATH, RUNTIMES, Box, descendants_of, make_tree, status

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (package busybox-static)"),
]


# --- identity and privileges


def test_a_named_capability_is_added_and_nothing_else(box: Box) -> None:
    found = status(box, capabilities=(*DEFAULT_CAPABILITIES, "NET_RAW"))
    assert found["CapEff"] == found["CapBnd"] == "00000000800425fb"


def test_a_user_has_no_capability(box: Box) -> None:
    found = status(box, uid=1234, gid=77, groups=(5, 2000000000))
    assert found["CapInh"] == found["CapPrm"] == found["CapEff"] == found["CapAmb"] == "0" * 16
    assert found["Uid"].split() == ["1234"] * 4
    assert found["Gid"].split() == ["77"] * 4
    assert found["Groups"].split() == ["5", "2000000000"]


def test_the_highest_user_number(box: Box) -> None:
    if box.runner.runtime.name == "runc":
        with pytest.raises(SandboxError, match="runc can't take numbers above 2147483647"):
            box.run("true", uid=2**32 - 2)
    else:
        assert box.lines("id -u", uid=2**32 - 2) == ["4294967294"]


def test_root_without_groups_has_none(box: Box) -> None:
    assert status(box)["Groups"] == ""


def test_an_unknown_capability_is_refused(box: Box) -> None:
    with pytest.raises(SandboxError, match="not a capability: EVERYTHING"):
        box.run("true", capabilities=("EVERYTHING",))


def test_privileges_can_be_gained_only_where_the_step_says_so(box: Box) -> None:
    assert status(box)["NoNewPrivs"] == "1"
    found = status(box, no_new_privs=False)
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "2")
    assert found["CapPrm"] == found["CapEff"] == found["CapBnd"] == "00000000800405fb"


# --- what it sees


def test_the_process_is_alone(box: Box) -> None:
    assert box.lines("ls /proc | grep -c '^[0-9]*$'")[0] in ("3", "4")
    assert box.lines("readlink /proc/1/exe; readlink /proc/$$/exe; echo $PPID") == ["/init", "/bin/busybox", "1"]
    assert box.lines("ls /proc/1/fd") == ["0", "1", "2"]


def test_the_init_is_what_the_step_is(box: Box) -> None:
    names = ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]
    identities: tuple[dict[str, Any], ...] = ({}, {"uid": 7, "gid": 8, "groups": (9,)})
    for more in identities:
        first, own = (
            [line for line in box.lines(f"cat /proc/{pid}/status", **more) if line.partition(":")[0] in names]
            for pid in ("1", "$$")
        )
        assert first == own


def test_no_input_and_no_terminal(box: Box) -> None:
    assert box.lines("readlink /proc/$$/fd/0") == ["/dev/null"]
    assert box.run(": < /dev/tty").result.exit != 0


def test_dev_has_the_usual_nodes_and_no_other(box: Box) -> None:
    names = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert sorted(box.lines("ls /dev")) == names.split()
    assert box.lines("echo lost > /dev/null; head -c 3 /dev/zero | wc -c; echo ok > /dev/shm/x; cat /dev/shm/x") == [
        "3",
        "ok",
    ]


def test_mounts_name_no_path_of_the_machine(box: Box) -> None:
    text = "\n".join(box.lines("cat /proc/mounts"))
    assert str(box.area) not in text
    root = next(line.split()[3] for line in text.splitlines() if line.split()[1] == "/")
    assert "nodev" in root.split(",")


def test_namespaces_are_its_own(box: Box) -> None:
    for name in ("pid", "ipc", "uts", "mnt", "net", "cgroup"):
        assert box.lines(f"readlink /proc/self/ns/{name}") != [os.readlink(f"/proc/self/ns/{name}")], name
    assert box.lines("hostname") == ["pybuild"]


def test_the_environment_is_exactly_what_was_given(box: Box) -> None:
    found = box.lines("env", env=(("PATH", "/bin"), ("A", "b c"), ("HOME", "/h")))
    assert {line for line in found if not line.startswith(("PWD=", "SHLVL=", "OLDPWD="))} == {
        "PATH=/bin",
        "A=b c",
        "HOME=/h",
    }


def test_the_umask_is_022(box: Box) -> None:
    assert box.lines("umask") == ["0022"]


# --- network


def test_no_network_but_a_loopback_that_works(box: Box) -> None:
    assert box.lines("ls /sys/class/net") == ["lo"]
    assert "127.0.0.1" in "\n".join(box.lines("ifconfig lo"))
    script = "echo hello > /tmp/f; httpd -p 127.0.0.1:5555 -h /tmp; wget -qO- http://127.0.0.1:5555/f"
    assert box.lines(script) == ["hello"]


def answer_one(server: socket.socket) -> None:
    threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()


def test_network_host_reaches_a_listener_of_the_machine(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer_one(server)
        assert box.run(f"nc -w 1 127.0.0.1 {port} </dev/null").result.exit != 0
        assert box.run(f"nc -w 1 127.0.0.1 {port} </dev/null", network="host").result.exit == 0


def test_resolv_conf_and_hosts_are_mounted_and_leave_only_stubs(box: Box) -> None:
    ran = box.run("cat /etc/hosts; echo x > /etc/hosts", mounts=network_mounts("none"))
    assert ran.result.exit != 0
    assert "127.0.0.1\tlocalhost pybuild" in ran.out
    assert set(ran.result.stubs) == {"etc/resolv.conf", "etc/hosts"}
    assert (box.upper / "etc/hosts").read_bytes() == b""


# --- files


def test_changes_go_to_the_upper_directory(box: Box) -> None:
    box.lines("echo new > /etc/new; rm /bin/vi; mkdir /d; chown 7:8 /d")
    assert (box.upper / "etc/new").read_text() == "new\n"
    assert (box.upper / "bin/vi").is_char_device()
    assert ((box.upper / "d").stat().st_uid, (box.upper / "d").stat().st_gid) == (7, 8)


def test_a_plain_directory_is_changed_in_place(box: Box, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "plain")
    assert box.lines("echo x > /y; cat /y", root=DirectoryRoot(path=str(tree))) == ["x"]
    assert (tree / "y").read_text() == "x\n"


def test_an_overlay_without_upper_is_thrown_away(box: Box) -> None:
    before = sorted(os.listdir(box.tree))
    assert box.lines("echo x > /y; rm -r /etc; cat /y", root=OverlayRoot(lowers=(str(box.tree),))) == ["x"]
    assert sorted(os.listdir(box.tree)) == before


def test_many_lowers(box: Box, tmp_path: Path) -> None:
    lowers = []
    for number in range(MAX_LOWERS - 1):
        lower = tmp_path / f"a long name, with a comma: and a colon {number}"
        lower.mkdir()
        (lower / f"f{number}").touch()
        (lower / "last").write_text(str(number))
        lowers.append(lower)
    assert box.lines("ls -d /f* | wc -l; cat /last", root=box.root(*lowers)) == ["498", "497"]


def test_too_many_lowers_are_an_error(box: Box) -> None:
    with pytest.raises(SandboxError, match="a tree of 500 snapshots"):
        box.run("true", root=OverlayRoot(lowers=tuple(f"{box.tree}/{number}" for number in range(500))))


def test_bind_mounts(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/file").write_text("seen\n")
    read_only = BindMount(source=str(source), path="/sub", target="/in/a")
    writable = BindMount(source=str(source), target="/in/b", read_only=False)
    ran = box.run("cat /in/a/file; echo x > /in/b/new; echo x > /in/a/no", mounts=(read_only, writable))
    assert ran.out == "seen\n"
    assert "ead-only" in ran.err
    assert (source / "new").exists()
    assert not (source / "sub/no").exists()
    assert ran.result.stubs == ("in", "in/a", "in/b")


def test_a_bind_source_is_resolved_inside_its_own_root(box: Box, tmp_path: Path) -> None:
    source, canary = tmp_path / "source", tmp_path / "canary"
    (source / "inside").mkdir(parents=True)
    canary.mkdir()
    (canary / "secret").touch()
    (source / "link").symlink_to(canary)
    (source / "up").symlink_to("../../../../../..")
    with pytest.raises(SandboxError, match="can't prepare what belongs at /m"):
        box.run("ls /m", mounts=(BindMount(source=str(source), path="/link", target="/m"),))
    found = box.lines("ls /m", mounts=(BindMount(source=str(source), path="/up", target="/m"),))
    assert found == ["inside", "link", "up"]


def test_a_bind_source_that_is_swapped_meanwhile_never_leaves_its_root(box: Box, tmp_path: Path) -> None:
    source, canary = tmp_path / "source", tmp_path / "canary"
    (source / "d").mkdir(parents=True)
    canary.mkdir()
    (canary / "secret").touch()
    (source / "link").symlink_to(canary)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (source / "d").rename(source / "t")
            (source / "link").rename(source / "d")
            (source / "d").rename(source / "link")
            (source / "t").rename(source / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(15):
            try:
                ran = box.run("ls /m", mounts=(BindMount(source=str(source), path="/d", target="/m"),))
                assert "secret" not in ran.out
            except SandboxError:
                continue
    finally:
        stop.set()
        thread.join()


def test_overlay_mounts_are_writable_and_thrown_away(box: Box, tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    for path, name in ((low, "a"), (high, "b")):
        (path / "sub").mkdir(parents=True)
        (path / "sub" / name).write_text(name)
    mount = OverlayMount(lowers=(str(low), str(high)), path="/sub", target="/m")
    assert box.lines("cat /m/a /m/b; echo x > /m/a; rm /m/b; ls /m", mounts=(mount,)) == ["aba"]
    assert (low / "sub/a").read_text() == "a"
    assert (high / "sub/b").exists()
    assert box.run("touch /m/x", mounts=(replace(mount, read_only=True),)).result.exit != 0


def test_secret_files_live_in_memory_with_owner_and_mode(box: Box) -> None:
    mount = FileMount(data=b"s3cret\0bytes", target="/run/secrets/key", mode=0o400, uid=5, gid=6)
    ran = box.run(
        "cat /run/secrets/key; stat -c '%a %u %g %s' /run/secrets/key; stat -f -c %T /run/secrets/key", mounts=(mount,)
    )
    assert ran.out == "s3cret\0bytes400 5 6 12\ntmpfs\n"
    assert ran.result.stubs == ("run", "run/secrets", "run/secrets/key")
    assert (box.upper / "run/secrets/key").read_bytes() == b""
    assert box.run("cat /run/secrets/key", mounts=(mount,), uid=9).result.exit != 0


def test_tmpfs_has_size_and_mode_and_keeps_nothing(box: Box) -> None:
    mount = TmpfsMount(target="/scratch", size=1 << 20, mode=0o700)
    ran = box.run("stat -c %a /scratch; head -c 2000000 /dev/zero > /scratch/f", mounts=(mount,))
    assert ran.out == "700\n"
    assert ran.result.exit != 0
    assert list((box.upper / "scratch").iterdir()) == []


def test_a_socket_can_be_handed_in(box: Box, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        answer_one(server)
        mount = BindMount(source=str(tmp_path / "s"), target="/run/agent.sock")
        spec = box.spec("")
        script = "import socket; socket.socket(socket.AF_UNIX).connect('/run/agent.sock')"
        view = host_view(spec.root)  # busybox can't connect to a local socket, the machine's Python can
        mounts = (*view.mounts, mount)
        ran = box.run_spec(SandboxSpec(root=view.root, mounts=mounts, args=("/usr/bin/python3", "-c", script)))
        assert ran.result.exit == 0, ran.err


@pytest.mark.parametrize("target", ["/", "/dev", "/proc", "/sys/kernel", "/link/x"])
def test_the_sandboxs_own_places_take_no_mount(box: Box, target: str, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/link").symlink_to("proc")
    with pytest.raises(SandboxError, match=r"nothing can be mounted|can't make the mount point"):
        box.run("true", root=box.root(tmp_path / "more"), mounts=(TmpfsMount(target=target),))


# --- hostile trees


def test_missing_system_directories_are_made_as_stubs(box: Box, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "odd")
    for name in ("dev", "proc", "sys"):
        (tree / name).rmdir()
    ran = box.run("cat /proc/self/comm; echo x > /dev/null", root=DirectoryRoot(path=str(tree)))
    assert ran.result.exit == 0
    assert ran.result.stubs == ("dev", "proc", "sys")


def test_a_mount_point_through_links_stays_inside(box: Box, tmp_path: Path) -> None:
    tree, canary = make_tree(tmp_path / "odd"), tmp_path / "canary"
    canary.mkdir()
    (tree / "abs").symlink_to(canary)
    (tree / "rel").symlink_to("../../../" + str(canary).lstrip("/"))
    mounts = tuple(FileMount(data=b"x", target=f"/{name}/file") for name in ("abs", "rel"))
    ran = box.run(f"cat {canary}/file", root=DirectoryRoot(path=str(tree)), mounts=mounts)
    assert ran.out == "x"
    assert list(canary.iterdir()) == []
    inside = str(canary).lstrip("/")
    assert f"{inside}/file" in ran.result.stubs


def test_a_step_that_swaps_a_stubs_parent_harms_nothing(box: Box, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "x").write_text("whole")
    mount = TmpfsMount(target="/a/x")
    ran = box.run(f"mv /a /b; ln -s {canary} /a", mounts=(mount,))
    assert ran.result.stubs == ("a", "a/x")
    assert (canary / "x").read_text() == "whole"


@pytest.mark.parametrize("cwd", ["/missing", "/proc/self/fd/7", "/etc/passwd", "/loop"])
def test_a_working_directory_that_is_none_is_refused(box: Box, cwd: str, tmp_path: Path) -> None:
    more = tmp_path / "more"
    (more / "etc").mkdir(parents=True)
    (more / "etc/passwd").touch()
    (more / "loop").symlink_to("loop")
    with pytest.raises(SandboxError, match="the working directory"):
        box.run("pwd", root=box.root(more), cwd=cwd)


def test_a_working_directory_that_links_out_stays_inside(box: Box, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "out").symlink_to("/etc")
    assert box.lines("pwd -P; test ! -e shadow && echo none", root=box.root(more), cwd="/out") == ["/etc", "none"]


# --- how it ends


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 7", 7),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("kill -9 $$; echo survived", 137),
        ("kill -TERM $$; echo survived", 143),
        ("kill -9 1; exit 3", 3),
        ("trap 'exit 5' TERM; kill -TERM $$; echo survived", 5),
        ("exit 255", 255),
        ("true", 0),
    ],
)
def test_exit_statuses(box: Box, script: str, code: int) -> None:
    ran = box.run(script)
    assert (ran.result.exit, ran.out) == (code, "")


def test_what_a_daemon_leaves_is_reaped(box: Box) -> None:
    script = """
    for i in 1 2 3 4 5; do (true & exec true) & done; wait
    (setsid sh -c 'sleep 0.01' &)
    for i in $(seq 500); do grep -q '^State:.[^Z]' /proc/[0-9]*/status && ! grep -l '^State:.Z' /proc/[0-9]*/status \
        > /dev/null 2>&1 && exit 0; sleep 0.01; done
    exit 1
    """
    assert box.run(script).result.exit == 0


def test_a_program_that_cannot_be_started(box: Box, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "text").write_text("not a program")
    (more / "bad").write_bytes(b"\x7fELFnonsense")
    (more / "script").write_text("#!/no/such/interpreter\n")
    for name in ("bad", "script"):
        (more / name).chmod(0o755)
    for args, code in (
        (("nothing",), 127),
        (("/nothing",), 127),
        (("/text",), 126),
        (("/script",), 127),
    ):
        ran = box.run_spec(SandboxSpec(root=box.root(more), args=args, env=PATH))
        assert ran.result.exit == code, (args, ran.err)
        assert ran.err


def test_arguments_and_output_are_bytes(box: Box) -> None:
    ran = box.run_spec(
        SandboxSpec(root=box.root(), args=("printf", "%s|", "a b", "", os.fsdecode(b"\xc3\xa9"), "*"), env=PATH)
    )
    assert ran.out == "a b||é|*|"


def test_all_output_arrives_in_order(box: Box) -> None:
    ran = box.run("seq 1 200000; seq 1 1000 >&2")
    assert ran.out.split() == [str(number) for number in range(1, 200001)]
    assert ran.err.split() == [str(number) for number in range(1, 1001)]


def test_output_of_what_outlives_the_step_is_not_waited_for(box: Box) -> None:
    began = time.monotonic()
    assert box.run("(sleep 60; echo late) & echo early").out == "early\n"
    assert time.monotonic() - began < 30


def test_an_ordinary_user_can_write_dev_stdout(box: Box) -> None:
    assert box.lines("echo x > /dev/stdout", uid=1000) == ["x"]


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_cancel_kills_the_whole_tree(box: Box) -> None:
    cancel, heard = threading.Event(), []

    def output(_: str, data: bytes) -> None:
        heard.append(data)
        steps.update(descendants_of(os.getpid()))
        cancel.set()

    steps: set[int] = set()
    keepers = descendants_of(os.getpid())
    script = "trap '' TERM INT; sleep 1000 & (setsid sleep 1000 &) ; echo up; while :; do sleep 1000; done"
    with pytest.raises(Cancelled):
        box.runner.run(box.spec(script), output, cancel)
    assert len(steps - keepers) >= 3
    wait_until(lambda: not alive(steps - keepers))
    assert box.lines("echo still works") == ["still works"]


def test_an_error_of_the_listener_ends_the_step(box: Box) -> None:
    def output(_: str, __: bytes) -> None:
        raise ZeroDivisionError

    keepers = descendants_of(os.getpid())
    with pytest.raises(ZeroDivisionError):
        box.runner.run(box.spec("echo x; sleep 1000"), output)
    assert descendants_of(os.getpid()) == keepers


def test_steps_run_at_the_same_time(box: Box) -> None:
    outs: list[str] = []
    specs = [box.spec(f"sleep 0.2; echo {number}") for number in range(8)]
    threads = [threading.Thread(target=lambda spec=spec: outs.append(box.run_spec(spec).out)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outs) == [f"{number}\n" for number in range(8)]


def test_after_close_nothing_runs(tree: Path, tmp_path: Path) -> None:
    runner = Runner(pick_runtime(), tmp_path / "state")
    runner.close()
    runner.close()
    with pytest.raises(InfrastructureError, match="gone"):
        Box(runner, tree, tmp_path).run("true")


def cgroup_directories() -> set[str]:
    """Those of steps with limits, which other tests may have meanwhile, are left out."""
    return {entry for entry, _, _ in os.walk("/sys/fs/cgroup") if "/pybuild-" not in entry}


PARENT = """
import sys
from pathlib import Path
from buildkit_py.executor.sandbox import Runner, SandboxSpec, pick_runtime
plain = __import__("json").loads(sys.argv[3])
with Runner(pick_runtime(sys.argv[1]), Path(sys.argv[2])) as runner:
    runner.run(SandboxSpec.from_plain(plain), lambda stream, data: print(data.decode(), flush=True))
"""


def test_kill_9_of_the_parent_leaves_no_process_mount_or_cgroup(box: Box) -> None:
    cgroups, mounts = cgroup_directories(), Path("/proc/self/mountinfo").read_text()
    spec = box.spec("sleep 1000 & (setsid sleep 1000 &); echo up; sleep 1000")
    command = [sys.executable, "-c", PARENT, box.runner.runtime.name, str(box.area / "s2"), json.dumps(spec.to_plain())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        processes = descendants_of(parent.pid)
        assert len(processes) >= 6
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(processes))
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert cgroup_directories() == cgroups
    shutil.rmtree(box.area / "s2")


def read_process(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def test_the_helpers_of_a_step_hold_no_secret(box: Box) -> None:
    secret = b"planted-5ecret"
    holders: set[bytes] = set()
    seen: set[bytes] = set()

    def output(_: str, __: bytes) -> None:
        for pid in descendants_of(os.getpid()):
            seen.add(read_process(pid, "comm").strip())
            if secret in read_process(pid, "environ") + read_process(pid, "cmdline"):
                holders.add(read_process(pid, "comm").strip())

    box.runner.run(box.spec("echo up; sleep 0.5; true", env=(*PATH, ("TOKEN", secret.decode()))), output)
    assert holders <= {b"sh", b"sleep"}
    assert len(seen - holders) >= 1


def test_overlays_can_be_probed(box: Box, tmp_path: Path) -> None:
    assert box.runner.overlay_refusal(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("overlay")] == []


# --- host steps


def host_spec(box: Box, script: str) -> SandboxSpec:
    view = host_view(box.root())
    env = (("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("ROOTFS", "/rootfs"))
    return SandboxSpec(
        root=view.root, mounts=view.mounts, args=("sh", "-c", script), env=env, capabilities=HOST_CAPABILITIES
    )


def test_a_host_step_sees_programs_and_no_private_place(box: Box) -> None:
    ran = box.run_spec(
        host_spec(box, "ls -A /root /home /run /srv /mnt; ls -A /var; ls /etc/shadow /opt; ls /rootfs/bin/sh")
    )
    assert "/rootfs/bin/sh" in ran.out
    assert [line for line in ran.out.splitlines() if line and not line.startswith("/")] == ["tmp"]
    assert ran.err.count("No such file") == 2


def test_a_host_step_writes_its_tree_and_nothing_else(box: Box) -> None:
    places = "/usr /usr/bin /etc / /lib /bin /usr/local"
    script = f"for p in {places}; do touch $p/canary 2>/dev/null && echo $p; done; echo x > $ROOTFS/made"
    script += "; chown 3:4 $ROOTFS/made"
    ran = box.run_spec(host_spec(box, script))
    assert ran.out == ""
    assert (box.upper / "made").stat().st_uid == 3
    assert ran.result.stubs == ()


def test_a_mount_inside_the_tree_of_a_host_step_is_a_stub_of_that_tree(box: Box) -> None:
    spec = host_spec(box, "true")
    spec = replace(spec, mounts=(*spec.mounts, TmpfsMount(target="/rootfs/var/cache"), TmpfsMount(target="/other")))
    assert box.run_spec(spec).result.stubs == ("var", "var/cache")


# --- an ordinary user

ROOTLESS = """
import json, sys
from pathlib import Path
from buildkit_py.executor.sandbox import *
base = Path(sys.argv[2])
enter_user_namespace()
assert in_user_namespace()
for name in ("upper", "work"):
    (base / name).mkdir()
root = OverlayRoot(lowers=(str(base / "tree"),), upper=str(base / "upper"), work=str(base / "work"), userxattr=True)
script = '''
id -u; id -G; grep CapEff /proc/self/status; touch /f; chown 5:6 /f; rm -r /etc; mkdir /etc; ls /sys/class/net
cat /secret; echo x > /proc/sys/kernel/core_pattern; unshare -U true; chmod 600 /dev/null
'''
spec = SandboxSpec(root=root, args=("sh", "-c", script), env=(("PATH", "/bin"),), uid=0, groups=(7,),
                   mounts=(FileMount(data=b"s\\n", target="/secret", uid=9), TmpfsMount(target="/t")))
with Runner(pick_runtime(sys.argv[1]), base / "state") as runner:
    out = {"stdout": "", "stderr": ""}
    def add(stream, data):
        out[stream] += data.decode()
    result = runner.run(spec, add)
    other = runner.run(SandboxSpec(root=OverlayRoot(lowers=(str(base / "tree"),), userxattr=True),
        args=("true",), env=(("PATH", "/bin"),), uid=77, network="host"), add)
    refusal = runner.overlay_refusal(base, userxattr=True)
print(json.dumps([result.exit, out, result.stubs, other.exit, refusal]))
"""


@pytest.fixture
def user_area() -> Iterator[Path]:
    """A directory of uid 54321 outside pytest's private one."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        make_tree(Path(name, "tree"))
        subprocess.run(["chown", "-R", "54321:54321", name], check=True)
        yield Path(name)


def interpreter() -> str:
    """A Python that any user can execute; the one of the tests may be in a private home."""
    for path in (sys.executable, "/usr/bin/python3"):
        command = [
            "setpriv",
            "--reuid",
            "54321",
            "--clear-groups",
            path,
            "-c",
            "import sys; assert sys.version_info >= (3, 11)",
        ]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return path
    pytest.skip("no Python 3.11 that another user can execute")


def as_user(
    area: Path, script: str, *args: str, ranges: str = "tester:700000:65536\n"
) -> subprocess.CompletedProcess[str]:
    """Run Python as a user who exists only in a private mount namespace."""
    for name, text in (
        ("passwd", Path("/etc/passwd").read_text() + "tester:x:54321:54321::/:/bin/sh\n"),
        ("subuid", ranges),
        ("subgid", ranges),
    ):
        (area / name).write_text(text)
    shell = textwrap.dedent(
        """
        for name in passwd subuid subgid; do mount --bind "$1/$name" "/etc/$name"; done; shift
        exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"
        """
    )
    command = ["unshare", "-m", "sh", "-ec", shell, "sh", str(area), interpreter(), "-c", script, *args]
    packages = Path(pytest.__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env)


@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (package uidmap)")
@pytest.mark.parametrize("name", RUNTIMES)
def test_an_ordinary_user_builds_in_a_user_namespace(name: str, user_area: Path) -> None:
    ran = as_user(user_area, ROOTLESS, name, str(user_area))
    assert ran.returncode == 0, ran.stderr
    code, out, stubs, other, refusal = json.loads(ran.stdout)
    assert out["stdout"].splitlines() == ["0", "0 7", "CapEff:\t00000000800405fb", "lo", "s"]
    assert out["stderr"].count("\n") == 3, out["stderr"]
    assert code != 0
    assert other == 0
    assert refusal is None
    assert stubs == ["secret", "t"]
    made = (user_area / "upper/f").stat()
    assert (made.st_uid, made.st_gid) == (700004, 700005)


@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (package uidmap)")
def test_a_user_without_ranges_is_told_what_to_do(user_area: Path) -> None:
    script = """
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import enter_user_namespace
try:
    enter_user_namespace()
except SandboxError as error:
    print(error.message, error.hint, sep="|")
"""
    ran = as_user(user_area, script, ranges="")
    assert ran.stdout == (
        "user tester has no range of 65536 numbers in /etc/subuid"
        "|as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 tester\n"
    )


def test_an_ordinary_user_without_a_namespace_is_refused(user_area: Path) -> None:
    script = """
import sys
from pathlib import Path
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import Runner, pick_runtime
try:
    Runner(pick_runtime("bwrap"), Path(sys.argv[1]) / "state")
except SandboxError as error:
    print(error.message)
"""
    ran = as_user(user_area, script, str(user_area))
    assert ran.stdout == "can't make namespaces for steps: Operation not permitted\n"


def test_sigint_of_the_terminals_group_does_not_reach_the_step(box: Box) -> None:
    assert os.getpgid(max(descendants_of(box.runner._keeper))) != os.getpgid(0)
    assert signal.getsignal(signal.SIGINT) is not None
