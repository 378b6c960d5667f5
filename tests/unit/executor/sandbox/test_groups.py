"""What a kernel makes of limits that it takes without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.executor.cgroup import Controller
from buildkit_py.executor.sandbox import groups


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The group that steps get, in a directory that takes everything; its parent is what pybuild is in."""
    group = tmp_path / "group"
    group.mkdir()
    (group / "cgroup.procs").touch()
    found = {"cpuset": Controller(name="cpuset", version=2, group=tmp_path)}
    monkeypatch.setattr(groups, "find", lambda: found)
    monkeypatch.setattr(groups, "_hand_down", lambda *_: None)
    monkeypatch.setattr(groups, "_make", lambda *_: (group, groups.os.open(group, groups.os.O_RDONLY)))
    monkeypatch.setattr(groups, "_remove", lambda _: None)
    return group


@pytest.mark.parametrize(("wanted", "given"), [("0-1", "0-1"), ("0,2-5", "2-3,5"), ("1", "1")])
def test_processors_that_there_are(made: Path, wanted: str, given: str) -> None:
    (made / "cpuset.cpus.effective").write_text(f"{given}\n")
    with groups.Groups(("cpuset",)).step({"cpuset": wanted}):
        assert (made / "cpuset.cpus").read_text() == wanted


def test_processors_that_the_groups_above_lack(made: Path) -> None:
    """The kernel gives the step all that there are instead, which is no limit."""
    (made / "cpuset.cpus.effective").write_text("0-3\n")
    with (
        pytest.raises(SandboxError, match="can't be limited to the processors 7: pybuild's own are 0-3"),
        groups.Groups(("cpuset",)).step({"cpuset": "7"}),
    ):
        pass


@pytest.fixture
def swaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What /proc/swaps says: that there is one."""
    monkeypatch.setattr(groups, "_SWAPS", tmp_path / "swaps")
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n/dev/vdb partition 1000 0 -2\n")
    return tmp_path / "swaps"


def test_a_group_of_version_1_whose_swap_nobody_counts_does_not_swap(tmp_path: Path) -> None:
    assert dict(groups._memory_1({"memory": 5}, tmp_path)) == {"memory.limit_in_bytes": 5, "memory.swappiness": 0}
    assert "memory.swappiness" not in dict(groups._memory_1({"memory": 5, "swap": -1}, tmp_path))
    (tmp_path / "memory.memsw.limit_in_bytes").touch()
    assert dict(groups._memory_1({"memory": 5}, tmp_path)) == {
        "memory.limit_in_bytes": 5,
        "memory.memsw.limit_in_bytes": 5,
    }


def test_a_limit_of_memory_that_swap_would_evade_is_refused(tmp_path: Path, swaps: Path) -> None:
    with pytest.raises(SandboxError, match="does not count the swap of a group"):
        dict(groups._memory_2({"memory": 5}, tmp_path))
    assert dict(groups._memory_2({"memory": 5, "swap": -1}, tmp_path)) == {"memory.max": 5}
    swaps.write_text("Filename Type Size Used Priority\n")
    assert dict(groups._memory_2({"memory": 5}, tmp_path)) == {"memory.max": 5}
