"""What an engine reads and makes in a tree before a step begins: who is in it, and where the step starts."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from tests.support.hostile import UP, Machine, build_dockerfile, image
from tests.support.layouts import Entry, folder, link
from tests.support.project import Project

GONE = Entry(name="etc/.wh.passwd")
LINE = b"app:x:7:8::/h:/bin/sh\n"
ODD = {
    "fifo": [Entry(name="etc/passwd", kind=tarfile.FIFOTYPE)],
    "group": [Entry(name="etc/group", kind=tarfile.FIFOTYPE), Entry(name="etc/passwd", data=LINE)],
    "zero": [link("etc/passwd", "/dev/zero")],
    "kernel": [link("etc/passwd", "../proc/kmsg")],
    "folder": [folder("etc/passwd")],
    "huge": [Entry(name="etc/passwd", data=LINE * 800_000)],
}
"""What no runtime may be left alone with: it would wait, or read for ever."""

IMAGES = """
image {name}-runs {{
    from "oci:{name}"
    run echo {name} runs
}}
image {name}-user {{
    from "oci:{name}"
    user app
    run echo {name} has a user
}}
image {name}-owner {{
    from "oci:{name}"
    copy ./Buildfile to /x owner app
}}
"""


def test_a_passwd_that_is_no_file(project: Project, way: tuple[str, ...]) -> None:
    """CVE-2024-9676: pipes, devices and what is huge in the place of /etc/passwd and /etc/group are refused at once."""
    for name, entries in ODD.items():
        image(project, name, GONE, *entries)
    built = project.build_file(
        f"buildfile 1\n{''.join(IMAGES.format(name=name) for name in ODD)}", *way, "--keep-going"
    )
    failed = [event for event in built.events if event["event"] == "Finished" and event["outcome"] == "failed"]
    assert built.printed() == [], built.result.output
    assert built.code in (13, 14), built.result.output
    assert len(failed) == 3 * len(ODD) - 1, built.result.output  # the owner is found where only the groups are odd
    assert all(re.search("/etc/passwd|/etc/group|no user 'app'", event["error"]) for event in failed)


def test_a_passwd_that_leads_elsewhere(project: Project, tmp_path: Path) -> None:
    """CVE-2024-9676: the names in the machine's own file are those of nobody in the image."""
    (tmp_path / "passwd").write_bytes(LINE)
    image(project, "out", GONE, link("etc/passwd", f"{UP}{tmp_path}/passwd"))
    image(project, "loop", GONE, link("etc/passwd", "passwd"))
    image(project, "noise", GONE, Entry(name="etc/passwd", data=b"\xff\0:::\n\n:x:7\napp:x:not-a-number:8::/:\n"))
    image(project, "in", GONE, link("etc/passwd", "/real"), Entry(name="real", data=LINE))
    text = "".join(IMAGES.format(name=name) for name in ("out", "loop", "noise"))
    built = project.build_file(f"buildfile 1\n{text}", "--keep-going")
    failed = [event["error"] for event in built.events if event["event"] == "Finished" and event["outcome"] == "failed"]
    assert sorted(built.printed()) == ["loop runs", "noise runs", "out runs"], built.result.output
    assert len(failed) == 6, built.result.output
    assert project.ok("user 7\nrun id -u", start='"oci:noise"').printed() == ["7"]
    assert project.ok("user app\nrun id -u; id -G", start='"oci:in"').printed() == ["7", "8"]


LINKS = "ln -s {0} /out; ln -s ../../../../../..{0} /up"


def test_a_workdir_through_a_link(project: Project, machine: Machine, way: tuple[str, ...]) -> None:
    """A WORKDIR is made, and given to its user, inside the tree alone."""
    steps = """
    FROM base
    RUN {links}
    USER 7:8
    WORKDIR /out/made
    RUN pwd -P; stat -c %u:%g .; ls -A ..; touch own
    WORKDIR /up/b/stub
    RUN pwd -P; stat -c %u:%g .; touch own; cat /up/secret /out/secret || true
    """
    built = build_dockerfile(project, steps.format(links=LINKS.format(machine.path, UP)), *way)
    machine.check(built.result.output)
    assert built.code == 0, built.result.output
    where = str(machine.path)
    assert built.printed() == [f"{where}/made", "7:8", "made", f"{where}/b/stub", "7:8"]


def test_a_workdir_of_a_buildfile_through_a_link(project: Project, machine: Machine) -> None:
    """The same, as the other frontend writes it; a test starts in one that only the configuration has."""
    where = str(machine.path)
    body = f"run {LINKS.format(where, UP)}\nuser 7:8\nworkdir /out/more\nrun pwd -P; stat -c %u:%g ."
    built = project.build(f'{body}\nworkdir /up/less\ntest "t" {{\nrun pwd -P\n}}')
    machine.check(built.result.output)
    assert built.printed() == [f"{where}/more", "7:8", f"{where}/less"], built.result.output
