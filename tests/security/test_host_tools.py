"""A host tool writes nothing outside the tree that it was given, and sees nothing private of the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.attacks import attacked, canary, ran
from tests.support.command import Pybuild
from tests.support.project import Project
from tests.support.rootless import UID

CANARY = "canary-of-the-machine"
PRIVATE = ("/root", "/home", "/var", "/var/tmp", "/run", "/srv", "/mnt", "/etc", "/tmp", "/opt", "/boot")


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> Project:
    return attacked(pybuild.having(PLANTED=CANARY), tmp_path, way)


@pytest.fixture
def canaries() -> Iterator[list[Path]]:
    """A file in each private place of the machine, which is the same afterwards."""
    with planted() as found:
        yield found


@contextmanager
def planted() -> Iterator[list[Path]]:
    name = f".{CANARY}-{os.getpid()}"
    with ExitStack() as stack:
        yield [stack.enter_context(canary(Path(place, name), CANARY)) for place in PRIVATE if Path(place).is_dir()]


# --- what it sees


def sees_nothing_private(project: Project, canaries: list[Path]) -> None:
    unseen = [
        *canaries,
        project.directory,
        project.pybuild.store,
        *map(Path, ("/etc/shadow", "/etc/gshadow", "/etc/ssh")),
    ]
    body = f"""
    host {{
        for path in {" ".join(map(str, unseen))}; do
            test ! -e $path || echo seen $path
            test ! -e /proc/1/root$path || echo seen $path by process 1
        done
        grep -r -l {CANARY} /etc /root /home /var /run /srv /mnt /tmp 2>/dev/null || true
        env | grep {CANARY} || true
        find /root /home /srv /mnt /run /var /tmp -mindepth 1 ! -path /var/tmp ! -path '/run/pybuild*'
        cat /proc/[0-9]*/comm | grep -v -x -e sh -e cat -e grep -e 4 || true  # 4: our init, started from descriptor 4
        grep -o {project.pybuild.store} /proc/mounts || true
    }}
    """
    assert ran(project.build(body, start="scratch")) == []


def test_a_host_step_sees_nothing_private(project: Project, canaries: list[Path]) -> None:
    """Not the homes, /var, /etc/shadow, the store, the build's directory, a variable or a process of the machine."""
    sees_nothing_private(project, canaries)


CONNECT = """
with tool(python3){network}
host {{
    #!/usr/bin/env python3
    import socket
    for family, address in {addresses!r}:
        with socket.socket(family) as client:
            try:
                client.connect(address)
                print("reached:", address)
            except OSError:
                pass
    print("done")
}}
"""


