"""Services: `systemd-analyze` judges every unit, and what a unit runs is run, by the same words under runc."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support import bases
from tests.support.command import Pybuild, Result
from tests.support.units import Unit, output, started, verify

pytestmark = pytest.mark.skipif(
    not (shutil.which("runc") and shutil.which("systemd-analyze")), reason="runc or systemd-analyze is not installed"
)
WEB = """
FROM base AS web
RUN echo app:x:1000:1000::/srv:/bin/sh >> /etc/passwd && echo app:x:1000: >> /etc/group \
 && mkdir -p /srv /data && echo first > /data/kept && chown -R 1000:1000 /data && echo one > /version
WORKDIR /srv/work
VOLUME /data
EXPOSE 8080
ENV GREETING=hello
USER app
STOPSIGNAL SIGUSR1
CMD ["sh", "-c", "trap 'echo bye; exit 0' USR1; cat /version; echo ready; while :; do sleep 0.1; done"]
FROM web AS web2
USER root
RUN echo two > /version
USER app
FROM web AS web3
USER root
RUN echo three > /version
USER app
FROM web AS db
CMD ["true"]
FROM base AS look
RUN echo app:x:1000:1000::/srv:/bin/sh >> /etc/passwd
CMD ["sh", "-c", "eval \\"$LOOK\\""]
FROM look AS looker
USER app
FROM base AS hostile
RUN chmod u+s /bin/busybox && mkdir -p /var/lib/x
COPY hostile /
VOLUME /var/lib/x/inner /var/lib/x
CMD ["sh", "-c", "eval \\"$LOOK\\""]
FROM base AS labelled
LABEL dev.pybuild.service.unit.Service.MemoryMax=64M
CMD ["true"]
FROM base AS filed
RUN mkdir -p /usr/lib/pybuild && printf '[Service]\\nRestartSec=7\\n' > /usr/lib/pybuild/service.unit
CMD ["true"]
FROM base AS evil
CMD ["true"]
FROM base AS sly
CMD ["true"]
FROM base AS ordered
CMD ["true"]
FROM base AS unstoppable
STOPSIGNAL 99
CMD ["true"]
"""
TEMPLATES = {
    "labelled": "[Unit]\nDescription=100% of %n\nAfter=db\n[Service]\nRestart=always\n",
    "evil": "[Service]\nExecStartPre=/bin/sh -c 'touch /canary'\n",
    "ordered": "[Unit]\nAfter=systemd-journald\n",
    "sly": "[Unit]\nDescription=a\rExecStartPre=/bin/sh\n",
}
STAGES = [line.split(" AS ")[1] for line in WEB.splitlines() if " AS " in line]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all the images."""
    home = tmp_path_factory.mktemp("images")
    bases.place("tiny", home / "base")
    (home / "Dockerfile").write_text(WEB)
    (home / "hostile/etc").mkdir(parents=True)
    (home / "hostile/etc/hosts").symlink_to("/proc/sys/kernel/hostname")
    (home / "hostile/opt").symlink_to("/proc")
    pybuild = Pybuild(home=home, store=home / "store")
    for stage in STAGES:
        context = ("--build-context", "base=oci-layout://base")
        label = ("--label", f"dev.pybuild.service.unit={TEMPLATES[stage]}") if stage in TEMPLATES else ()
        pybuild.ok("build", "-q", *context, *label, "--target", stage, "-t", f"{stage}:1", ".")
    return home / "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A place for services, and the command that makes them there."""

    pybuild: Pybuild
    root: Path
    units: Path
    suffix: str = field(default_factory=lambda: secrets.token_hex(4))

    def name(self, name: str) -> str:
        """A name that no other test's service has: /run is the machine's."""
        return f"{name}-{self.suffix}"

    def install(self, image: str, *words: str, name: str | None = None, code: int = 0) -> Result:
        """Install `image`:1."""
        called = ("--name", self.name(name or image), "--unit-dir", str(self.units))
        return self("install", *called, *words, f"{image}:1", code=code)

    def __call__(self, *words: str, code: int = 0) -> Result:
        result = self.pybuild(words[0], "--root", str(self.root), *words[1:])
        assert result.code == code, result.output
        return result

    def unit(self, name: str) -> Path:
        return self.units / f"{self.name(name)}.service"

    def look(self, script: str, image: str = "look", *words: str) -> list[str]:
        """The lines that a script prints as the service of an image."""
        self.install(image, "--env", f"LOOK={script}", *words, name="look")
        verify(self.unit("look"))
        lines = output(Unit.read(self.unit("look"))).splitlines()
        self("uninstall", self.name("look"))
        return lines

    def listed(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(self("installed", "--json").stdout)
        return rows


@pytest.fixture
def machine(tmp_path: Path, images: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    return Machine(pybuild=Pybuild(home=home, store=images), root=tmp_path / "services", units=tmp_path / "units")


@pytest.fixture(autouse=True)
def no_canary() -> Iterator[None]:
    yield
    assert not Path("/canary").exists()


def wait_for(process: subprocess.Popen[str], line: str) -> list[str]:
    assert process.stdout is not None
    seen = []
    for said in process.stdout:
        seen.append(said.strip())
        if said.strip() == line:
            return seen
    raise AssertionError(seen)


def test_a_service_runs_and_stops(machine: Machine) -> None:
    result = machine.install("web")
    assert "note: this machine was not booted with systemd" in result.stderr
    assert "ports  8080/tcp" in result.stdout
    verify(machine.unit("web"))
    unit = Unit.read(machine.unit("web"))
    assert (unit.one("KillSignal"), unit.stop) == ("SIGUSR1", signal.SIGUSR1)
    assert unit.one("SuccessExitStatus") == str(128 + signal.SIGUSR1)
    with started(unit) as process:
        assert wait_for(process, "ready") == ["one", "ready"]
        process.send_signal(unit.stop)
        text, _ = process.communicate(timeout=60)
    assert text == "bye\n"
    assert process.returncode == 0


def test_it_needs_no_store(machine: Machine, tmp_path: Path, images: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(images, store, symlinks=True)
    copied = Machine(pybuild=Pybuild(home=machine.pybuild.home, store=store), root=machine.root, units=machine.units)
    copied.install("look", "--env", "LOOK=echo there")
    shutil.rmtree(store)
    assert output(Unit.read(copied.unit("look"))) == "there\n"
    assert [row["image"] for row in copied.listed()] == ["look:1"]


def test_what_it_may_write_to(machine: Machine) -> None:
    script = (
        "for place in / /etc /bin /dev/shm /tmp /run /var/tmp /sys /proc/sys/kernel; do"
        " if touch $place/canary 2> /dev/null; then echo $place; fi; done;"
        " touch /bin/busybox 2> /dev/null || echo no; mount -o remount,rw / 2> /dev/null || echo no"
    )
    assert machine.look(script) == ["/dev/shm", "/tmp", "/run", "/var/tmp", "no", "no"]


def test_it_is_locked_down(machine: Machine) -> None:
    script = (
        "grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status; id -u; hostname;"
        " ls /proc | grep -c '^[0-9]'; mknod /tmp/d b 8 0 2> /dev/null || echo none;"
        " cat /proc/kcore /proc/timer_list 2> /dev/null | wc -c; ls -A /sys/firmware | wc -l"
    )
    lines = [line.replace("\t", " ") for line in machine.look(script)]
    assert lines[:4] == ["CapEff: 00000000800405fb", "CapBnd: 00000000800405fb", "NoNewPrivs: 1", "Seccomp: 2"]
    assert lines[4:6] == ["0", machine.name("look")]
    assert int(lines[6]) <= 4
    assert lines[7:] == ["none", "0", "0"]
    assert machine.look("grep CapEff /proc/self/status; id -u; echo $HOME", "looker") == [
        "CapEff:\t0000000000000000", "1000", "/srv"
    ]  # fmt: skip


def test_networks(machine: Machine) -> None:
    script = "ls /sys/class/net"
    assert machine.look(script, "look", "--network", "none")[0] == "lo"
    (line,) = machine.look("readlink /proc/self/ns/net")
    assert line == os.readlink("/proc/self/ns/net")
    (line,) = machine.look("readlink /proc/self/ns/net", "look", "--network", "none")
    assert line != os.readlink("/proc/self/ns/net")


def test_an_image_that_leads_elsewhere(machine: Machine) -> None:
    before = Path("/proc/sys/kernel/hostname").read_text()
    script = "head -c 9 /etc/hosts; echo; ls /var/lib/x; touch /var/lib/x/inner/y && echo kept"
    lines = machine.look(script, "hostile")
    assert lines[1:3] == ["inner", "kept"]
    assert Path("/proc/sys/kernel/hostname").read_text() == before
    refused = machine.install("hostile", "--state", "/opt/x", code=13)
    assert "/opt/x can't be a volume of a service" in refused.stderr
    assert machine.listed() == []


def test_the_tree_is_for_root_alone(machine: Machine) -> None:
    machine.install("hostile")
    (row,) = machine.listed()
    rootfs = Path(str(row["rootfs"]))
    assert (rootfs / "bin/busybox").stat().st_mode & 0o4000
    assert machine.root.joinpath(machine.name("hostile")).stat().st_mode & 0o777 == 0o700


def test_the_tree_stays_as_it_was_laid_out(machine: Machine) -> None:
    def listing(rootfs: Path) -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns) for path in rootfs.rglob("*"))

    machine.install("look", "--env", "LOOK=rm -rf /* 2> /dev/null; echo done", "--state", "/new/place")
    rootfs = Path(str(machine.listed()[0]["rootfs"]))
    before = listing(rootfs)
    assert output(Unit.read(machine.unit("look"))) == "done\n"
    assert listing(rootfs) == before


def test_state_outlives_upgrades_and_runs(machine: Machine) -> None:
    words = ("--state", "/extra")
    append = "LOOK=cat /data/kept 2> /dev/null; echo x >> /extra/log; cat /extra/log"
    machine.install("looker", *words, "--env", append)
    name = machine.name("looker")
    assert output(Unit.read(machine.unit("looker"))) == "x\n"
    machine("upgrade", name, "look:1")
    assert output(Unit.read(machine.unit("looker"))) == "x\nx\n"
    assert "stays in" in machine("uninstall", name).stdout
    machine.install("looker", *words, "--env", append)
    assert output(Unit.read(machine.unit("looker"))) == "x\nx\nx\n"
    machine("uninstall", "--purge", name)
    assert list(machine.root.iterdir()) == []


def test_a_volume_begins_with_what_the_image_has(machine: Machine) -> None:
    machine.install("web")
    state = Path(str(machine.listed()[0]["state"]))
    kept = state / "data/kept"
    assert (kept.read_text(), kept.stat().st_uid, kept.parent.stat().st_uid) == ("first\n", 1000, 1000)


def test_upgrade_and_rollback(machine: Machine) -> None:
    machine.install("web")
    name = machine.name("web")

    def version() -> str:
        verify(machine.unit("web"))
        with started(Unit.read(machine.unit("web"))) as process:
            return wait_for(process, "ready")[-2]

    assert "never upgraded" in machine("rollback", name, code=16).stderr
    machine("upgrade", name, "web2:1")
    assert version() == "two"
    machine("rollback", name)
    assert version() == "one"
    machine("rollback", name)
    assert version() == "two"
    machine("upgrade", name, "web3:1")
    assert version() == "three"
    assert len(list((machine.root / name / "releases").iterdir())) == 2
    assert "runs web3:1 already" in machine("upgrade", name, "web3:1").stdout
    (row,) = machine.listed()
    assert (row["image"], row["previous"]) == ("web3:1", "web2:1")


def test_a_release_that_runs_is_kept(machine: Machine) -> None:
    machine.install("web")
    name = machine.name("web")
    with started(Unit.read(machine.unit("web"))) as process:
        wait_for(process, "ready")
        machine("upgrade", name, "web2:1")
        machine("upgrade", name, "web3:1")
        assert len(list((machine.root / name / "releases").iterdir())) == 3
        process.send_signal(signal.SIGUSR1)
        assert process.communicate(timeout=60)[0] == "bye\n"
    machine("rollback", name)
    assert len(list((machine.root / name / "releases").iterdir())) == 2


def test_the_same_again_changes_nothing(machine: Machine) -> None:
    machine.install("web")
    before = machine.unit("web").stat()
    assert "is installed already" in machine.install("web").stdout
    after = machine.unit("web").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    refused = machine.install("web2", name="web", code=2)
    assert "pybuild upgrade" in refused.stderr
    refused = machine.install("web", "--env", "A=1", code=2)
    assert "other settings" in refused.stderr
    machine.install("web", "--enable")
    link = machine.units / "multi-user.target.wants" / machine.unit("web").name
    assert link.resolve() == machine.unit("web")
    machine("uninstall", machine.name("web"))
    assert not os.path.lexists(link) and not machine.unit("web").exists()


def test_systemctl_sees_that_it_is_enabled(machine: Machine, tmp_path: Path) -> None:
    """Below another root, systemctl works without a systemd that runs."""
    units = tmp_path / "os/etc/systemd/system"
    machine("install", "--name", machine.name("web"), "--unit-dir", str(units), "--enable", "web:1")
    shown = subprocess.run(
        ["systemctl", f"--root={tmp_path}/os", "is-enabled", f"{machine.name('web')}.service"],
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "enabled", shown.stderr


def test_services_that_need_each_other(machine: Machine) -> None:
    db, web = machine.name("db"), machine.name("web")
    assert "no service of that name is installed" in machine.install("web", "--requires", db, code=16).stderr
    assert not machine.unit("web").exists()
    machine.install("db")
    machine.install("web", "--requires", db, "--after", "time-sync.target")
    verify(machine.unit("db"), machine.unit("web"))
    unit = Unit.read(machine.unit("web"))
    assert unit.values["Unit", "Requires"] == [f"{db}.service"]
    assert unit.values["Unit", "After"] == ["network-online.target", f"{db}.service", "time-sync.target"]
    assert f"{web} requires {db}" in machine("uninstall", db, code=2).stderr
    refused = machine("upgrade", "--after", web, db, "db:1", code=2)
    assert f"{db} after {web} after {db}" in refused.stderr
    assert "After" not in Unit.read(machine.unit("db")).values
    machine("uninstall", web)
    machine("uninstall", db)


def test_what_an_image_says_of_its_unit(machine: Machine) -> None:
    machine.install("labelled")
    verify(machine.unit("labelled"))
    unit = Unit.read(machine.unit("labelled"))
    assert unit.one("Description", "Unit") == "100%% of %%n"
    assert (unit.one("Restart"), unit.one("MemoryMax")) == ("always", "64M")
    assert unit.values["Unit", "After"][-1] == "db.service"
    machine.install("filed")
    assert Unit.read(machine.unit("filed")).one("RestartSec") == "7"


@pytest.mark.parametrize(
    ("image", "code", "said"),
    [
        ("evil", 13, "asks for ExecStartPre= in [Service], which no image may say"),
        ("sly", 2, "holds control characters"),
        ("ordered", 13, "asks to start after systemd-journald.service, a unit of this machine"),
        ("unstoppable", 13, "no signal"),
    ],
)
def test_what_an_image_can_t_say(machine: Machine, image: str, code: int, said: str) -> None:
    assert said in machine.install(image, code=code).stderr
    assert machine.listed() == []
    assert not machine.unit(image).exists()
    machine.install("look")
    assert sorted(path.name for path in machine.root.iterdir()) == [machine.name("look")]


def test_a_template_takes_the_place_of_the_image_s(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "mine").write_text("[Unit]\nDescription=mine on %H\n[Service]\nNice=5\nRestart=no\n")
    machine.install("evil", "--template", str(tmp_path / "empty"))
    machine.install("labelled", "--template", str(tmp_path / "mine"))
    verify(machine.unit("evil"), machine.unit("labelled"))
    unit = Unit.read(machine.unit("labelled"))
    assert (unit.one("Description", "Unit"), unit.one("Nice"), unit.one("Restart")) == ("mine on %H", "5", "no")
    (tmp_path / "wrong").write_text("[Service]\nExecStart=/bin/sh\n")
    refused = machine.install("look", "--template", str(tmp_path / "wrong"), code=2)
    assert "a template can't say ExecStart=" in refused.stderr


def test_a_place_with_an_odd_name(machine: Machine, tmp_path: Path) -> None:
    odd = Machine(pybuild=machine.pybuild, root=tmp_path / "a b%n$X", units=machine.units)
    odd.install("look", "--env", "LOOK=echo there")
    verify(odd.unit("look"))
    assert output(Unit.read(odd.unit("look"))) == "there\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("install", "nothing:1"), 16, "no image called"),
        (("install", "--name", "Web", "web:1"), 2, "not a name of a service"),
        (("install", "--name", "../x", "web:1"), 2, "not a name of a service"),
        (("install", "--start", "--name", "x", "web:1"), 2, "was not booted with systemd"),
        (("install", "--name", "x", "--state", "relative", "web:1"), 2, "an absolute path"),
        (("install", "--name", "x", "--after", "a/b", "web:1"), 2, "not a name of a service"),
        (("install", "--name", "x", "--env", "NOT_THERE", "web:1"), 2, "no such variable"),
        (("install", "--name", "x", "--template", "/none", "web:1"), 2, "can't read the template"),
        (("install", "--name", "systemd-journald", "web:1"), 2, "has a unit systemd-journald.service of its own"),
        (("upgrade", "x", "web:1"), 16, "no service 'x' is installed"),
        (("rollback", "x"), 16, "no service 'x' is installed"),
        (("uninstall", "x"), 16, "no service 'x' is installed"),
    ],
)
def test_mistakes(machine: Machine, words: tuple[str, ...], code: int, said: str) -> None:
    more = ("--unit-dir", str(machine.units)) if words[0] == "install" else ()
    assert said in machine(words[0], *more, *words[1:], code=code).stderr
    assert machine.listed() == []


