"""Services on a machine that was booted with systemd: it starts, restarts and stops them, and holds their processes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import bases
from tests.support.booted import Booted, available, booted
from tests.support.command import Pybuild

pytestmark = pytest.mark.skipif(
    not (available() and shutil.which("runc")), reason="no systemd can be booted here, or runc is not installed"
)
IMAGES = """
FROM base AS web
RUN echo one > /version
STOPSIGNAL SIGUSR1
LABEL dev.pybuild.service.unit.Service.RestartSec=10ms
CMD ["sh", "-c", "trap 'echo bye; exit 0' USR1; echo version $(cat /version); while :; do sleep 0.1; done"]
FROM web AS web2
RUN echo two > /version
"""


NOTIFIES = """
FROM base
COPY notify.py /
VOLUME /go
CMD ["python3", "/notify.py"]
"""
NOTIFY = """
import os, socket, time
print("up", flush=True)
while not os.path.exists("/go/now"):
    time.sleep(0.05)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("images")
    bases.place("tiny", home / "base")
    (home / "Dockerfile").write_text(IMAGES)
    pybuild = Pybuild(home=home, store=home / "store")
    for stage in ("web", "web2"):
        context = ("--build-context", "base=oci-layout://base")
        pybuild.ok("build", "-q", *context, "--target", stage, "-t", f"{stage}:1", ".")
    return home / "store"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Booted]:
    with booted(tmp_path / "units") as one:
        yield one


@pytest.fixture
def pybuild(tmp_path: Path, images: Path, machine: Booted) -> Pybuild:
    (tmp_path / "home").mkdir()
    return Pybuild(home=tmp_path / "home", store=images, wrapper=machine.wrapper)


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], list[str]]:
    """What services have printed."""
    return lambda: (tmp_path / "said").read_text().splitlines() if (tmp_path / "said").exists() else []


def until(what: Callable[[], bool]) -> None:
    for _ in range(1200):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to be so")


def install(pybuild: Pybuild, machine: Booted, tmp_path: Path, *words: str, unit: str = "") -> None:
    template = tmp_path / "template"
    out = f"append:{tmp_path}/said"
    template.write_text(f"[Service]\nStandardOutput={out}\nStandardError={out}\nRestartSec=10ms\n{unit}")
    where = ("--root", str(tmp_path / "services"), "--unit-dir", str(machine.units))
    result = pybuild.ok("install", *where, "--template", str(template), *words)
    assert "not booted" not in result.stderr


def test_the_life_of_a_service(
    pybuild: Pybuild, machine: Booted, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    root = ("--root", str(tmp_path / "services"))
    install(pybuild, machine, tmp_path, "--start", "--enable", "web:1")
    until(lambda: said() == ["version one"])
    (row,) = json.loads(pybuild.ok("installed", *root, "--json").stdout)
    assert (row["active"], row["enabled"]) == ("active", True)

    group = machine.show("web", "ControlGroup")
    assert group == "/system.slice/web.service"
    inside = machine.systemctl("status", "--no-pager", "--full", "web")
    assert "runc --root /run/pybuild-web" in inside and "sleep 0.1" in inside
    assert machine.show("web", "DevicePolicy") == "closed"

    pybuild.ok("upgrade", *root, "web", "web2:1")
    until(lambda: said() == ["version one", "bye", "version two"])
    pybuild.ok("rollback", *root, "web")
    until(lambda: said()[3:] == ["bye", "version one"])

    machine.systemctl("stop", "web")
    assert said()[5:] == ["bye"]
    assert [machine.show("web", name) for name in ("ActiveState", "Result")] == ["inactive", "success"]
    pybuild.ok("upgrade", *root, "web", "web2:1")
    assert machine.show("web", "ActiveState") == "inactive"

    machine.systemctl("start", "web")
    until(lambda: said()[6:] == ["version two"])
    pybuild.ok("uninstall", *root, "web")
    assert said()[7:] == ["bye"]
    assert machine.show("web", "LoadState") == "not-found"


def test_a_runtime_that_is_killed(
    pybuild: Pybuild, machine: Booted, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    """No process of the old run is left when the new one starts, and runc's notes are none of the old one's."""
    install(pybuild, machine, tmp_path, "--start", "web:1")
    until(lambda: said() == ["version one"])
    machine.systemctl("kill", "--kill-whom=main", "--signal=KILL", "web")
    until(lambda: said() == ["version one", "version one"])
    assert machine.show("web", "NRestarts") == "1"
    status = machine.systemctl("status", "--no-pager", "--full", "web")
    assert status.count("trap 'echo bye") == 1


def test_services_that_need_each_other(
    pybuild: Pybuild, machine: Booted, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    install(pybuild, machine, tmp_path, "--name", "db", "web:1")
    install(pybuild, machine, tmp_path, "--name", "web", "--requires", "db", "web2:1")
    machine.systemctl("start", "web")
    until(lambda: sorted(said()) == ["version one", "version two"])
    assert machine.show("db", "ActiveState") == "active"
    machine.systemctl("stop", "db")
    assert machine.show("web", "ActiveState") == "inactive"


@pytest.mark.slow
def test_a_service_that_says_when_it_is_ready(
    pybuild: Pybuild, machine: Booted, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    bases.place("python", pybuild.home / "base")
    (pybuild.home / "Dockerfile").write_text(NOTIFIES)
    (pybuild.home / "notify.py").write_text(NOTIFY)
    outside = Pybuild(home=pybuild.home, store=pybuild.store)
    outside.ok("build", "-q", "--build-context", "base=oci-layout://base", "-t", "notifies:1", ".")
    install(pybuild, machine, tmp_path, "--name", "late", "notifies:1", unit="Type=notify\nTimeoutStartSec=60\n")
    machine.systemctl("start", "--no-block", "late")
    until(lambda: said() == ["up"])
    assert machine.show("late", "ActiveState") == "activating"
    (tmp_path / "services/late/state/go/now").write_text("")
    until(lambda: machine.show("late", "ActiveState") == "active")


def test_systemd_is_left_alone_where_that_is_said(pybuild: Pybuild, machine: Booted, tmp_path: Path) -> None:
    install(pybuild, machine, tmp_path, "--no-reload", "web:1")
    where = ("--root", str(tmp_path / "services"))
    refused = pybuild("install", *where, "--no-reload", "--start", "web:1")
    assert refused.code == 2
    assert "--no-reload leaves systemd alone" in refused.stderr


def test_a_service_that_can_t_be_started(pybuild: Pybuild, machine: Booted, tmp_path: Path) -> None:
    (machine.units / "never.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    where = ("--root", str(tmp_path / "services"), "--unit-dir", str(machine.units))
    result = pybuild("install", *where, "--requires", "never.service", "--start", "web:1")
    assert result.code == 17
    assert "systemctl start web.service failed" in result.stderr
    assert machine.show("web", "LoadState") == "loaded"