@contextmanager
def listening(places: tuple[str, ...]) -> Iterator[list[tuple[int, object]]]:
    """Sockets of the machine: at paths, one with an abstract name, one of TCP."""
    name = f"{CANARY}-{os.getpid()}"
    with ExitStack() as stack:
        addresses: list[tuple[int, object]] = []
        for address in (*(f"{place}/{name}" for place in places), f"\0{name}"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(address)
            server.listen()
            if address.startswith("/"):
                stack.callback(os.unlink, address)
            addresses.append((int(socket.AF_UNIX), address))
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        addresses.append((int(socket.AF_INET), server.getsockname()))
        yield addresses


def reaches_no_socket(project: Project) -> None:
    with listening(("/run", "/tmp", "/var/tmp")) as addresses:
        steps = [CONNECT.format(network=grant, addresses=addresses) for grant in ("", ", network")]
        lines = ran(project.build("\n".join(steps), start="scratch"))
        assert [line.partition(":")[0] for line in lines] == ["done", "reached", "reached", "done"]
        assert all("/" not in line for line in lines), "the network of the machine is what has no path"


def test_a_host_step_reaches_no_socket(project: Project) -> None:
    """Neither by a path nor by an abstract name nor by TCP; with `network`, by a path neither."""
    reaches_no_socket(project)


# --- what it changes

PREY = "/home /root /var /run /srv /mnt /tmp /etc /bin /sbin /usr/bin /usr/share/doc"
OWN = "/rootfs /home /mnt /root /run /srv /tmp /var /var/tmp /dev /dev/pts /dev/shm /dev/mqueue /proc"


def changes_nothing(project: Project) -> None:
    new = f"{CANARY}-{os.getpid()}"
    folders = ("/usr", "/usr/bin", "/usr/local", "/etc", "/", "/lib", "/sys/fs", "/proc", "/proc/1/root/usr")
    body = f"""
    host {{
        for path in {" ".join(folders)}; do
            if touch $path/{new} 2>/dev/null; then echo wrote $path; exit 9; fi
        done
        while read -r from at kind how rest; do
            case " {OWN} " in *" $at "*) continue ;; esac
            case "$how" in ro|ro,*) ;; *) echo writable $at; exit 9 ;; esac
        done < /proc/self/mounts
        if chmod 644 /etc/passwd 2>/dev/null; then echo changed /etc/passwd; fi
        if chmod 666 /dev/null /dev/stdin 2>/dev/null; then echo changed /dev/null; fi
        core=/proc/sys/kernel/core_pattern
        if cat $core > $core; then echo wrote core_pattern; fi
        if mount -t tmpfs none /mnt 2>/dev/null; then echo mounted; fi
        if mount -o remount,rw /usr 2>/dev/null; then echo remounted; fi
        if mknod /tmp/node b 254 0 2>/dev/null; then echo made a node; fi
        rm -rf --no-preserve-root {PREY} 2>/dev/null || true
        touch $ROOTFS/done
    }}
    """
    made = [Path(folder, new) for folder in folders if not folder.startswith("/proc")]
    try:
        assert ran(project.build(body, start="scratch")) == []
        assert not [path for path in made if path.exists()]
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def test_a_host_step_changes_nothing_of_the_machine(project: Project, canaries: list[Path]) -> None:
    """rm -rf is let loose once it is sure that nothing there can be written; what is written is there already."""
    before = {name: listed(name) for name in ("/etc", "/usr/bin", "/root", "/var", "/home")}
    changes_nothing(project)
    assert [name for name, names in before.items() if names - listed(name)] == []


def listed(name: str) -> set[str]:
    """What is in a directory, without what other tests plant."""
    return {name for name in os.listdir(name) if not name.startswith(".")}


PLACES = "/usr/bin /usr/local/bin /etc /tmp /var/tmp /run /home"
DROP = """
host {{
    cp /bin/true $ROOTFS/{name}
    chown 0:0 $ROOTFS/{name}
    chmod 6755 $ROOTFS/{name}
    for place in {places}; do cp -a $ROOTFS/{name} $place/ 2>/dev/null || true; done
}}
with cache(/c)
run cp -a /{name} /c/
"""


def drops_nothing(pybuild: Pybuild, way: tuple[str, ...]) -> None:
    name = f"{CANARY}-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="pybuild-drop-") as place:
        area = Path(place)
        area.chmod(0o755)
        (area / "store").mkdir(mode=0o755)
        project = attacked(replace(pybuild, store=area / "store/of-the-test"), area, way)
        ran(project.build(DROP.format(name=name, places=PLACES)))
        dropped = [path for path in area.rglob(name) if path.stat().st_mode & 0o6000 == 0o6000]
        assert len(dropped) >= 2, "of the tree and of the cache"
        for path in dropped:
            assert not usable(path), path
    assert not [
        found
        for found in ("/usr/bin", "/usr/local/bin", "/etc", "/tmp", "/var/tmp", "/run", "/home")
        if Path(found, name).exists()
    ]


def usable(path: Path) -> bool:
    """Whether an ordinary user of the machine can start a program."""
    # setpriv itself still has capabilities when it executes something.
    command = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "sh", "-c", 'exec "$0"', path]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_a_set_user_id_program_is_of_no_use_outside(pybuild: Pybuild, way: tuple[str, ...]) -> None:
    """It lies in the store, with its mode, where no one but the owner of the store gets to."""
    drops_nothing(pybuild, way)


# --- what it leaves


def leaves_nothing_below_the_systems_directories(project: Project) -> None:
    body = """
    host {
        cd $ROOTFS
        mkdir -p dev/pts proc/1 sys/kernel etc
        echo x | tee dev/null proc/1/status sys/kernel/x etc/kept >/dev/null
        ln -s /nowhere dev/fd
        mkfifo dev/pipe
    }
    """
    files = project.files(body, *project.arguments, start="scratch")
    assert sorted(files) == ["/dev", "/etc", "/etc/kept", "/proc", "/sys"]


def test_nothing_below_dev_proc_and_sys_reaches_a_layer(project: Project) -> None:
    """mmdebstrap without capabilities leaves a regular file dev/null."""
    leaves_nothing_below_the_systems_directories(project)


def test_links_of_the_tree_lead_nowhere(project: Project, tmp_path: Path) -> None:
    """A tree whose directories are links onto the machine: what is laid on them lands in the tree or is refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with canary(outside / "canary", CANARY):
        body = f"""
        symlink /etc to {outside}
        symlink /out to ../../../../..{outside}
        host ls $ROOTFS/etc/ $ROOTFS/out/ 2>/dev/null || echo nothing there
        write /etc/hosts "of the tree"
        """
        assert project.build(body, start="scratch").printed()[-1:] == ["nothing there"]
        assert [path.name for path in outside.iterdir()] == ["canary"]
