"""One build file gives one digest, wherever and however it is built."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.build import BASE, Project
from tests.support.command import Pybuild

FILE = f"""
stage tool {{
    {BASE}
    copy ./src/ to /src/
    run cat /src/* > /all; ln /all /linked; mkdir -m 2750 /set; touch -d @12345 /set/stamp
}}
image app {{
    {BASE}
    env MODE = "x"
    layer "files" {{
        copy ./src/ to /srv/
        copy /all /set to /out/ from tool
        write /etc/app.conf "text\\n" owner 10:20 mode 0640
    }}
    layer "work" {{
        run {{
            rm -r /bin/wget /srv/a; mkdir -p /a/b; echo z > /a/b/c; mv /srv/b /srv/moved
            ls -la /srv > /dev/null; ln -s moved /srv/link; umask > /umask; env > /env; pwd > /pwd
        }}
        run rm -r /a && mkdir /a && chmod 0700 /a
    }}
    with tool(sh)
    host touch "$ROOTFS/from-host"; stat -c %a /tmp > "$ROOTFS/mode"
}}
"""


def make(pybuild: Pybuild, directory: Path, store: Path, *, names: str = "abc", **environment: str) -> Project:
    """The same project elsewhere; its files are made in the order of `names`."""
    project = Project.make(replace(pybuild.having(**environment), store=store), directory)
    project.write({f"src/{name}": name * 10 for name in names})
    project.file(FILE)
    return project


@pytest.fixture
def digest(pybuild: Pybuild, tmp_path: Path) -> str:
    """The digest of the ordinary build."""
    return make(pybuild, tmp_path / "project", pybuild.store).build().digest


def test_another_store_directory_time_zone_locale_and_order(pybuild: Pybuild, tmp_path: Path, digest: str) -> None:
    place = tmp_path / "somewhere" / "else with ünicode"
    project = make(
        pybuild, place, tmp_path / "other" / "store", names="cba", TZ="Asia/Tokyo", LANG="C.UTF-8", LC_ALL="C.UTF-8"
    )
    assert project.build("--jobs", "1").digest == digest


def test_another_umask(pybuild: Pybuild, tmp_path: Path, digest: str) -> None:
    before = os.umask(0o077)
    try:
        project = make(pybuild, tmp_path / "masked", tmp_path / "other")
        assert project.build("--jobs", "64").digest == digest
    finally:
        os.umask(before)


def test_the_copying_snapshotter(pybuild: Pybuild, tmp_path: Path, digest: str) -> None:
    project = make(pybuild, tmp_path / "copied", tmp_path / "other")
    assert project.build("--snapshotter", "copy").digest == digest


@pytest.mark.parametrize("runtime", ["runc", "crun", "bwrap"])
def test_every_runtime(pybuild: Pybuild, tmp_path: Path, digest: str, runtime: str) -> None:
    project = make(pybuild, tmp_path / runtime, tmp_path / "other")
    assert project.build("--runtime", runtime).digest == digest


def test_layers_are_committed_the_same_when_their_snapshots_come_from_elsewhere(
    pybuild: Pybuild, tmp_path: Path, digest: str
) -> None:
    """A store that has done half of it before, in another order."""
    project = make(pybuild, tmp_path / "half", tmp_path / "other")
    project.build("--target", "tool")
    assert project.build().digest == digest
    assert project.build("--no-cache").digest == digest


def test_no_time_enters_an_image_but_the_one_that_was_asked_for(pybuild: Pybuild, tmp_path: Path, digest: str) -> None:
    when = 1_700_000_000
    project = make(pybuild, tmp_path / "dated", tmp_path / "other", SOURCE_DATE_EPOCH=str(when))
    unpacked = project.unpacked()
    assert project.build().digest != digest
    created = "2023-11-14T22:13:20Z"
    own = [entry["created"] for entry in unpacked.config["history"] if entry.get("created")]
    assert unpacked.config["created"] == created
    assert own == [created] * len(own) and len(own) >= 3
    files = unpacked.files()
    ours = ("/srv/c", "/out/all", "/etc/app.conf", "/a", "/env", "/from-host", "/srv/link")
    assert {files[name].mtime for name in ours} == {when}
    assert f"SOURCE_DATE_EPOCH={when}" in files["/env"].text


def test_without_one_files_are_of_the_beginning_of_time(pybuild: Pybuild, tmp_path: Path) -> None:
    project = make(pybuild, tmp_path / "project", pybuild.store)
    unpacked = project.unpacked()
    assert unpacked.config["created"] == "1970-01-01T00:00:00Z"
    files = unpacked.files()
    assert {files[name].mtime for name in ("/srv/c", "/a", "/env", "/out/set/stamp")} == {0}
    assert files["/umask"].text == "0022\n"
    environment = dict(line.split("=", 1) for line in files["/env"].text.splitlines())
    assert environment.keys() <= {"PATH", "HOME", "SOURCE_DATE_EPOCH", "MODE", "PWD", "SHLVL"}


def test_outputs_are_the_same_bytes(pybuild: Pybuild, tmp_path: Path) -> None:
    for name, order in (("one", "abc"), ("two", "cab")):
        project = make(pybuild, tmp_path / name, tmp_path / f"store-{name}", names=order)
        for kind in ("archive", "docker", "rootfs"):
            project.build("-o", f"{kind}:{tmp_path}/{name}-{kind}.tar", "-t", "app:1")
    for kind in ("archive", "docker", "rootfs"):
        assert (tmp_path / f"one-{kind}.tar").read_bytes() == (tmp_path / f"two-{kind}.tar").read_bytes(), kind
