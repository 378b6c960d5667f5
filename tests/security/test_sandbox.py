"""The sandbox of a step: who it is, what it holds and which system calls it can make, by both frontends."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.attacks import (
    MACHINE,
    attacked,
    call,
    call_of_32_bits,
    dockerfile,
    place_programs,
    ran,
)
from tests.support.boxes import RUNTIMES, Box, descendants_of
from tests.support.command import Pybuild
from tests.support.project import Project

Told = dict[str, dict[str, list[str]]]
"""By step and by name, what it saw of itself."""

# What the builder itself holds too much of, and no step may get: two directories, a group, and capabilities.
BURDENED = ("sh", "-c", 'exec setpriv --groups 4242 --inh-caps +chown,+sys_admin -- "$@" 8</etc 9</', "sh")

SEE = (
    "grep -E '^(Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ls /proc/$$/fd; "
    "for p in /proc/[0-9]*; do readlink $p/exe || true; done | sort -u | sed s/^/Exe:/; "
    "for p in /proc/[0-9]*/exe; do if true >> $p; then echo Wrote:$p; fi; done 2>/dev/null; "
    "for p in /dev/stdin /dev/null /proc/keys; do if chmod 666 $p; then echo Changed:$p; fi; done 2>/dev/null; "
    "pwd -P | sed s/^/Pwd:/"
)

BUILDFILE = rf"""
write /etc/passwd "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"
write /etc/group "root:x:0:\napp:x:1000:\naudio:x:29:other,app\nvideo:x:44:app\nnone:x:45:apple\n"
run echo Step:run; {SEE}
with capability(MKNOD)
run echo Step:mknod; {SEE}
host echo Step:host; {SEE}
user app
run echo Step:user; {SEE}
"""
DOCKERFILE = f"""
FROM base
RUN echo Step:RUN; {SEE}
USER 1000:1000
RUN echo Step:USER; {SEE}
"""


def told(project: Project) -> Told:
    """What the steps of both frontends say."""
    built = ran(project.build(BUILDFILE)) + ran(dockerfile(project, DOCKERFILE))
    found: Told = {}
    for line in built:
        name, _, value = line.partition(":")
        if name == "Step":
            found[value] = defaultdict(list)
        else:
            found[next(reversed(found))]["Fd" if name.isdigit() else name].append(value.strip() or name)
    assert sorted(found) == ["RUN", "USER", "host", "mknod", "run", "user"]
    return found


@pytest.fixture(
    scope="module", params=[(name, each) for each in ("overlay", "copy") for name in RUNTIMES], ids="-".join
)
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Built once for all rows that only look."""
    runtime, snapshotter = request.param
    area = tmp_path_factory.mktemp("told")
    pybuild = Pybuild(home=area, store=area / "store", wrapper=BURDENED)
    return told(attacked(pybuild, area, ("--runtime", runtime, "--snapshotter", snapshotter)))


# --- what a step is


def check_descriptors(said: Told) -> None:
    assert {step: seen["Fd"] for step, seen in said.items()} == {step: ["0", "1", "2"] for step in said}


def check_inheritable(said: Told) -> None:
    for step, seen in said.items():
        assert seen["CapInh"] == seen["CapAmb"] == ["0" * 16], step


def check_groups(said: Told) -> None:
    groups = {step: seen["Groups"] for step, seen in said.items()}
    users = {"user": ["29 44 1000"], "USER": ["1000"]}
    assert groups == {"run": ["0"], "mknod": ["0"], "RUN": ["0"], "host": ["Groups"], **users}


CAPABILITIES = {
    **dict.fromkeys(("run", "user"), "00000000800405fb"),
    **dict.fromkeys(("mknod", "RUN", "USER"), "00000000880405fb"),
    "host": "00000000800401fb",
}


def check_capabilities(said: Told) -> None:
    for step, seen in said.items():
        held = "0" * 16 if step.lower() == "user" else CAPABILITIES[step]
        assert seen["CapPrm"] == seen["CapEff"] == [held], step
        assert seen["CapBnd"] == [CAPABILITIES[step]], step


