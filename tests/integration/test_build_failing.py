"""Steps side by side, steps that fail, and builds that are stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildkit_py.store import Store
from tests.support import running
from tests.support.build import BASE, Build, Project
from tests.support.command import Pybuild
from tests.support.leftovers import leftovers

WAIT = "i=0; until [ -e /meet/{} ]; do i=$((i+1)); [ $i -lt 200 ]; sleep 0.05; done"


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


def stages(*bodies: str) -> str:
    """A stage for each body, and an image that needs them all."""
    text = "".join(f"stage s{number} {{\n{BASE}\n{body}\n}}\n" for number, body in enumerate(bodies))
    copies = "\n".join(f"copy /out{number} to /out{number} from s{number}" for number in range(len(bodies)))
    return f"{text}image app {{\nfrom scratch\n{copies}\n}}"


def test_independent_steps_run_side_by_side(project: Project) -> None:
    """Each waits for the other: one after the other they would never end."""
    meet = "with cache(/meet)\nrun touch /meet/{}; " + WAIT + "; touch /out{}"
    project.file(stages(meet.format("a", "b", 0), meet.format("b", "a", 1)))
    assert len(project.build().processes) == 2


def test_a_failing_step_stops_what_depends_on_it_and_cancels_the_rest(project: Project) -> None:
    slow = "with cache(/meet)\nrun touch /meet/begun; sleep 600; touch /out0"
    bad = "with cache(/meet)\nrun " + WAIT.format("begun") + "; echo because; exit 3\nrun touch /out1"
    project.file(stages(slow, bad))
    build = project.attempt()
    assert build.result.code == 5
    outcomes = {event["outcome"]: event for event in build.of_kind("Finished")}
    assert outcomes.keys() == {"done", "failed", "cancelled"}
    assert "exit code: 3" in outcomes["failed"]["error"]
    skipped = {event["title"]: event["because"] for event in build.of_kind("Skipped")}
    assert set(skipped.values()) == {outcomes["failed"]["id"], outcomes["cancelled"]["id"]}
    assert {"run touch /out1", "copy /out0 → /out0", "copy /out1 → /out1", "layer 'app'"} == skipped.keys()
    assert build.of_kind("BuildDone")[0]["skipped"] == len(skipped)
    assert "Buildfile:10:1" in build.result.stderr and "because" in build.result.stderr


def test_keep_going_finishes_what_does_not_depend_on_the_failure(project: Project) -> None:
    project.file(stages("run echo 0 > /out0\nrun echo x >> /out0", "run exit 4", "run exit 5"))
    build = project.attempt("--keep-going", "--jobs", "1")
    assert build.result.code == 5
    assert build.processes == ["run echo 0 > /out0", "run echo x >> /out0"]
    failed = [event["error"] for event in build.of_kind("Finished") if event["outcome"] == "failed"]
    assert len(failed) == 2
    assert "exit code: 4" in build.result.stderr and "exit code: 5" in build.result.stderr
    second = project.attempt()
    assert second.processes == []
    assert second.result.code == 5


def test_the_record_of_a_build_tells_what_happened(project: Project) -> None:
    project.image("run echo one > /one")
    project.build()
    project.image("run echo one > /one", "run exit 7")
    project.attempt()
    with Store.open(project.pybuild.store) as store:
        failed, done = (store.builds.get(row["id"]) for row in store.builds.list(2))
        assert (done["outcome"], failed["outcome"]) == ("done", "failed")
        nodes = {node["title"]: node for node in failed["nodes"].values() if "title" in node}
        assert nodes["run echo one > /one"]["cached"] == "key"
        assert nodes["run exit 7"]["outcome"] == "failed"
        assert nodes["run exit 7"]["finished"] >= nodes["run exit 7"]["started"]
        assert nodes["layer 'app'"]["skipped"]
        parts = store.results.get(nodes["run echo one > /one"]["key"])
        assert parts is not None
        assert {"op.type", "op.args", "epoch", "input.base", "env.PATH"} <= parts["parts"].keys()
        assert json.loads(store.blobs.read(failed["graph"]))["vertices"]
        assert done["images"]


@pytest.mark.parametrize("item", ["file /nothing", "run false", "text /one missing", "mode /one 0600"])
def test_a_failing_test_publishes_nothing(project: Project, item: str) -> None:
    text = f'test "shape" {{\n{item}\n}}'
    project.image("run echo one > /one", "output archive ./out.tar", "output store other", text)
    build = project.attempt("-t", "app:1")
    assert build.result.code == 6
    assert "'shape'" in build.result.stderr and "Buildfile:" in build.result.stderr
    assert build.of_kind("ImageDone") == []
    assert json.loads(project.pybuild.ok("ls", "--json").stdout) == []
    assert not (project.directory / "out.tar").exists()
    assert project.attempt().processes == []


@contextmanager
def started(project: Project, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A build that is under way."""
    with running.started(
        project.pybuild, "build", ".", "--progress", "json", *arguments, cwd=project.directory
    ) as made:
        yield made


