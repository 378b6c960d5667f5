"""What a step may use at most: time, memory, processes, processors; by every runtime, for both frontends.

Whatever carries the controllers here keeps the limits, version 1 of control groups or version 2.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.executor.sandbox.groups import Groups
from tests.support import cgroups
from tests.support.boxes import RUNTIMES, Box
from tests.support.build import BASE, Build, Project
from tests.support.cgroups import Home
from tests.support.command import Pybuild
from tests.support.leftovers import leftovers

HAVE = cgroups.found()
HOG = "dd if=/dev/zero of=/dev/null bs=256M count=1"
CROWD = "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); echo $i; done"


def needs(*names: str) -> pytest.MarkDecorator:
    lacking = sorted(set(names) - set(HAVE))
    return pytest.mark.skipif(bool(lacking), reason=f"steps can't be limited by {', '.join(lacking)} here")


SHARED = pytest.mark.skipif(
    "memory" in HAVE and HAVE["memory"].version == 2,
    reason="a delegated group of version 2 has one pybuild, and goes with it",
)


@pytest.fixture
def home() -> Iterator[Home]:
    with cgroups.home() as made:
        yield made


@pytest.fixture(params=RUNTIMES)
def project(request: pytest.FixtureRequest, pybuild: Pybuild, tmp_path: Path, home: Home) -> Project:
    made = Project.make(replace(pybuild, wrapper=home.wrapper), tmp_path / "project")
    return replace(made, arguments=("--runtime", request.param))


@pytest.fixture
def plain(pybuild: Pybuild, tmp_path: Path, home: Home) -> Project:
    return Project.make(replace(pybuild, wrapper=home.wrapper), tmp_path / "project")


def failures(build: Build) -> list[str]:
    return [event["error"] for event in build.of_kind("Finished") if event["outcome"] == "failed"]


# --- memory, processes


@needs("memory", "pids")
def test_each_step_is_held_to_its_limits_and_others_go_on(project: Project) -> None:
    """The hog is a daemon, and nobody asks how it ended; the crowd is one of a host step."""
    project.file(f"""
        stage hog {{
            {BASE}
            with memory(32m), cache(/c)
            run (setsid sh -c '({HOG}); touch /c/over' &); until [ -e /c/over ]; do usleep 20000; done
        }}
        stage crowd {{
            {BASE}
            with pids(20)
            host {CROWD}
        }}
        image other {{
            {BASE}
            with cache(/c), memory(1g), pids(1000)
            run until [ -e /c/over ]; do usleep 20000; done; echo went on
        }}
        """)
    build = project.attempt("--target", "hog", "--target", "crowd", "--target", "other", "--keep-going")
    assert build.result.code == 5
    hog, crowd = sorted(failures(build), key=lambda text: "processes" in text)
    assert "went over its memory limit (with memory(32m))" in hog
    assert "met its limit of 20 processes (with pids(20))" in crowd
    *_, last = (line for line in build.log.splitlines() if line.isdigit())
    # The shell is the twentieth, and that dd was killed is no fault of it.
    assert last == "19"
    assert "went on" in build.log


@needs("memory")
def test_what_is_kept_in_memory_counts(plain: Project) -> None:
    plain.image("with tmpfs(/t), memory(16m)", "run dd if=/dev/zero of=/t/x bs=1M count=64; true")
    assert "went over its memory limit" in failures(plain.attempt())[0]


@needs("memory")
def test_the_tighter_of_file_and_command_line_holds_for_either_frontend(plain: Project) -> None:
    plain.image("with memory(1g)", f"run {HOG}")
    assert "(--memory 32m)" in failures(plain.attempt("-m", "32m"))[0]
    plain.image("with memory(32m)", f"run {HOG}")
    assert "(with memory(32m))" in failures(plain.attempt("-m", "1g"))[0]
    plain.write({"Dockerfile": f"FROM base\nRUN {HOG}\n"})
    words = ("-f", "Dockerfile", "--build-context", f"base=oci-layout://{plain.directory}/base")
    assert "(--memory 32m)" in failures(plain.attempt(*words, "-m", "32m"))[0]
    plain.build(*words, "-m", "1g", "--memory-swap", "-1", "--cpu-shares", "512", "--cpu-quota", "90000")


@needs("memory")
def test_a_command_line_changes_no_key_and_a_build_file_does(plain: Project) -> None:
    plain.image("run echo > /x")
    first = plain.build("-m", "64m", "--step-timeout", "1h")
    assert len(first.processes) == 1
    again = plain.build()
    assert (again.processes, again.digest) == ([], first.digest)
    plain.image("with memory(64m)", "run echo > /x")
    limited = plain.build()
    assert (len(limited.processes), limited.digest) == (1, first.digest)


# --- processors


@needs("cpu", "cpuset")
def test_processors(box: Box) -> None:
    """That a step was throttled is what the kernel counts, whatever else this machine does."""
    groups = Groups(("cpu", "cpuset"))
    with groups.step({"cpus": 100, "cpu_shares": 2, "cpuset": "0"}) as group:
        spec = box.spec("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; grep Cpus_allowed_list /proc/self/status")
        heard: list[bytes] = []
        box.runner.run(spec, lambda _, data: heard.append(data), entrances=group.entrances)
        controller, place = group.groups["cpu"]
        counted = dict(line.split() for line in (place / "cpu.stat").read_text().splitlines())
        weight = (place / ("cpu.shares" if controller.version == 1 else "cpu.weight")).read_text()
    assert b"".join(heard).split() == [b"Cpus_allowed_list:", b"0"]
    assert int(counted["nr_throttled"]) > 0
    assert int(weight) == (2 if controller.version == 1 else 1)


@needs("cpuset")
def test_a_processor_that_is_not_there(plain: Project) -> None:
    plain.image("run true")
    build = plain.attempt("--cpuset-cpus", "4000")
    assert build.result.code == 13
    assert "the step can't be limited to the processors 4000" in build.result.stderr
    assert plain.attempt("--cpuset-cpus", "0-4000").result.code == 13
    plain.build("--cpuset-cpus", "0")


# --- time


def test_a_step_that_takes_too_long(project: Project, tmp_path: Path) -> None:
    project.image("with timeout(1s)", "run (setsid sleep 1000 &); trap '' TERM; sleep 1000")
    for _ in range(2):
        build = project.attempt("--step-timeout", "1h")
        assert build.result.code == 5
        assert failures(build)[0].endswith(": timed out after 1 second (with timeout(1s))")
        assert leftovers(tmp_path) == []


def test_a_test_and_a_dockerfile_that_take_too_long(plain: Project) -> None:
    plain.image("run true", 'test "ends" {', "with timeout(300ms)", "run sleep 1000", "}")
    build = plain.attempt()
    assert build.result.code == 6
    assert "timed out after 0.3 seconds (with timeout(300ms))" in build.result.stderr
    plain.write({"Dockerfile": "FROM base\nRUN sleep 1000\n"})
    named = f"base=oci-layout://{plain.directory}/base"
    build = plain.attempt("-f", "Dockerfile", "--build-context", named, "--step-timeout", "300ms")
    assert "timed out after 0.3 seconds (--step-timeout 300ms)" in failures(build)[0]


# --- what is left


@contextmanager
def up(project: Project, home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A build under way, as soon as its step has said `up`."""
    command = [*home.wrapper, sys.executable, "-m", "buildkit_py.cli", "build", ".", "--progress", "plain"]
    with subprocess.Popen(
        [*command, *project.arguments],
        cwd=project.directory,
        env=project.pybuild.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as build:
        try:
            assert build.stdout is not None
            assert any(line.split()[-1:] == [b"up"] for line in build.stdout)
            yield build
        finally:
            build.kill()


@SHARED
@needs("memory", "pids")
def test_kill_9_leaves_empty_groups_that_the_next_build_removes(project: Project, home: Home) -> None:
    project.image("with memory(64m), pids(50)", "run echo up; (setsid sleep 1000 &); sleep 1000; true")
    with up(project, home):
        assert len(home.below()) == len({HAVE["memory"].group, HAVE["pids"].group})
    assert home.below()
    project.image("with memory(64m)", "run true")
    project.build()


@SHARED
@needs("memory")
def test_a_build_in_progress_keeps_its_groups(plain: Project, home: Home, tmp_path: Path) -> None:
    """Who looks for what killed ones left takes nothing from those who live."""
    plain.image("with memory(64m), cache(/c)", "run touch /c/up; echo up; until [ -e /c/go ]; do usleep 20000; done")
    other = Project.make(replace(plain.pybuild, store=tmp_path / "other"), tmp_path / "other project")
    other.image("with memory(64m)", "run true")
    with up(plain, home) as build:
        other.build()
        assert len(home.below()) == 1
        (cache,) = (plain.pybuild.store / "caches").rglob("up")
        (cache.parent / "go").touch()
        assert build.wait() == 0


def test_a_step_without_limits_has_no_group(plain: Project, home: Home) -> None:
    plain.image("run cat /proc/self/cgroup")
    assert "pybuild-" not in plain.build().log


@needs("memory")
def test_a_step_can_neither_change_its_group_nor_leave_it(project: Project) -> None:
    project.image(
        "with memory(64m), network",
        "run {",
        "    ls /proc/1/fd /proc/$$/fd",
        "    for name in memory.limit_in_bytes memory.max cgroup.procs; do",
        "        find /sys/fs/cgroup -name $name",
        "    done > /tmp/files",
        "    while read file; do",
        "        (echo 9999999 > $file && echo written) 2> /dev/null || echo refused",
        "    done < /tmp/files",
        "}",
    )
    said = project.build().log.splitlines()
    assert [line for line in said if line.isdigit()] == ["0", "1", "2"] * 2
    assert "written" not in said


# --- where nothing keeps them


def test_limits_that_nothing_keeps_are_refused_before_anything_runs(pybuild: Pybuild, tmp_path: Path) -> None:
    bound = "for each in $(findmnt -R -n -l -o TARGET /sys/fs/cgroup); do mount -o remount,bind,ro $each; done"
    wrapper = ("unshare", "-m", "sh", "-ec", f'{bound}; exec "$@"', "sh")
    bare = Project.make(replace(pybuild, wrapper=wrapper), tmp_path / "project")
    bare.image("run echo ran", "with memory(64m)", "run true")
    build = bare.attempt()
    assert build.result.code == 13
    assert "the limit of memory can't be kept" in build.result.stderr
    assert "Buildfile:6:1: error: " in build.result.stderr
    assert build.of_kind("Started") == []
    bare.image("run echo ran")
    build = bare.attempt("--pids-limit", "10")
    assert build.result.code == 13
    assert "the limit of pids can't be kept" in build.result.stderr
    assert bare.build("--step-timeout", "1h").log == "ran"


def test_info_says_what_can_be_limited(pybuild: Pybuild) -> None:
    shown = pybuild.ok("info").stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("limits of steps"))
    for name, each in HAVE.items():
        assert f"{name} (v{each.version})" in line
