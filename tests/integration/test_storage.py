"""The care of a store by the real command, beside real builds."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.project import Project

BODY = """
copy ./data to /data
run cat /data > /twice; cat /data >> /twice
run mkdir /d; echo x > /d/x; rm /twice
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write({"data": os.urandom(200_000)})
    return project


def test_builds_repairs_and_prunes_side_by_side(project: Project, store: Path) -> None:
    """Every build ends well with the same digest, whatever is removed beside it, and the store is whole in the end."""
    expected = project.ok(BODY).digest
    chance, running = random.Random(7), []

    def start(*words: str) -> None:
        command = [sys.executable, "-m", "buildkit_py.cli", *words]
        running.append(
            subprocess.Popen(
                command,
                cwd=project.directory,
                env=project.pybuild.variables(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )

    care = (
        ("prune", "--all"),
        ("prune", "--keep", "100kB"),
        ("store", "check", "--repair"),
        ("prune", "--keep-last", "1"),
    )
    try:
        for turn in range(4):
            for number in range(2):
                start(
                    "build", ".", "-q", *(("--no-cache",) if chance.random() < 0.5 else ()), "-t", f"n{turn}-{number}"
                )
            for words in chance.sample(care, 2):
                start(*words)
            for process in running:
                told, _ = process.communicate()
                assert process.returncode == 0, f"{process.args}\n{told}"
                assert "build" not in process.args or told.strip() == expected
            running.clear()
    finally:
        for process in running:
            process.kill()
            process.wait()
    project.pybuild.ok("store", "check")
    assert list((store / "tmp").iterdir()) == []


@pytest.fixture
def shared_store(project: Project, tmp_path: Path) -> Iterator[Path]:
    """Somebody else's store with the image `base:1`, of a layer and a step; nothing in it may change."""
    root = tmp_path / "shared"
    theirs = replace(project, pybuild=replace(project.pybuild, store=root))
    theirs.ok("run echo base > /base", "-t", "base:1")
    before = {str(path): path.lstat().st_ctime_ns for path in (root, *root.rglob("*"))}
    yield root
    assert {str(path): path.lstat().st_ctime_ns for path in (root, *root.rglob("*"))} == before


DOCKERFILE = "FROM base:1\nRUN cat /base /bin/busybox > /copied && test -s /copied\n"


@pytest.mark.parametrize("kind", ["store", "layout"])
def test_a_base_in_an_additional_store(
    project: Project, shared_store: Path, store: Path, tmp_path: Path, kind: str
) -> None:
    place = shared_store
    if kind == "layout":
        place = tmp_path / "plain"
        words = ("copy", "--all", f"oci:{shared_store}:base:1", f"oci:{place}:base:1")
        subprocess.run(["skopeo", *words], check=True, capture_output=True)
    pybuild = project.pybuild.having(PYBUILD_ADDITIONAL_STORES=str(place))
    (project.directory / "Buildfile").unlink()
    (project.directory / "Dockerfile").write_text(DOCKERFILE)
    pybuild.ok("build", ".", "-t", "mine:1", cwd=project.directory)
    theirs = {path.name: path.stat().st_size for path in (place / "blobs/sha256").iterdir()}
    ours = {path.name for path in (store / "blobs/sha256").iterdir()}
    layer = max(theirs, key=theirs.__getitem__)
    assert layer not in ours
    snapshots = list((store / "snapshots").iterdir())
    assert len(snapshots) == (1 if kind == "store" else 3)
    refused = pybuild("rmi", "base:1")
    assert refused.code == 16
    assert f"is in the additional store {place}, which is only read" in refused.stderr
    listed = json.loads(pybuild.ok("ls", "--json").stdout)
    assert {row["name"]: row["store"] for row in listed if "base" in row["name"]}.popitem()[1] == str(place)
    pybuild.ok("store", "check")
    # The whole image comes out of both.
    out = tmp_path / "out"
    pybuild.ok("build", ".", "-o", f"type=oci,tar=false,dest={out}", cwd=project.directory)
    assert layer in {path.name for path in (out / "blobs/sha256").iterdir()}
    again = pybuild.ok("build", ".", "-t", "mine:1", "--progress", "json", cwd=project.directory)
    assert '"ran": 0' in again.stdout


def test_one_that_is_missing_is_a_warning(project: Project, tmp_path: Path) -> None:
    pybuild = project.pybuild.having(PYBUILD_ADDITIONAL_STORES=f"{tmp_path}/none")
    built = replace(project, pybuild=pybuild).ok("run true")
    assert built.message.count(f"the additional store {tmp_path}/none is not used: there is nothing of that name") == 1
    pybuild.ok("ls")


def test_a_build_that_does_not_fit_says_what_holds_the_space(project: Project, store: Path) -> None:
    project.ok(BODY, "-t", "kept:1")
    used = json.loads(project.pybuild.ok("df", "--json").stdout)["bytes"]
    project.pybuild.ok("store", "quota", f"{used + 100_000}B")
    big = "run head -c 20000000 /dev/urandom > /big"
    built = project.build(big)
    assert built.code == 12, built.result.output
    assert "more than its quota of" in built.message
    assert re.search(r"image (a|kept:1) needs it", built.message)
    project.pybuild.ok("store", "check")
    assert list((store / "tmp").iterdir()) == []
    project.pybuild.ok("store", "quota", "none")
    project.ok(big)
    shown = project.pybuild.ok("store", "quota").stdout
    assert shown.startswith("no quota; ")


def test_builds_within_a_quota_let_old_ones_go(project: Project, store: Path) -> None:
    project.pybuild.ok("store", "quota", "12MB")
    notes: list[str] = []
    for number in range(6):
        built = project.ok(f"run head -c 1500000 /dev/urandom > /big; echo {number}")
        notes += [*built.notes, *([built.message] if built.message else [])]
    assert any("reached its quota of 12.0 MB" in note for note in notes), notes
    assert json.loads(project.pybuild.ok("df", "--json").stdout)["bytes"] <= 12_000_000
    project.pybuild.ok("store", "check")
    # What is cached stays so: nothing is looked through for a build that has nothing to do.
    assert project.ok("run head -c 1500000 /dev/urandom > /big; echo 5").ran == 0


def test_info(project: Project, store: Path) -> None:
    before = json.loads(project.pybuild.ok("info", "--json").stdout)
    assert before["problems"] == {}
    assert before["store"]["exists"] is False
    assert not store.exists()
    project.ok("run true")
    project.pybuild.ok("store", "quota", "5GB")
    policy = project.directory / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    found = json.loads(project.pybuild.having(PYBUILD_POLICY=str(policy)).ok("info", "--json").stdout)
    assert found["trust_policy"] == {"path": str(policy), "default": ["insecureAcceptAnything"]}
    assert (found["store"]["path"], found["store"]["quota"]) == (str(store), 5_000_000_000)
    assert found["snapshotter"]["used"] == before["snapshotter"]["used"] == "overlay"
    assert [each["name"] for each in found["snapshotter"]["tried"]] == ["overlay", "reflink", "copy"]
    assert {each["name"]: bool(each["version"]) for each in found["runtimes"]["found"]}[found["runtimes"]["used"]]
    page = project.pybuild.ok("info").stdout
    assert "snapshotter       overlay\n" in page
    assert f"store             {store} (1 image)\n" in page
    assert list((store / "tmp").iterdir()) == []


def test_info_tells_what_it_can_not_find_out(project: Project, store: Path, tmp_path: Path) -> None:
    store.mkdir()
    (store / "version").write_text("99\n")
    bad = tmp_path / "registries.toml"
    bad.write_text("nonsense = 1\n")
    pybuild = project.pybuild.having(
        PATH="/nowhere",
        PYBUILD_REGISTRIES=str(bad),
        PYBUILD_ADDITIONAL_STORES="/none",
        PYTHONPATH=project.pybuild.variables()["PYTHONPATH"],
    )
    found = json.loads(pybuild.ok("info", "--json").stdout)
    assert {"store", "registries"} <= set(found["problems"])
    assert "layout '99'" in found["problems"]["store"]
    assert "system" in found
    page = pybuild.ok("info").stdout
    assert "not known: " in page
    assert "the additional store /none is not used" in page


@pytest.mark.parametrize(
    "rules",
    [(), ("--all",), ("--keep", "1MB"), ("--keep-last", "1"), ("--images", "--keep-last", "1", "--keep-name", "kept*")],
)
def test_a_dry_run_says_exactly_what_goes(project: Project, rules: tuple[str, ...]) -> None:
    for number, name in enumerate(("kept:1", "old:1", "new:1")):
        project.ok(f"run echo {number} > /n; head -c 300000 /dev/urandom > /r", "-t", name)
    dry = json.loads(project.pybuild.ok("prune", "-n", "--json", *rules).stdout)
    done = json.loads(project.pybuild.ok("prune", "--json", *rules).stdout)
    assert (dry.pop("dry_run"), done.pop("dry_run")) == (True, False)
    for report in (dry, done):
        for item in (*report["removed"], *report["kept"]):
            item.pop("why")
    assert dry == done
    assert bool(done["removed"]) is bool(rules)
    project.pybuild.ok("store", "check")