def wait_for_output(process: subprocess.Popen[bytes], text: str) -> None:
    running.heard(process.stdout, '"Log"', text)


def settled(directory: Path) -> list[str]:
    """What is left of a killed build, once its processes had the time to die."""
    for _ in range(100):
        left = leftovers(directory)
        if not left:
            break
        time.sleep(0.05)
    return left


SLOW = (
    "run echo before > /before",
    "with cache(/flag)",
    "run mkdir -p /made/some; if [ ! -e /flag/go ]; then touch /flag/go; echo begun; sleep 600; fi; echo x > /x",
)


@pytest.mark.parametrize("runtime", ["runc", "crun", "bwrap"])
def test_a_killed_build_leaves_nothing_and_can_be_repeated(project: Project, runtime: str) -> None:
    project.image(*SLOW)
    with started(project, "--runtime", runtime) as process:
        wait_for_output(process, "begun")
        process.kill()
        process.communicate()
    assert settled(project.directory.parent) == []
    build = project.build("--runtime", runtime)
    assert len(build.processes) == 1
    project.check()
    assert list((project.pybuild.store / "tmp").iterdir()) == []


def test_whoever_waits_for_another_build_can_be_stopped(project: Project) -> None:
    project.image(*SLOW)
    with started(project) as first:
        wait_for_output(first, "begun")
        with started(project) as second:
            assert second.stdout is not None
            for line in second.stdout:
                if b"another build is at work" in line:
                    break
            second.send_signal(signal.SIGINT)
            second.communicate(timeout=30)
            assert second.returncode == 130
        listed = json.loads(project.pybuild.ok("builds", "--json").stdout)
        assert [row["outcome"] for row in listed] == ["cancelled"]
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)


def test_many_builds_at_once_run_every_step_once(project: Project) -> None:
    step = "with cache(/count)\nrun echo {0} >> /count/ran; sleep 0.1; echo {0} > /out{0}"
    project.file(stages(*(step.format(number) for number in range(4))))
    with ThreadPoolExecutor(16) as pool:
        builds = list(pool.map(lambda _: project.build(), range(16)))
    assert len({build.digest for build in builds}) == 1
    assert sum(len(build.processes) for build in builds) == 4
    (ran,) = (project.pybuild.store / "caches").glob("*/*/ran")
    assert sorted(ran.read_text().split()) == ["0", "1", "2", "3"]
    assert project.build().ran == []
    project.check()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for little."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_costs_nothing(project: Project, small_disk: Path) -> None:
    pybuild = Pybuild(home=project.pybuild.home, store=small_disk / "store")
    project = Project(pybuild=pybuild, directory=project.directory)
    project.image("run echo one > /one")
    project.build()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(8 << 20))
    project.write({"big": "x" * (20 << 20)})
    project.image("run echo one > /one", "copy ./big to /big", "run dd if=/dev/zero of=/zero bs=1M count=10")
    build: Build = project.attempt()
    assert build.result.code == 12
    assert "the disk is full" in build.result.stderr
    assert "Traceback" not in build.result.output and "a report is in" not in build.result.output
    ballast.unlink()
    project.write({"big": "x" * 1000})
    project.image("run echo one > /one", "copy ./big to /big", "run echo two > /two")
    assert project.build().processes == ["run echo two > /two"]
    project.check()
