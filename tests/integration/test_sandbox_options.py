"""One suite for all runtimes: what a step may ask for beyond the usual, and what it may not."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import (
    DEFAULT_CAPABILITIES,
    BindMount,
    FileMount,
    OverlayMount,
    TmpfsMount,
    current_capabilities,
    network_mounts,
)
from tests.support.boxes import BUSYBOX, Box, status

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(BUSYBOX is None, reason="needs busybox (package busybox-static)"),
]


# --- names


def test_a_host_name_of_its_own(box: Box) -> None:
    mounts = network_mounts("none", "builder", [("db", "10.0.0.1"), ("db", "fd00::1")])
    lines = box.lines("hostname; cat /proc/sys/kernel/hostname; cat /etc/hosts", hostname="builder", mounts=mounts)
    assert lines[:4] == ["builder", "builder", "10.0.0.1\tdb", "fd00::1\tdb"]
    assert "127.0.0.1\tlocalhost builder" in lines
    assert os.uname().nodename != "builder"


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_what_is_no_host_name(box: Box, name: str) -> None:
    with pytest.raises(SandboxError, match="not a host name"):
        box.run("true", hostname=name)


# --- limits


def test_limits_are_exact(box: Box) -> None:
    limits = (("nofile", 100, 200), ("core", 0, -1), ("nproc", 50, 50), ("fsize", 4096, 8192), ("stack", 1 << 20, -1))
    found = box.lines("cat /proc/self/limits", limits=limits)
    rows = {line[:26].strip(): line[26:].split()[:2] for line in found}
    assert rows["Max open files"] == ["100", "200"]
    assert rows["Max core file size"] == ["0", "unlimited"]
    assert rows["Max processes"] == ["50", "50"]
    assert rows["Max file size"] == ["4096", "8192"]
    assert rows["Max stack size"] == [str(1 << 20), "unlimited"]
    assert box.run("head -c 5000 /dev/zero > /x", limits=limits).result.exit != 0


def test_limits_hold_for_a_user_too(box: Box) -> None:
    assert box.lines("ulimit -n; ulimit -Hn", uid=5, gid=5, limits=(("nofile", 11, 22),)) == ["11", "22"]


@pytest.mark.skipif("SYS_RESOURCE" not in current_capabilities(), reason="needs CAP_SYS_RESOURCE")
def test_a_hard_limit_can_be_raised_and_only_for_the_step(box: Box) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = before[1] + 1
    assert box.lines("ulimit -n", limits=(("nofile", wanted, wanted),)) == [str(wanted)]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_a_limit_above_what_the_kernel_gives(box: Box) -> None:
    with pytest.raises(SandboxError, match="the limit nofile can't be raised to unlimited") as caught:
        box.run("true", limits=(("nofile", 10, -1),))
    assert (
        caught.value.hint == f"{resource.getrlimit(resource.RLIMIT_NOFILE)[1]} is the most that pybuild may give here"
    )


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("files", 1, 1), "not a resource limit: 'files'"),
        (("nofile", 2, 1), r"the soft limit nofile \(2\) is above the hard one \(1\)"),
        (("nofile", -1, 1), "is above the hard one"),
        (("core", -2, 1), "must be a number"),
        (("core", 2**63, 2**63), "must be a number"),
    ],
)
def test_what_is_no_limit(box: Box, limit: tuple[str, int, int], said: str) -> None:
    with pytest.raises(SandboxError, match=said):
        box.run("true", limits=(limit,))


# --- set-user-id programs


@pytest.fixture
def with_su(tmp_path: Path) -> Path:
    """A su that is set-user-id, and a root without a password."""
    layer = tmp_path / "su"
    for name in ("bin", "etc"):
        (layer / name).mkdir(parents=True)
    assert BUSYBOX is not None
    shutil.copy(BUSYBOX, layer / "bin/su")
    (layer / "bin/su").chmod(0o4755)
    (layer / "etc/passwd").write_text("root::0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    (layer / "etc/group").write_text("root:x:0:\n")
    return layer


SU = "/bin/su root -c 'id -u; grep -E \"Cap(Eff|Bnd)\" /proc/self/status; touch /made; stat -c %u /made'"


def test_set_user_id_programs_work_where_the_step_says_so(box: Box, with_su: Path) -> None:
    lines = box.lines(SU, root=box.root(with_su), uid=1000, gid=1000, no_new_privs=False)
    assert lines == ["0", "CapEff:\t00000000800405fb", "CapBnd:\t00000000800405fb", "0"]


def test_set_user_id_programs_are_void_otherwise(box: Box, with_su: Path) -> None:
    assert box.run(SU, root=box.root(with_su), uid=1000, gid=1000).result.exit != 0


def test_a_step_that_may_gain_privileges_is_as_locked_in_as_others(box: Box) -> None:
    more = {"no_new_privs": False, "capabilities": (*DEFAULT_CAPABILITIES, "MKNOD")}
    for script in ("unshare -m true", "mount -t tmpfs none /tmp", "umount /sys", "mknod /n c 1 3 && cat /n"):
        assert box.run(script, **more).result.exit != 0, script
    assert box.run("echo x > /proc/sys/kernel/core_pattern", **more).result.exit != 0
    assert box.lines("cat /proc/keys /proc/timer_list; ls /sys/firmware", **more) == []
    assert box.lines("ls -A /proc/1/fd; readlink /proc/1/exe; echo $PPID; pwd", cwd="/tmp", **more) == [
        *("0", "1", "2"),
        *("/init", "1", "/tmp"),
    ]
    assert box.lines("ls /proc | grep -c '^[0-9]*$'", **more)[0] in ("3", "4")
    assert not [line for line in box.lines("cat /proc/self/mounts", **more) if str(box.area) in line.split()[1]]


def test_the_exit_status_of_a_step_that_may_gain_privileges(box: Box) -> None:
    assert box.run("exit 7", no_new_privs=False).result.exit == 7
    assert box.run("kill -9 $$", no_new_privs=False).result.exit == 137
    assert box.run("sleep 1000 & exit 3", no_new_privs=False).result.exit == 3
    ran = box.run_spec(box.spec("", no_new_privs=False, args=("/bin/none",)))
    assert (ran.result.exit, ran.result.refused) == (127, "/bin/none: no such file")


# --- no sandbox


INSECURE = {"no_new_privs": False, "insecure": True}


def test_an_insecure_step_has_everything(box: Box) -> None:
    found = status(box, capabilities=current_capabilities(), **INSECURE)
    own = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if "Cap" in line)
    assert (found["CapEff"], found["CapBnd"]) == (own["CapEff"], own["CapEff"])
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    script = """
    mkdir /m && mount -t tmpfs none /m && touch /m/x && umount /m && rmdir /m
    unshare -m true
    echo renamed > /proc/sys/kernel/hostname && hostname
    mknod /null c 1 3 && echo lost > /null && rm /null
    mknod /dev/more c 1 5 && head -c 3 /dev/more | wc -c
    grep -c ' /sys sysfs rw' /proc/self/mounts
    grep -c '^[^ ]* /proc/' /proc/self/mounts
    true
    """
    lines = box.lines(script, capabilities=current_capabilities(), **INSECURE)
    assert lines == ["renamed", "3", "1", "0"]
    assert not list(box.upper.glob("m"))


def test_an_insecure_step_leaves_nothing(box: Box) -> None:
    """What is left of it would be found by the check that ends every test."""
    script = "mount -t tmpfs none /tmp; sleep 1000 & mount --make-rshared /; mount -t tmpfs none /sys; exit 4"
    assert box.run(script, capabilities=current_capabilities(), **INSECURE).result.exit == 4


# --- mounts


def lower(path: Path, **files: str) -> Path:
    for name, text in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def test_a_mount_inside_a_read_only_one(box: Box, tmp_path: Path) -> None:
    shown, cache = lower(tmp_path / "shown", a="a"), lower(tmp_path / "cache", c="c")
    mounts = (
        OverlayMount(lowers=(str(shown),), target="/in", read_only=True),
        BindMount(source=str(cache), target="/in/deep/cache", read_only=False),
        FileMount(data=b"f", target="/in/file"),
    )
    script = "cat /in/a /in/deep/cache/c /in/file; touch /in/deep/cache/d; touch /in/x /in/deep/x; true"
    ran = box.run(script, mounts=mounts)
    assert ran.out == "acf"
    assert ran.err.count("Read-only file system") == 2
    assert (cache / "d").exists()
    assert sorted(path.name for path in shown.iterdir()) == ["a"]


def test_a_mount_inside_a_private_copy(box: Box, tmp_path: Path) -> None:
    shown = lower(tmp_path / "shown", a="a")
    mounts = (
        BindMount(source=str(shown), target="/in", private=True),
        TmpfsMount(target="/in/t"),
    )
    assert box.run("cat /in/a; touch /in/t/x && ! touch /in/x 2>/dev/null", mounts=mounts).result.exit == 0


def test_no_place_is_made_in_what_others_own(box: Box, tmp_path: Path) -> None:
    shown = lower(tmp_path / "shown", a="a")
    with pytest.raises(SandboxError, match="can't make the mount point /in/t: Read-only file system"):
        box.run("true", mounts=(BindMount(source=str(shown), target="/in"), TmpfsMount(target="/in/t")))
    assert sorted(path.name for path in shown.iterdir()) == ["a"]


def test_changes_of_a_mount_go_where_they_are_told_to(box: Box, tmp_path: Path) -> None:
    shown = lower(tmp_path / "shown", a="a", d__b="b")
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    mount = OverlayMount(lowers=(str(shown),), target="/in", upper=str(tmp_path / "upper"), work=str(tmp_path / "work"))
    assert box.lines("echo x > /in/new; rm -r /in/d; ls /in", mounts=(mount,)) == ["a", "new"]
    assert (tmp_path / "upper/new").read_text() == "x\n"
    assert (shown / "d/b").exists()


def test_a_script_below_dev_runs(box: Box) -> None:
    mounts = (FileMount(data=b"#!/bin/sh\necho ran $0\n", target="/dev/pipes/EOF", mode=0o755),)
    ran = box.run_spec(box.spec("", args=("/dev/pipes/EOF",), mounts=mounts))
    assert (ran.out, ran.result.exit) == ("ran /dev/pipes/EOF\n", 0)
    assert not (box.upper / "dev/pipes").exists()


def test_shared_memory_of_another_size(box: Box) -> None:
    mounts = (TmpfsMount(target="/dev/shm", size=1 << 20),)
    assert box.lines("df -k /dev/shm | tail -n 1 | awk '{print $2}'; stat -c %a /dev/shm", mounts=mounts) == [
        "1024",
        "1777",
    ]
