"""What carries the controllers of limits, and where pybuild may make groups: by trees that look like machines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.executor import cgroup
from buildkit_py.executor.cgroup import NAMES, Controller, find


@dataclass
class Machine:
    """A made-up /proc/self, and hierarchies below `root`."""

    root: Path

    def __post_init__(self) -> None:
        self.proc = self.root / "proc self"
        self.proc.mkdir()
        self.groups: list[str] = []
        self.mounts = ["22 1 0:21 / /proc rw - proc proc rw"]

    def first(self, name: str, *, own: str = "/", root: str = "/") -> Path:
        """A hierarchy of version 1; gives the group of the process."""
        point = self._mount(f"cgroup cgroup rw,{name}", name, root)
        self.groups.append(f"{len(self.groups) + 1}:{name}:{own}")
        return self._group(point / os.path.relpath(own, root))

    def second(self, *controllers: str, own: str = "/", below: Iterable[str] | None = None) -> Path:
        """The hierarchy of version 2, whose first group has `controllers`, and the process's own group `below`."""
        point = self._mount("cgroup2 cgroup2 rw,nsdelegate", "unified", "/")
        self.groups.append(f"0::{own}")
        self._group(point, controllers)
        group = point / own.lstrip("/")
        if group != point:
            self._group(group, controllers if below is None else below)
            (group / "cgroup.type").write_text("domain\n")
            (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
        return group

    def find(self) -> dict[str, Controller]:
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in self.groups))
        (self.proc / "mountinfo").write_text("".join(f"{line}\n" for line in self.mounts))
        return find(self.proc)

    def _mount(self, kind: str, name: str, root: str) -> Path:
        point = self.root / "with blank" / name
        shown = str(point).replace(" ", "\\040")
        self.mounts.append(f"30 22 0:3 {root} {shown} rw,relatime shared:9 - {kind}")
        return point

    def _group(self, path: Path, controllers: Iterable[str] = ()) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        for name, text in (("procs", ""), ("controllers", " ".join(controllers)), ("subtree_control", "")):
            (path / f"cgroup.{name}").write_text(f"{text}\n")
        return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def delegate(group: Path) -> None:
    try:
        os.setxattr(group, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system has no attributes")


def test_version_1(machine: Machine) -> None:
    groups = {name: machine.first(name, own="/a b") for name in NAMES}
    machine.second(own="/a b")
    for name, found in machine.find().items():
        assert (found.version, found.group, found.refusal) == (1, groups[name], "")


def test_controllers_that_share_a_hierarchy(machine: Machine) -> None:
    group = machine.first("cpu,cpuacct")
    assert machine.find()["cpu"].group == group


def test_a_container_sees_its_own_group_as_the_first(machine: Machine) -> None:
    group = machine.first("memory", own="/docker/12", root="/docker/12")
    assert machine.find()["memory"].group == group


@pytest.mark.parametrize(("own", "root"), [("/../other", "/"), ("/other", "/docker/12")])
def test_a_group_that_no_mount_shows(machine: Machine, own: str, root: str) -> None:
    machine.first("memory", own=own, root=root)
    found = machine.find()["memory"]
    assert found.version == 1
    assert "not mounted where pybuild sees it" in found.refusal


def test_a_hierarchy_that_is_not_mounted(machine: Machine) -> None:
    machine.first("memory")
    machine.mounts.clear()
    with pytest.raises(SandboxError, match="the limit of memory can't be kept: version 1 of cgroups carries") as caught:
        machine.find()["memory"].check("memory")
    assert caught.value.exit_code == 13


def test_a_machine_of_both_versions(machine: Machine) -> None:
    machine.first("memory")
    group = machine.second("pids", "hugetlb")
    found = machine.find()
    assert [found[name].version for name in NAMES] == [1, 2, 0, 0]
    assert (found["pids"].group, found["pids"].refusal) == (group, "")


def test_the_first_group_of_version_2_may_hold_processes_beside_groups(machine: Machine) -> None:
    group = machine.second(*NAMES)
    (group / "cgroup.procs").write_text("1\n2\n")
    assert not any(found.refusal for found in machine.find().values())


def test_a_group_that_hands_down_already(machine: Machine) -> None:
    group = machine.second(*NAMES, own="/build")
    (group / "cgroup.subtree_control").write_text("memory pids\n")
    found = machine.find()
    assert [bool(found[name].refusal) for name in NAMES] == [False, False, True, True]


def test_a_delegated_group(machine: Machine) -> None:
    group = machine.second(*NAMES, own="/user/run-1.scope", below=("memory", "pids"))
    found = machine.find()
    assert f"{group} is not delegated to pybuild" in found["memory"].refusal
    delegate(group)
    found = machine.find()
    assert [found[name].refusal for name in ("memory", "pids")] == ["", ""]
    assert found["cpu"].version == 2
    assert found["cpu"].refusal == f"it is not handed down to {group}"
    assert "systemd-run" in found["cpu"].remedy
    assert "--scope -p Delegate=yes" in found["cpu"].remedy


def test_a_delegated_group_with_others_in_it(machine: Machine) -> None:
    group = machine.second(*NAMES, own="/run-1.scope")
    delegate(group)
    (group / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert "holds other processes too" in machine.find()["memory"].refusal


def test_a_process_that_left_its_group_makes_groups_where_it_was(machine: Machine) -> None:
    group = machine.second(*NAMES, own="/run-1.scope/pybuild-own-5-1")
    (group.parent / "cgroup.controllers").write_text("memory")
    (group.parent / "cgroup.type").write_text("domain\n")
    (group.parent / "cgroup.subtree_control").write_text("memory\n")
    found = machine.find()["memory"]
    assert (found.group, found.refusal) == (group.parent, "")


def test_whoever_remedies_is_told_as_what_to_start(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.second(*NAMES, own="/session.scope")
    monkeypatch.setattr(cgroup, "STARTED_AS_ROOT", False)
    assert "systemd-run --user --scope" in machine.find()["memory"].remedy
    monkeypatch.setattr(cgroup, "STARTED_AS_ROOT", True)
    assert "systemd-run --scope" in machine.find()["memory"].remedy


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_may_not_be_written(machine: Machine, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    group = machine.first("memory") if version == 1 else machine.second("memory", own="/x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = machine.find()["memory"]
    assert (found.version, found.refusal) == (version, f"{group} can't be written")


def test_nothing(machine: Machine) -> None:
    for name, found in machine.find().items():
        assert found.version == 0
        with pytest.raises(SandboxError, match=f"no control group of this machine carries the controller {name}"):
            found.check(name)
    assert find(machine.root / "nowhere").keys() == set(NAMES)


@pytest.mark.parametrize("file", ["cpuset.cpus.effective", "cpuset.effective_cpus"])
def test_processors_that_a_group_may_have(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("0-1,4\n")
    controller = Controller(name="cpuset", version=2, group=tmp_path)
    for wanted in ("0", "0-1", "1,4", "0-1,4"):
        controller.check_processors(wanted)
    for wanted in ("2", "0-4", "0-99"):
        with pytest.raises(SandboxError, match=f"to the processors {wanted}: there is only 0-1,4 here"):
            controller.check_processors(wanted)