def check_privileges(said: Told) -> None:
    assert {step: seen["NoNewPrivs"] for step, seen in said.items()} == {
        step: ["0" if step.isupper() else "1"] for step in said
    }
    assert {tuple(seen["Seccomp"]) for seen in said.values()} == {("2",)}


def check_programs(said: Told) -> None:
    for step, seen in said.items():
        assert "Wrote" not in seen, step
        own = {exe for exe in seen["Exe"] if not exe.startswith("/usr/bin/")} if step == "host" else set(seen["Exe"])
        assert own <= {"/init", "/bin/busybox"}, step


def check_devices(said: Told) -> None:
    assert {step: seen.get("Changed", []) for step, seen in said.items()} == {step: [] for step in said}


CHECKS = (
    *(check_descriptors, check_inheritable, check_groups, check_capabilities, check_privileges, check_programs),
    check_devices,
)


def test_a_step_has_three_descriptors(said: Told) -> None:
    """CVE-2024-21626: pybuild is started with directories of the machine open, and no step has them."""
    check_descriptors(said)


def test_inheritable_capabilities_are_none(said: Told) -> None:
    """CVE-2022-27651, CVE-2022-29162: though pybuild is started with all of them."""
    check_inheritable(said)


def test_supplementary_groups_are_exact(said: Told) -> None:
    """CVE-2022-2989: those of the image's user, and not the one that pybuild is in."""
    check_groups(said)


def test_default_capabilities_are_exact(said: Told) -> None:
    """The bounding set too, which bubblewrap leaves full."""
    check_capabilities(said)


def test_no_new_privs_is_on_but_for_a_dockerfiles_run(said: Told) -> None:
    check_privileges(said)


def test_no_program_of_the_machine_can_be_written(said: Told) -> None:
    """CVE-2019-5736: no process of the runtime is in there, and what is there is busy."""
    check_programs(said)


def test_the_runtimes_program_is_on_a_read_only_mount(box: Box) -> None:
    """CVE-2019-5736: as the processes see it that start a step."""
    supervisor = max(descendants_of(box.runner._keeper))
    enter = ["nsenter", "-m", "-t", str(supervisor), "test", "-w"]
    assert subprocess.run([*enter, "/dev/null"]).returncode == 0
    assert subprocess.run([*enter, box.runner.runtime.path]).returncode == 1


def test_the_machines_devices_can_not_be_changed(said: Told) -> None:
    """Nor by way of standard input, nor where one covers a file of /proc. The mode tried is the one it has."""
    check_devices(said)


# --- system calls

EFAULT, ENOTTY = 14, 25
EPERM, ENOSYS = 1, 38
NEW_USER, CHILD = 0x10000000, 17

# Without the filter they end otherwise, by another fault that the kernel finds first or by none; the last four without
# the capability alone.
REFUSED = {
    "keyctl": call("keyctl", 0, -2, 0),
    "add_key": call("add_key", 0, 0, 0, 0, -2),
    "request_key": call("request_key", 0, 0, 0, 0),
    "bpf": call("bpf", 0, 0, 0),
    "unshare": call("unshare", NEW_USER),
    "clone": call("clone", NEW_USER | CHILD, 0, 0, 0, 0),
    "setns": call("setns", -1, 0),
    "mount": call("mount", 0, 0, 0, 0, 0),
    "umount2": call("umount2", 0, 0),
    "open_tree": call("open_tree", -1, 0, 0),
    "open_by_handle_at": call("open_by_handle_at", -1, 0, 0),
    "io_uring_setup": call("io_uring_setup", 1, 0),
    "userfaultfd": call("userfaultfd", 1),
    "perf_event_open": call("perf_event_open", 0, 0, -1, -1, 0),
    "pidfd_getfd": call("pidfd_getfd", -1, -1, 0),
    "process_madvise": call("process_madvise", -1, 0, 0, 0, 0),
    "kexec_load": call("kexec_load", 0, 0, 0, 0),
    "personality": call("personality", 0x0040000),
    "socket-vsock": call("socket", 40, 1, 0),
    "socket-alg": call("socket", 38, 5, 0),
    "ioctl-push": call("ioctl", 0, 0x5412, 0),
    "ioctl-push-high": call("ioctl", 0, 1 << 32 | 0x5412, 0),
    "pivot_root": call("pivot_root", 0, 0),
    "move_mount": call("move_mount", -1, 0, -1, 0, 0),
    "fsopen": call("fsopen", 0, 0),
    "swapon": call("swapon", 0, 0),
}
OTHERWISE = {
    "clone3": (call("clone3", 0, 0), [f"0 {ENOSYS}"]),
    "ioctl-other": (call("ioctl", 0, 0x5413, 0), [f"0 {ENOTTY}"]),
    "ptrace-own": (call("ptrace", 0, 0, 0, 0), []),
    "unshare-nothing": (call("unshare", 0), [f"0 {EPERM}"]),
}
OF_32_BITS = {
    "keyctl": call_of_32_bits(288, 0, -2 & 0xFFFFFFFF, 0),
    "unshare": call_of_32_bits(310, NEW_USER),
    "mount": call_of_32_bits(21, 0, 0, 0),
    "io_uring_setup": call_of_32_bits(425, 1, 0),
}