def test_a_damaged_service_does_not_hide_the_others(machine: Machine) -> None:
    for image in ("look", "web"):
        machine.install(image)
    (machine.root / machine.name("look") / "releases").joinpath(
        str(machine.listed()[0]["release"]), "release.json"
    ).unlink()
    assert [row["image"] for row in machine.listed()] == [None, "web:1"]
    assert "damaged" in machine("installed").stdout
    machine("uninstall", machine.name("look"))
    assert [row["image"] for row in machine.listed()] == ["web:1"]


def test_bytes_that_are_not_the_image_s_are_not_laid_out(machine: Machine, tmp_path: Path, images: Path) -> None:
    shutil.copytree(images, tmp_path / "store", symlinks=True)
    damaged = replace(machine, pybuild=replace(machine.pybuild, store=tmp_path / "store"))
    told = json.loads(damaged.pybuild.ok("inspect", "--json", "look:1").stdout)
    digest = told["images"][0]["layers"][-1]["digest"].partition(":")[2]
    blob = tmp_path / "store/blobs/sha256" / digest
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)
    damaged.install("look", code=11)
    assert damaged.listed() == []


def test_a_disk_that_is_full(machine: Machine, tmp_path: Path) -> None:
    small = replace(machine, root=tmp_path / "small")
    small.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", small.root], check=True)
    try:
        assert "No space left" in small.install("look", code=15).stderr
        assert small.listed() == []
        subprocess.run(["mount", "-o", "remount,size=50m", small.root], check=True)
        small.install("look", "--env", "LOOK=echo there")
        assert output(Unit.read(small.unit("look"))) == "there\n"
    finally:
        subprocess.run(["umount", small.root], check=True)


