"""An ordinary user builds: the same images as root, in a store that the same commands care for."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import bases, layouts
from tests.support.command import Pybuild
from tests.support.graphs import BASE, Graphs, sh
from tests.support.layouts import Entry, folder
from tests.support.project import Project
from tests.support.rootless import UID, User, needs_maps, new_user

RUNTIMES = ("runc", "crun", "bwrap")

pytestmark = needs_maps


@pytest.fixture
def user() -> Iterator[User]:
    """A user with a project."""
    with new_user() as user:
        project = user.project
        base(project / "owned")
        shutil.copytree(bases.layout("tiny"), project / "base")
        (project / "Buildfile").write_text(BUILDFILE)
        (project / "app.conf").write_text("conf")
        subprocess.run(["chown", "-R", f"{UID}:{UID}", project], check=True)
        yield user


def base(directory: Path) -> None:
    """Two layers of several owners; the second removes and replaces what the first has."""
    directory.mkdir()
    first = [
        *(folder("etc"), folder("srv"), folder("gone")),
        Entry(name="etc/shadow", data=b"x", mode=0o600, uid=0, gid=42),
        Entry(name="srv/data", data=b"d", mode=0o640, uid=33, gid=33),
        Entry(name="gone/file", data=b"g", uid=1000, gid=1000),
    ]
    second = [Entry(name=".wh.gone"), Entry(name="srv/more", data=b"m", uid=65534, gid=65534)]
    layouts.write_layout(directory, [layouts.layer(first), layouts.layer(second)], {})


BUILDFILE = """buildfile 1
stage tools { from "oci:base"; run echo made > /made; chown 12:34 /made; rm -r /usr; mkdir -m 700 /usr
}
image scratched {
    from scratch
    copy ./app.conf to /etc/ owner 5:6 mode 0640
    mkdir /data owner 1000:1000 mode 0700
    copy /made /usr to /from-stage/ from tools
    remove /data
    write /data "x" owner 77
}
image owned {
    from "oci:owned"
    write /srv/data "changed" owner 33:33
    remove /srv/more
    copy /made to /made from tools
    chown 12:34 /etc/shadow
}
image ran {
    from "oci:base"
    user 1000:1000
    workdir /home/app
    with cache(/cache), tmpfs(/scratch, size: 1m), mount(/srv, at: /srv, from: owned)
    run id -u; touch mine; touch /cache/x /scratch/x; stat -c %u:%g /srv/data
    test "ran" { owner /home/app/mine 1000:1000; run test -e mine
    }
}
"""


def digests(text: str) -> dict[str, str]:
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return {event["image"]: event["digest"] for event in events if event["event"] == "ImageDone"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_same_images_as_root(user: User, pybuild: Pybuild, tmp_path: Path, runtime: str) -> None:
    theirs = user.ok("build", ".", "--progress", "json", "--runtime", runtime)
    ours = pybuild.ok("build", str(user.project), "--progress", "json")
    assert digests(theirs) == digests(ours.stdout)
    assert sorted(digests(theirs)) == ["owned", "ran", "scratched"]
    assert (user.area / "home/.local/share/pybuild").is_dir()
    again = user.ok("build", ".", "--progress", "json", "--runtime", runtime)
    assert '"ran": 0' in again


def test_a_cache_goes_from_one_user_to_another(user: User, pybuild: Pybuild) -> None:
    """What is laid down of it has the owners that the steps gave, whoever lays it down."""
    theirs = user.ok("build", ".", "--progress", "json", "--cache-to", "type=local,dest=../cache,mode=max")
    ours = pybuild.ok("build", str(user.project), "--progress", "json", "--cache-from", str(user.area / "cache"))
    assert digests(ours.stdout) == digests(theirs)
    assert '"ran": 0' in ours.stdout
    shutil.rmtree(user.area / "home/.local/share/pybuild")
    text = BUILDFILE.replace("run id -u;", "run id -g;").replace("run echo made", "run cat /etc/passwd; echo made")
    (user.project / "Buildfile").write_text(text)
    again = user.ok("build", ".", "--progress", "json", "--cache-from", "../cache")
    alone = pybuild.ok("build", str(user.project), "--progress", "json", "--no-cache")
    assert digests(again) == digests(alone.stdout)
    assert '"warning"' not in again
    user.ok("store", "check")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_privileges_within_those_of_the_user(user: User, runtime: str) -> None:
    """A set-user-id program is root inside, which is the user outside; without a sandbox that is still so."""
    su = Entry(name="bin/su", data=Path("/bin/busybox").read_bytes(), mode=0o4755)
    passwd = Entry(name="etc/passwd", data=b"root::0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n")
    layouts.write_layout(
        user.project / "suid", [*layouts.layers_of(bases.layout("tiny")), layouts.layer([su, passwd])], {}
    )
    subprocess.run(["chown", "-R", f"{UID}:{UID}", user.project / "suid"], check=True)
    become = sh("/bin/su root -c 'id -u; ! touch /proc/sys/kernel/core_pattern 2>&1'", user="app", set_id=True)
    free = sh("mount -t tmpfs none /tmp && ! mknod /null c 1 3 2>/dev/null && id -u", security="insecure")
    graph = Graphs(project=Project(pybuild=Pybuild(home=user.area, store=user.area), directory=user.project))
    (user.project / "graph.json").write_bytes(graph.encoded(replace(BASE, ref="oci:suid"), become, free))
    given = ("--allow", "security.insecure", "--runtime", runtime)
    printed = user.ok("build", ".", "--graph", "graph.json", "--progress", "json", *given)
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    lines = [event["text"] for event in events if event["event"] == "Log"]
    assert lines == ["0", "touch: /proc/sys/kernel/core_pattern: Read-only file system", "0"]


def test_the_other_commands_work_as_that_user(user: User) -> None:
    user.ok("build", ".", "-q", "--target", "owned", "-t", "named")
    assert "named" in user.ok("ls")
    assert "sha256:" in user.ok("inspect", "named")
    assert int(json.loads(user.ok("df", "--json"))["bytes"]) > 0
    user.ok("store", "check")
    user.ok("prune", "--all")
    user.ok("store", "check")
    user.ok("build", ".", "-q", "--target", "owned")


def test_files_come_in_and_go_out_as_they_are(user: User) -> None:
    with tarfile.open(user.area / "root.tar", "w") as archive:
        for entry in (Entry(name="null", kind=tarfile.CHRTYPE), Entry(name="far", uid=4000, gid=5000)):
            info = entry.info
            info.devmajor, info.devminor = (1, 3) if info.ischr() else (0, 0)
            archive.addfile(info)
    user.ok("import", str(user.area / "root.tar"), "imported", "-c", "USER 4000")
    assert json.loads(user.ok("diff", "--json", "imported", "imported"))["equal"]
    assert "pybuild: import" in user.ok("history", "imported")
    user.ok("build", ".", "-q", "--target", "owned", "-t", "named")
    user.ok("export", "named", "-o", str(user.area / "home/out.tar"))
    with tarfile.open(user.area / "home/out.tar") as archive:
        owners = {each.name: (each.uid, each.gid) for each in archive.getmembers()}
    assert owners["srv/data"] == (33, 33)
    assert "gone" not in owners
    assert "freed" in user.ok("rmi", "imported", "named")
    user.ok("store", "check")


def test_a_terminal(user: User) -> None:
    """The live view has a thread of its own, and a process with threads can't enter a user namespace."""
    (user.project / "Buildfile").write_text('buildfile 1\nimage a { from "oci:base"; run echo up; sleep 0.3\n}\n')
    ran = user("build", ".", "--progress", "tty")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_user_without_ranges_is_told_what_to_do(user: User) -> None:
    (user.project / "Buildfile").write_text("buildfile 1\nimage a { from scratch; mkdir /x; }\n")
    for command in (("build", "."), ("df",)):
        ran = user(*command, ranges="")
        assert ran.returncode == 13
        assert "usermod --add-subuids" in ran.stderr
        assert "Traceback" not in ran.stderr