CALL = (
    "for p in /calls/*; do echo call ${p##*/} $($p | od -A n -t d4 -w8); done; "
    "for p in /old/*; do if $p; then echo old ${p##*/} 0; else echo old ${p##*/} $?; fi; done"
)


def refuses_calls(project: Project) -> None:
    programs = {**REFUSED, **{name: program for name, (program, _) in OTHERWISE.items()}}
    place_programs(project.directory / "calls", programs)
    place_programs(
        project.directory / "old", OF_32_BITS if MACHINE == "x86_64" else {"none": call("exit_group", EPERM)}
    )
    body = f"copy ./calls ./old to /\nrun {CALL}\nuser 1000:1000\nrun {CALL}"
    lines = ran(project.build(body)) + ran(
        dockerfile(project, f"FROM base\nCOPY calls /calls\nCOPY old /old\nRUN {CALL}")
    )
    said: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        kind, name, *numbers = line.split()
        said[f"{kind} {name}"].add(" ".join(numbers))
    for name in REFUSED:
        assert said.pop(f"call {name}") == {f"0 {EPERM}"}, name
    for name, (_, numbers) in OTHERWISE.items():
        assert said.pop(f"call {name}") == {" ".join(numbers)}, name
    for name, codes in said.items():
        # A kernel without the old gate kills who knocks.
        assert codes <= {str(EPERM), "139"}, name