def test_many_at_once(machine: Machine) -> None:
    """Those that are installed at one time do not get in each other's way, nor can they wait for each other."""
    names = [machine.name(f"s{number}") for number in range(3)]
    pybuild = (sys.executable, "-m", "buildkit_py.cli", "install", "--root", machine.root, "--unit-dir", machine.units)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [
        subprocess.Popen([*pybuild, "--name", name, "--after", after, "db:1"], env=machine.pybuild.variables(), **quiet)
        for name, after in zip(names, [*names[1:], names[0]], strict=True)
    ]
    assert sorted(process.wait() for process in running) == [0, 0, 2]
    assert len(machine.listed()) == 2


_KILLED = """
import os, signal, sys
from pathlib import Path
from buildkit_py.cli.run import run
from buildkit_py.service import home
left, place = int(sys.argv[1]), sys.argv[2]
def counted(original):
    def call(path, *words, **more):
        global left
        left -= str(path).startswith(place)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(path, *words, **more)
    return call
for name in ("rename", "unlink", "symlink_to", "mkdir"):
    setattr(Path, name, counted(getattr(Path, name)))
home.remove, home.sync = counted(home.remove), counted(home.sync)
sys.exit(run(sys.argv[3:]))
"""


def killed(machine: Machine, number: int, *words: str) -> bool:
    """Run a command that is killed before its change of that number in the services' directories; whether it was."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(number), str(machine.root.parent), *words],
        env=machine.pybuild.variables(),
        capture_output=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("command", ["install", "upgrade", "rollback", "uninstall"])
def test_killed_anywhere(machine: Machine, tmp_path: Path, command: str) -> None:
    """Before each change of the disk: the service is as it was, or as it was to be, and the next command clears up."""
    name, new = machine.name("web"), ("--unit-dir", str(machine.units), "--enable")
    more = {"install": ("--name", name, *new, "web:1"), "upgrade": (name, "web2:1")}.get(command, (name,))
    before, after = {"install": (None, "web:1"), "upgrade": ("web:1", "web2:1")}.get(command, ("web2:1", "web:1"))
    after = None if command == "uninstall" else after
    machine.install("look")
    if command != "install":
        machine.install("web", "--enable")
    if command in ("rollback", "uninstall"):
        machine("upgrade", name, "web2:1")
    copy(tmp_path / "kept", machine.root, machine.units)
    seen = set()
    for number in range(1, 100):
        copy(tmp_path, tmp_path / "kept" / machine.root.name, tmp_path / "kept" / machine.units.name)
        was_killed = killed(machine, number, command, "--root", str(machine.root), *more)
        row = {row["name"]: row for row in machine.listed()}.get(name, {"image": None})
        assert row["image"] in (before, after), (number, row)
        machine("rollback", machine.name("look"), code=16)
        check_clear(machine, name, command, row)
        if row["image"] not in seen and row["image"]:
            verify(machine.unit("web"))
        seen.add(row["image"])
        if not was_killed:
            break
    assert not was_killed
    assert seen == {before, after}


def copy(target: Path, *sources: Path) -> None:
    """Have directories be in another one as they are here, and nothing else in them."""
    target.mkdir(exist_ok=True)
    for source in sources:
        subprocess.run(["rm", "-rf", target / source.name], check=True)
    subprocess.run(["cp", "-a", *sources, target], check=True)


def check_clear(machine: Machine, name: str, command: str, row: dict[str, object]) -> None:
    kept = row["image"] is not None or (command == "uninstall" and (machine.root / name).exists())
    assert {path.name for path in machine.root.iterdir()} == {machine.name("look"), *([name] if kept else [])}
    assert not [path for place in (machine.root, machine.units) for path in place.rglob(".*pybuild*")]
    releases = {path.name for path in (machine.root / name).glob("releases/*")}
    assert len(releases) <= 2
    assert releases if row["image"] else not releases
    assert os.path.lexists(machine.units / "multi-user.target.wants" / f"{name}.service") is bool(row["image"])
    if row["image"]:
        assert row["release"] in releases
        assert Path(str(row["rootfs"]), "version").exists()
