"""Rows 12 and 13: whoever holds a lock is killed, or stopped, while others wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from tests.support.build import Build, Project
from tests.support.command import ROOT, Pybuild, Result
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import digest_of, make_image
from tests.support.layouts import ARCHITECTURE
from tests.support.registry import write_config
from tests.support.running import heard, started
from tests.support.weaken import weakened

BUILD = ("build", ".", "--progress", "json")
LARGE = bytes(range(256)) * 40_000
# It ends when it is run for the second time.
STEP = "with cache(/c)\nrun echo begun; test -e /c/second || { touch /c/second; sleep 600; }; echo x > /x"
LOCKED = "with cache(/locked, sharing: locked)\nrun echo begun; sleep 600; echo {0} > /x"


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


@pytest.fixture
def hasty(pybuild: Pybuild, tmp_path: Path) -> Pybuild:
    """The command that waits for a moment where it would wait for a minute."""
    return weakened(pybuild, tmp_path / "hasty", "tests.faults.weak_patience:none_for_the_stopped")


def ended(process: subprocess.Popen[bytes]) -> Result:
    out, err = process.communicate(timeout=60)
    return Result(code=process.returncode, stdout=out.decode(), stderr=err.decode())


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def test_12_the_step_of_a_killed_build_is_taken_over(project: Project) -> None:
    project.image(STEP)
    with started(project.pybuild, *BUILD, cwd=project.directory) as holder:
        heard(holder.stdout, '"Log"', "begun")
        with started(project.pybuild, *BUILD, cwd=project.directory) as waiter:
            assert f"process {holder.pid}" in heard(waiter.stdout, "another build is at work")
            holder.kill()
            build = Build.of(ended(waiter))
    assert build.result.code == 0, build.result.output
    assert build.log == "begun"
    project.check()


@pytest.fixture
def halfway() -> Iterator[tuple[FaultyRegistry, Event]]:
    """A registry whose first answer for a large blob stops in the middle, and says so."""
    reached, over = Event(), Event()

    def half(handler: Handler) -> None:
        handler.reply(200, LARGE[: len(LARGE) // 2], Content_Length=len(LARGE))
        handler.wfile.flush()
        reached.set()
        over.wait(60)
        handler.drop()

    image = make_image(LARGE, platform=f"linux/{ARCHITECTURE}")
    with faulty_registry() as registry:
        for data in (*image.layers, image.config):
            registry.put(data)
        registry.add_manifest("app", "1", image.manifest, image.descriptor.media_type)
        registry.faults.append(times(1, on("GET", digest_of(LARGE), half)))
        try:
            yield registry, reached
        finally:
            over.set()


def test_12_the_download_of_a_killed_pull_is_taken_over(
    pybuild: Pybuild, tmp_path: Path, halfway: tuple[FaultyRegistry, Event]
) -> None:
    registry, reached = halfway
    there = Pybuild(
        home=pybuild.home,
        store=pybuild.store,
        registries=write_config(tmp_path / "registries.toml", registry.name),
    )
    pull = ("pull", "-q", f"{registry.name}/app:1")
    with started(there, *pull, cwd=tmp_path) as holder:
        assert reached.wait(60)
        with started(there, *pull, cwd=tmp_path) as waiter:
            while len(registry.asked("GET", "/manifests/")) < 2:
                Event().wait(0.01)
            holder.kill()
            assert ended(waiter).code == 0
    ranges = [request.headers.get("Range") for request in registry.asked("GET", digest_of(LARGE))]
    assert ranges[0] is None and str(ranges[1]).startswith("bytes=")
    assert there.ok("store", "check").stdout == "the store is whole\n"


def test_13_a_stopped_build_is_named_and_not_waited_for(project: Project, hasty: Pybuild) -> None:
    project.image(STEP)
    with started(project.pybuild, *BUILD, cwd=project.directory) as holder:
        heard(holder.stdout, '"Log"', "begun")
        stop(holder.pid)
        refused = Build.of(hasty(*BUILD, cwd=project.directory))
        (note,) = [event["text"] for event in refused.of_kind("Note") if "another build" in event["text"]]
        assert f"process {holder.pid}" in note
        assert refused.result.code == 12
        assert f"process {holder.pid}" in refused.result.stderr and f"kill -CONT {holder.pid}" in refused.result.stderr
        with started(hasty, *BUILD, cwd=project.directory) as waiter:
            heard(waiter.stdout, "another build is at work")
            os.kill(holder.pid, signal.SIGCONT)
            os.kill(holder.pid, signal.SIGTERM)
            assert ended(waiter).code == 0
    project.check()


def test_13_a_stopped_user_of_a_cache_directory_is_named(project: Project, hasty: Pybuild) -> None:
    project.image(LOCKED.format(1))
    with started(project.pybuild, *BUILD, cwd=project.directory) as holder:
        heard(holder.stdout, '"Log"', "begun")
        stop(holder.pid)
        project.image(LOCKED.format(2))
        refused = Build.of(hasty(*BUILD, cwd=project.directory))
        assert refused.result.code == 12
        assert f"process {holder.pid}" in refused.result.stderr
        assert any(f"process {holder.pid}" in event["text"] for event in refused.of_kind("Note"))


def test_13_a_stopped_pull_is_named(hasty: Pybuild, tmp_path: Path, halfway: tuple[FaultyRegistry, Event]) -> None:
    registry, reached = halfway
    registries = write_config(tmp_path / "registries.toml", registry.name)
    there = Pybuild(home=hasty.home, store=hasty.store, registries=registries, environment=hasty.environment)
    pull = ("pull", "-q", f"{registry.name}/app:1")
    with started(there, *pull, cwd=tmp_path) as holder:
        assert reached.wait(60)
        stop(holder.pid)
        refused = there(*pull)
    assert refused.code == 12
    assert f"process {holder.pid}" in refused.stderr and f"kill -CONT {holder.pid}" in refused.stderr


HOLDERS = {
    "index": "[under := store.index.transaction(), under.__enter__()]",
    "gc": "acquire(store.layout.locks / 'gc', 'gc', temporary=False)",
}


@contextmanager
def stopped_in(store: Path, what: str) -> Iterator[int]:
    """A process that is stopped while it holds a part of the store."""
    code = (
        "import sys, time; from pathlib import Path; from buildkit_py.store import Store\n"
        "from buildkit_py.store.locks import acquire\n"
        f"store = Store.open(Path(sys.argv[1])); held = {HOLDERS[what]}; print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, store], cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            heard(process.stdout, "held")
            stop(process.pid)
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("what", HOLDERS)
def test_13_who_is_stopped_in_the_store_is_named(project: Project, hasty: Pybuild, what: str) -> None:
    project.image("run true")
    project.build("-t", "app:1")
    with stopped_in(project.pybuild.store, what) as pid:
        refused = hasty("tag", "app:1", "app:2") if what == "index" else hasty("prune", "--all")
        assert refused.code == 12, refused.output
        assert f"process {pid}" in refused.stderr
    project.check()
