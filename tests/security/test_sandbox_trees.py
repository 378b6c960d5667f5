"""Hostile trees and neighbours: links in place of /dev, /proc and /sys, and what is swapped while a step is made."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import (
    BindMount,
    DirectoryRoot,
    FileMount,
    OverlayRoot,
    Runner,
    SandboxSpec,
    TmpfsMount,
    pick_runtime,
)
from tests.support.attacks import attacked, canary, dockerfile, image, ran, swapping
from tests.support.boxes import RUNTIMES, Box
from tests.support.command import Pybuild
from tests.support.layouts import Entry, link
from tests.support.project import Project

CANARY = "canary-of-the-machine"


@dataclass
class Cell(Box):
    """A box whose root is stacked, or the one copy of it that all its steps change."""

    stacked: bool = True

    def root(self, *lowers: Path) -> OverlayRoot | DirectoryRoot:  # type: ignore[override]
        if self.stacked:
            return super().root(*lowers)
        copy = self.area / "copy"
        if not copy.exists():
            for lower in (self.tree, *lowers):
                shutil.copytree(lower, copy, symlinks=True, dirs_exist_ok=True)
        return DirectoryRoot(path=str(copy))

    def said(self, spec: SandboxSpec) -> str:
        """What a step says, or why there was none."""
        try:
            ran = self.run_spec(spec)
        except SandboxError as error:
            return error.message
        return ran.out + ran.err


@pytest.fixture(params=[(runtime, each) for each in ("overlay", "copy") for runtime in RUNTIMES], ids="-".join)
def cell(request: pytest.FixtureRequest, tree: Path, tmp_path: Path) -> Iterator[Cell]:
    runtime, snapshotter = request.param
    with Runner(pick_runtime(runtime), tmp_path / "state") as runner:
        yield Cell(runner, tree, tmp_path, stacked=snapshotter == "overlay")


def reach(secret: Path) -> str:
    """A script that reads the file of the machine, and spoils it, from wherever the step is."""
    names = f"{secret} {secret.name}"
    return (
        f"up=.; for i in $(seq 12); do for n in {names}; do "
        "if test -e $up/$n; then cat $up/$n; echo spoilt > $up/$n; fi; done; up=$up/..; done; pwd -P"
    )


# --- the working directory

DESCRIPTORS = range(3, 16)


def check_descriptors_as_workdir(cell: Cell, tmp_path: Path) -> None:
    more = tmp_path / "more"
    for number in DESCRIPTORS:
        (more / f"proc/self/fd/{number}").mkdir(parents=True)
    with canary(tmp_path / "canary", CANARY) as secret:
        for number, bound in product(DESCRIPTORS, (True, False)):
            spec = cell.spec(reach(secret), root=cell.root(more), cwd=f"/proc/self/fd/{number}", no_new_privs=bound)
            assert CANARY not in cell.said(spec), f"descriptor {number}, no_new_privs {bound}"


def test_a_descriptor_is_no_working_directory(cell: Cell, tmp_path: Path) -> None:
    """CVE-2024-21626: the image has real directories of that name, so that looking before is no help."""
    check_descriptors_as_workdir(cell, tmp_path)


def stays_inside(project: Project) -> None:
    with canary(project.directory.parent / "canary", CANARY) as secret:
        built = dockerfile(project, f"FROM base\nWORKDIR /proc/self/fd/7\nRUN {reach(secret)}")
        assert CANARY not in built.result.output
    assert built.code == 13
    assert "the working directory /proc/self/fd/7 can't be entered" in built.message


def test_a_descriptor_is_no_workdir_of_a_dockerfile(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """CVE-2024-21626: WORKDIR makes the directory of that name in the image."""
    stays_inside(attacked(pybuild, tmp_path, way))


SHARED = "/c"


def check_swapped_workdir(cell: Cell, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "w").mkdir(parents=True)
    mount = BindMount(source=str(shared), target=SHARED, read_only=False)
    with canary(tmp_path / "canary", CANARY) as secret:
        for number in (4, 7, 7, 7, 8):
            with swapping(shared / "w", f"/proc/self/fd/{number}"):
                for bound in (True, False) * 3:
                    spec = cell.spec(reach(secret), cwd=f"{SHARED}/w", mounts=(mount,), no_new_privs=bound)
                    assert CANARY not in cell.said(spec), f"descriptor {number}, no_new_privs {bound}"


def test_a_working_directory_that_is_swapped_for_a_descriptor(cell: Cell, tmp_path: Path) -> None:
    """CVE-2024-21626: in a cache that another step changes meanwhile."""
    check_swapped_workdir(cell, tmp_path)


# --- what runtimes mount and cover

COVERED = (
    "ls -ld /dev/null | grep -c '^c.* 1, *3 '; cat /proc/kcore /proc/keys 2>/dev/null | head -c 1 | wc -c; "
    "if cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern; then echo wrote; fi 2>/dev/null; "
    "ls -A /dev/pts | grep -v ptmx; grep -c '^proc /proc proc' /proc/self/mounts"
)


def check_swapped_places(cell: Cell, tmp_path: Path) -> None:
    shared, outside = tmp_path / "shared", tmp_path / "outside"
    (shared / "w").mkdir(parents=True)
    outside.mkdir()
    cache = BindMount(source=str(shared), target=SHARED, read_only=False)
    mounts = (cache, TmpfsMount(target=f"{SHARED}/w/null"), FileMount(data=b"x", target=f"{SHARED}/w/sys/kernel/f"))
    made = 0
    for target in (str(outside), f"../../../..{outside}", "/proc", "/dev", "/proc/self/cwd"):
        with swapping(shared / "w", target):
            for _ in range(4):
                with suppress(SandboxError):
                    step = cell.run_spec(cell.spec(COVERED, mounts=mounts))
                    assert step.out.split() == ["1", "0", "1"], (target, step.out, step.err)
                    made += 1
    assert made
    assert list(outside.iterdir()) == []


def test_places_of_mounts_that_are_swapped(cell: Cell, tmp_path: Path) -> None:
    """CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: a neighbour turns a directory of a shared cache, in which
    mounts have their place, into links to /proc, /dev and the machine."""
    check_swapped_places(cell, tmp_path)


# --- /dev, /proc and /sys of the image

LEFT = "touch /dev/a /proc/a /sys/a /dev/shm/a 2>/dev/null || true; ls -ld /dev /proc /sys | cut -c 1; echo > /dev/null"


def leads_nowhere(project: Project, outside: Path) -> None:
    name = str(outside)
    image(project, "links", link("dev", name), link("proc", f"../../../..{name}"), link("sys", f".{name}"))
    image(project, "others", Entry(name="dev"), Entry(name="proc", kind=tarfile.FIFOTYPE), link("sys", "sys"))
    other = f'stage other {{\nfrom "oci:others"\nrun {LEFT}\n}}'
    body = f"copy /etc/passwd to /etc/other from other\nhost touch $ROOTFS/dev/h $ROOTFS/sys/h || true\nrun {LEFT}"
    assert ran(project.build(body, head=other, start='"oci:links"')) == ["d"] * 6
    built = dockerfile(project, f"FROM base\nRUN {LEFT}", base="links")
    assert ran(built) == ["d"] * 3
    assert list(outside.iterdir()) == []


def test_links_in_place_of_dev_proc_and_sys(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """runc and crun by themselves follow a link at /dev onto the machine."""
    (tmp_path / "outside").mkdir()
    leads_nowhere(attacked(pybuild, tmp_path, way), tmp_path / "outside")