def test_the_filter_of_system_calls_is_in_force(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """For root and for others, for both frontends, and by the 32-bit gate."""
    refuses_calls(attacked(pybuild, tmp_path, way))


# --- devices, /proc and /sys

OPEN = "if true < {at}node; then echo opened {at}; fi 2>/dev/null; "
MAKE = "if mknod {at}node c 1 5; then echo made {at}; fi 2>/dev/null; "
"""The machine's /dev/zero."""
ANYWHERE = ("/", "/etc/", "/dev/", "/dev/shm/", "/tmp/", "/c/", "/t/")


def nodes_open_nothing(project: Project) -> None:
    make, opens = ("".join(text.format(at=at) for at in ANYWHERE) for text in (MAKE, OPEN))
    mounts = "--mount=type=cache,target=/c --mount=type=tmpfs,target=/t"
    text = f"FROM base\nRUN {mounts} {make}{opens}true\nRUN {mounts} {opens}true"
    assert ran(dockerfile(project, text)) == [f"made {at}" for at in ANYWHERE]
    own = MAKE.format(at="/") + OPEN.format(at="/") + "true"
    tree = (MAKE + OPEN).format(at="$ROOTFS/etc/") + (MAKE + OPEN).format(at="/tmp/") + "true"
    body = f"run {own}\nhost {tree}\nwith capability(MKNOD)\nrun {own}\nwith capability(MKNOD)\nhost {tree}"
    assert ran(project.build(body)) == ["made /", "made /rootfs/etc/", "made /tmp/"]


def test_a_node_opens_nothing(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """Wherever a step that has MKNOD makes one, and in the step after it; others make none."""
    nodes_open_nothing(attacked(pybuild, tmp_path, way))


CORE = "/proc/sys/kernel/core_pattern"
WRITE = (
    "cd /; find /proc -path '/proc/[0-9]*' -prune -o -path /proc/pressure -prune "
    "-o -type f -perm /222 -print > /tmp/w 2>/dev/null || true; "
    'while read -r f; do if test -f "$f" && true >> "$f"; then echo wrote $f; fi; done < /tmp/w 2>/dev/null; '
    f"for r in /proc/1/root /proc/self/root /proc/self/cwd /proc/1/cwd; do "
    f"if cat {CORE} > $r{CORE}; then echo wrote $r; fi; done 2>/dev/null; "
    "if umount /proc/sys; then echo bared /proc/sys; fi 2>/dev/null; "
    "if mount -o remount,rw /proc/sys; then echo opened /proc/sys; fi 2>/dev/null; "
    "grep -o ' /sys[^ ]* [^ ]* rw' /proc/self/mounts || true; "
)
"""Opens every file of /proc that is not of a process, without writing, but for those that take what concerns their
reader alone; writes what is there already."""
READ = (
    "find /proc -path '/proc/[0-9]*' -prune -o -path /proc/sys -prune "
    "-o -type f ! -perm /004 -print > /tmp/r 2>/dev/null || true; "
    "cd /proc; ls kcore keys latency_stats sched_debug timer_list interrupts >> /tmp/r 2>/dev/null || true; "
    'while read -r f; do if test "$(head -c 1 $f | wc -c)" != 0; then echo read $f; fi; done < /tmp/r 2>/dev/null; '
    "ls -A /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/kernel/security /sys/fs/bpf 2>/dev/null "
    "| grep -v -e : -e '^$' || true; rm /tmp/r /tmp/w"
)
"""Reads what only the machine's root may read, and what tells of other processes."""


LOOKED = "\n".join(f"{step} {WRITE}{READ}" for step in ("run", "with network\nrun", "host", "with network\nhost"))


def settings_are_out_of_reach(project: Project) -> None:
    before = Path(CORE).read_text()
    assert ran(project.build(LOOKED)) == []
    assert ran(dockerfile(project, f"FROM base\nRUN {WRITE}{READ}")) == []
    assert Path(CORE).read_text() == before


def test_kernel_settings_can_not_be_written(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """Root without capabilities is still the machine's root to /proc: core_pattern and all else there is read-only."""
    settings_are_out_of_reach(attacked(pybuild, tmp_path, way))


CANARY = "canary-of-the-machines-sys"
DEBUG = "/sys/kernel/debug"
MOUNTED = (
    "unshare",
    "-m",
    "sh",
    "-ec",
    f'mount -t tmpfs none {DEBUG}; echo {CANARY} > {DEBUG}/canary; exec "$@"',
    "sh",
)


def sees_no_mount_of_the_machine(project: Project) -> None:
    look = f"if cat {DEBUG}/canary; then true; fi 2>/dev/null; ls -A /sys/fs/cgroup; grep -c ' /sys' /proc/self/mounts"
    body = f"run {look}\nwith network\nrun {look}\nwith network\nhost {look}"
    lines = ran(project.build(body)) + ran(dockerfile(project, f"FROM base\nRUN {look}"))
    assert len(lines) == 4 and len(set(lines)) == 1


@pytest.mark.skipif(not Path(DEBUG).is_dir(), reason="this kernel has no debugfs")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_mounted_in_the_machines_sys_is_unseen(pybuild: Pybuild, tmp_path: Path, runtime: str) -> None:
    """Debugfs and cgroups tell of all processes; a step with the machine's network has a /sys of its own too."""
    sees_no_mount_of_the_machine(attacked(replace(pybuild, wrapper=MOUNTED), tmp_path, ("--runtime", runtime)))