def test_looking_inside(user: User) -> None:
    user.ok("build", ".", "-q")
    look = user.project / "look"
    subprocess.run(["install", "-d", "-o", str(UID), look], check=True)
    seen = user.ok(
        "mount", "owned", str(look), "--", "stat", "-c", "%u:%g %a", str(look / "srv/data"), str(look / "etc/shadow")
    )
    assert seen.splitlines() == ["33:33 644", "12:34 600"]
    assert list(look.iterdir()) == []
    written = user.ok("mount", "--write", "owned", str(look), "--", "sh", "-c", f"echo x > {look}/new; ls {look}/new")
    assert written == f"{look}/new\n"
    refused = user("mount", "owned", str(look))
    assert refused.returncode == 13
    assert "pybuild mount owned DIR -- PROGRAM" in refused.stderr
    for runtime in RUNTIMES:
        words = ("shell", "--runtime", runtime, "ran", "--", "sh", "-c", "id -u; touch /x 2>&1 | grep -o Read-only")
        assert user.ok(*words).split() == ["1000", "Read-only"]
    assert user.ok("mount") == "no images are mounted\n"


def test_info_says_what_an_ordinary_user_can_do(user: User) -> None:
    found = json.loads(user.ok("info", "--json"))
    assert found["problems"] == {}
    assert found["user"]["rootless"]
    assert found["user"]["restrictions"]
    assert found["snapshotter"]["used"] == "overlay"
    assert found["store"]["path"] == str(user.area / "home/.local/share/pybuild")
    without = user("info", "--json", ranges="")
    assert without.returncode == 0
    problems = json.loads(without.stdout)["problems"]
    assert "has no range of 65536 numbers" in problems["user"]
    assert "--add-subuids" in problems["user"]


def test_a_store_of_root_can_be_read_by_an_ordinary_user(user: User, pybuild: Pybuild) -> None:
    """Once it is opened for reading. Its snapshots hold files that are nobody's in the user's namespace: layers are
    unpacked anew."""
    shared = user.area / "shared"
    pybuild.ok("build", str(user.project), "-q", "--target", "ran", "-t", "theirs:1", "--store", str(shared))
    step = 'RUN test "$(stat -c %u:%g /bin/busybox)" = 0:0 && echo x >> /etc/passwd && chown 5:6 /home/app/mine'
    (user.project / "Dockerfile").write_text(f"FROM theirs:1\nUSER 0\n{step}\n")
    words = ("build", ".", "-f", "Dockerfile", "-q")
    ran = user(*words, others=str(shared))
    assert ran.returncode != 0
    assert f"the additional store {shared} is not used" in ran.stderr
    subprocess.run(["chmod", "-R", "a+rX", shared], check=True)
    ran = user(*words, others=str(shared))
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    ours = pybuild.ok("build", str(user.project), "-f", str(user.project / "Dockerfile"), "-q", "--store", str(shared))
    assert ours.stdout == ran.stdout
