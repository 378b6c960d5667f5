"""Faults 8 to 11: builds, pulls, removals and looks at the store, all at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildkit_py.registry.retry import Retry
from buildkit_py.store import Store
from buildkit_py.store.gc import Rules
from buildkit_py.store.reach import needed
from buildkit_py.store.removal import remove_images
from buildkit_py.transfer.to_store import StoreDestination
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.disturb import EVERYTHING
from tests.support.faulty_registry import faulty_registry
from tests.support.images import make_image
from tests.support.stored import names
from tests.support.transfers import Pair, hold

PROCESSES = 16
ROUNDS = 1000 if EVERYTHING else 40
LOOKS = 400 if EVERYTHING else 40


def started(pybuild: Pybuild, *words: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "buildkit_py.cli", *words],
        cwd=cwd,
        env=pybuild.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_8_sixteen_processes_run_each_step_once(pybuild: Pybuild, store: Path, tmp_path: Path) -> None:
    """What a step leaves outside of its tree tells how often it ran."""
    project = Project.make(pybuild, tmp_path / "project")
    project.write({"data": "data"})
    count = "with cache(/count, id: count)\nrun echo {0} >> /count/ran; {1}"
    project.image(
        count.format("first", "date +%N%s > /first"),
        "copy ./data to /data",
        count.format("second", "cat /first /data > /second"),
    )
    builds = [started(pybuild, "build", "-q", ".", cwd=project.directory) for _ in range(PROCESSES)]
    said = [build.communicate() for build in builds]
    assert [build.returncode for build in builds] == [0] * PROCESSES, said
    assert len({digest for digest, _ in said}) == 1
    (ran,) = store.glob("caches/*/0/ran")
    assert ran.read_text().split() == ["first", "second"]
    project.check()


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Do it again and again on another thread while the block runs; what it raised fails the test."""
    stop, raised = threading.Event(), list[BaseException]()

    def loop() -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield raised
    finally:
        stop.set()
        thread.join()
    assert not raised, raised


def test_9_builds_beside_a_loop_of_rmi(pybuild: Pybuild, tmp_path: Path) -> None:
    project = Project.make(pybuild, tmp_path / "project")
    removed: list[int] = []

    def remove() -> None:
        removed.append(pybuild("rmi", "app:1").code)
        removed.append(pybuild("prune").code)

    with beside(remove):
        for number in range(60 if EVERYTHING else 6):
            project.write({"a": f"{number // 2}"})
            project.image("copy ./a to /a", "run cat /a > /b")
            build = project.build("-t", "app:1", "-o", f"archive:{tmp_path}/{number}.tar")
            assert len(build.digests) == 1
    assert set(removed) <= {0, 16}
    project.build("-t", "app:1")
    assert "app:1" in names(pybuild)
    pybuild.ok("export", "-o", tmp_path / "last.tar", "app:1")
    project.check()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with faulty_registry() as source, faulty_registry() as target:
        yield Pair(source, target)


def test_10_pulls_beside_prune(pair: Pair, tmp_path: Path) -> None:
    """Two open stores of one process stand to each other as two processes do: locks belong to open files."""
    images = [make_image(b"shared layer" * 900, b"layer %d" % number) for number in range(3)]
    for number, image in enumerate(images):
        hold(pair.source, image, tag=f"v{number}")
    root = tmp_path / "store"
    pruner = Store.open(root)
    prunes = [0]

    def prune() -> None:
        pruner.prune_by(Rules(all=True))
        prunes[0] += 1

    retry = Retry(sleep=lambda _: None)
    with Store.open(root) as store, beside(prune):
        for turn in range(ROUNDS):
            number = turn % len(images)
            with store.lease():
                origin = f"docker://{pair.source.name}/team/app:v{number}"
                pair.copy(StoreDestination(store, "app:1", retry), origin)
            descriptor = store.images.get("app:1")
            assert descriptor is not None and descriptor["digest"] == str(images[number].descriptor.digest)
            for each in needed(store.layout, descriptor):
                assert len(store.blobs.read(str(each["digest"]))) == each["size"]
            if turn % 2:
                remove_images(store, store.images.list())
        assert store.check() == []
    pruner.close()
    assert prunes[0] > 1


def test_10_pulls_beside_prune_by_the_command(pair: Pair, pybuild_here: Pybuild) -> None:
    image = make_image(bytes(range(256)) * 4000)
    hold(pair.source, image)
    ref = f"{pair.source.name}/team/app:v1"

    def prune() -> None:
        pybuild_here.ok("prune", "--all")

    with beside(prune):
        for _ in range(30 if EVERYTHING else 3):
            pybuild_here.ok("pull", "-q", ref)
            pybuild_here.ok("save", "-q", ref, "-o", pybuild_here.home / "saved.tar")
            pybuild_here.ok("untag", ref)
    assert pybuild_here.ok("store", "check").stdout == "the store is whole\n"


@pytest.fixture
def pybuild_here(tmp_path: Path, pair: Pair) -> Pybuild:
    """The command, for which the registry speaks plain HTTP."""
    from tests.support.registry import write_config

    (tmp_path / "home").mkdir()
    config = write_config(tmp_path / "registries.toml", pair.source.name)
    return Pybuild(home=tmp_path / "home", store=tmp_path / "store", registries=config)


def test_11_looks_beside_prune(tmp_path: Path) -> None:
    """`df`, `ls` and `check` beside a store that fills and empties: what vanishes is no fault."""
    root = tmp_path / "store"
    writer = Store.open(root)
    turns = [0]

    def work() -> None:
        turns[0] += 1
        image = make_image(b"layer %d" % (turns[0] % 5))
        with writer.lease():
            image.store(writer.blobs)
            plain = image.descriptor.to_plain()
            plain.pop("platform", None)
            writer.images.put("app:1", plain)
        if turns[0] % 2:
            writer.images.remove("app:1")
        writer.prune(all=True)

    with Store.open(root) as store, beside(work):
        looks = 0
        while looks < LOOKS or turns[0] < LOOKS // 4:
            looks += 1
            usage = store.df()
            assert usage.bytes >= usage.reclaimable >= 0
            store.images.list()
            assert store.check() == []
    writer.close()


def test_11_looks_beside_prune_by_the_command(pybuild: Pybuild, tmp_path: Path) -> None:
    project = Project.make(pybuild, tmp_path / "project")

    def turn() -> None:
        project.build("-t", "app:1", "--no-cache")
        pybuild.ok("rmi", "app:1", "app")
        pybuild.ok("prune", "--all")

    project.write({"a": "a"})
    project.image("copy ./a to /a", "run cat /a > /b")
    with beside(turn):
        for _ in range(20 if EVERYTHING else 3):
            assert json.loads(pybuild.ok("df", "--json").stdout)["bytes"] >= 0
            pybuild.ok("ls")
            assert pybuild("inspect", "app:1").code in (0, 16)
    project.check()
