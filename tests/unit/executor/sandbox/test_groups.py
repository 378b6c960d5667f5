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
