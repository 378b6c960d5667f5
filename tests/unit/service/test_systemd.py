from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import InfrastructureError, MissingToolError, UsageError
from buildkit_py.service.systemd import Systemd


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that notes what it is asked, says that all is active, and can't start what is called `broken`."""
    program = tmp_path / "bin/systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        "case $2 in broken*) echo first >&2; echo it failed >&2; exit 5;; esac\n"
        '[ "$1" != is-active ] || echo active\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "calls"


def test_a_machine_with_systemd(calls: Path, tmp_path: Path) -> None:
    systemd = Systemd(booted=tmp_path)
    systemd.need("--start")
    systemd.reload()
    systemd.start("web.service")
    systemd.restart("web.service")
    systemd.stop("web.service")
    assert systemd.state("web.service") == "active"
    assert calls.read_text().splitlines() == [
        "daemon-reload", "start web.service", "try-restart web.service", "stop web.service", "is-active web.service"
    ]  # fmt: skip


@pytest.mark.parametrize("more", [{"booted": Path("/nonexistent")}, {"quiet": True, "booted": Path("/")}])
def test_a_systemd_that_is_not_there_or_left_alone(calls: Path, more: dict[str, object]) -> None:
    systemd = Systemd(**more)  # type: ignore[arg-type]
    systemd.reload()
    systemd.stop("web.service")
    assert systemd.state("web.service") is None
    with pytest.raises(UsageError, match="so nothing can be started"):
        systemd.need("--start")
    assert not calls.exists()


def test_what_fails(calls: Path, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"systemctl start broken.service failed: it failed") as caught:
        Systemd(booted=tmp_path).start("broken.service")
    assert "journalctl -u broken.service" in str(caught.value.hint)


def test_no_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError):
        Systemd(booted=tmp_path).reload()
