"""The files of an image among others in a directory, and as a tar: `-o type=local` and `-o type=tar`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support import layouts
from tests.support.command import Pybuild, Result
from tests.support.layouts import Entry

MEMBERS = (
    layouts.folder("bin", 0o750),
    Entry(name="bin/app", data=b"app", mode=0o4755, uid=5, gid=6),
    Entry(name="bin/same", kind=tarfile.LNKTYPE, target="bin/app", mode=0o4755, uid=5, gid=6),
    layouts.link("link", "/etc/passwd"),
    Entry(name="plain", data=b"plain", mode=0o600),
    Entry(name="pipe", kind=tarfile.FIFOTYPE, mode=0o640),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory whose image has one of everything."""
    directory = tmp_path / "project"
    images = {name: ([layouts.layer(MEMBERS)], {}) for name in (layouts.ARCHITECTURE, layouts.FOREIGN)}
    layouts.write_index(directory / "base", images)
    (directory / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:base"\n}\n')
    return directory


def build(pybuild: Pybuild, project: Path, *words: str) -> Result:
    return pybuild("build", "-q", *words, cwd=project)


def test_files_among_others(pybuild: Pybuild, project: Path) -> None:
    out = project / "out"
    out.mkdir(mode=0o700)
    (out / "mine").write_text("mine")
    (out / "plain").write_text("an older one")
    (out / "bin").symlink_to("/nonexistent")
    for _ in range(2):
        assert build(pybuild, project, "-o", "local:out").code == 0
        assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [
            "bin", "bin/app", "bin/same", "link", "mine", "pipe", "plain",
        ]  # fmt: skip
        assert ((out / "mine").read_text(), (out / "plain").read_text()) == ("mine", "plain")
        app = (out / "bin/app").stat()
        assert (app.st_mode & 0o7777, app.st_uid, app.st_nlink, app.st_mtime) == (0o4755, os.geteuid(), 2, 0)
        assert (out / "bin").lstat().st_mode & 0o7777 == 0o750
        assert (out / "link").readlink() == Path("/etc/passwd")
        assert out.stat().st_mode & 0o7777 == 0o700


def test_no_directory_gives_way_to_a_file(pybuild: Pybuild, project: Path) -> None:
    (project / "out/plain").mkdir(parents=True)
    done = build(pybuild, project, "-o", "type=local,dest=out")
    assert done.code == 15
    assert "plain is a directory, and the image has a file of that name" in done.stderr
    assert (project / "out/plain").is_dir()


def test_a_directory_that_is_a_link_is_followed_and_those_in_it_are_not(pybuild: Pybuild, project: Path) -> None:
    (project / "real").mkdir()
    (project / "elsewhere").mkdir()
    (project / "real/bin").symlink_to(project / "elsewhere")
    (project / "out").symlink_to("real")
    assert build(pybuild, project, "-o", "local:out").code == 0
    assert (project / "real/bin/app").is_file()
    assert list((project / "elsewhere").iterdir()) == []


def test_a_place_that_can_not_be_written_to(pybuild: Pybuild, project: Path) -> None:
    done = build(pybuild, project, "-o", "local:/proc/out")
    assert done.code == 15
    assert "can't be written" in done.stderr


def test_several_platforms(pybuild: Pybuild, project: Path) -> None:
    both = f"linux/{layouts.ARCHITECTURE},linux/{layouts.FOREIGN}"
    assert build(pybuild, project, "--platform", both, "-o", "local:out", "-o", "tar:out.tar").code == 0
    names = sorted(f"linux_{name}" for name in (layouts.ARCHITECTURE, layouts.FOREIGN))
    assert sorted(os.listdir(project / "out")) == names
    with tarfile.open(project / "out.tar") as archive:
        inside = archive.getnames()
        assert sorted({name.partition("/")[0] for name in inside}) == names
        assert archive.getmember(f"{names[0]}/bin/same").linkname == f"{names[0]}/bin/app"


def test_a_tar_keeps_owners(pybuild: Pybuild, project: Path) -> None:
    assert build(pybuild, project, "-o", "type=tar,dest=out.tar").code == 0
    with tarfile.open(project / "out.tar") as archive:
        app = archive.getmember("bin/app")
        assert (app.mode, app.uid, app.gid, app.mtime) == (0o4755, 5, 6, 0)


@pytest.mark.parametrize(
    ("spec", "name"), [("-", "bin/app"), ("type=oci", "oci-layout"), ("docker:-", "manifest.json")]
)
def test_standard_output(pybuild: Pybuild, project: Path, spec: str, name: str) -> None:
    command = [sys.executable, "-m", "buildkit_py.cli", "build", "-o", spec, "--progress", "plain"]
    done = subprocess.run(command, cwd=project, env=pybuild.variables(), capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert name in archive.getnames()
    assert b"standard output" in done.stderr


def test_names_of_one_image(pybuild: Pybuild, project: Path) -> None:
    import json

    done = build(pybuild, project, "-t", "app", "-t", "r.example/app:2", "-o", "docker:a.tar", "-o", "oci:b.tar")
    assert done.code == 0, done.output
    with tarfile.open(project / "a.tar") as archive:
        (row,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        assert row["RepoTags"] == ["docker.io/library/app:latest", "r.example/app:2"]
    with tarfile.open(project / "b.tar") as archive:
        rows = json.load(archive.extractfile("index.json") or io.BytesIO())["manifests"]
        names = [row["annotations"]["org.opencontainers.image.ref.name"] for row in rows]
        assert names == ["app", "r.example/app:2"]


def test_labels_and_annotations_of_the_command_line(pybuild: Pybuild, project: Path) -> None:
    import json

    both = f"linux/{layouts.ARCHITECTURE},linux/{layouts.FOREIGN}"
    words = ("--label", "l=1", "--annotation", "all=1", "--annotation", f"manifest[linux/{layouts.FOREIGN}]:one=2")
    more = ("--annotation", "index:whole=3", "--annotation", "manifest-descriptor:entry=4")
    assert build(pybuild, project, "--platform", both, *words, *more, "-o", "layout:out").code == 0

    def blob(described: dict[str, str]) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            (project / "out/blobs/sha256" / described["digest"].removeprefix("sha256:")).read_text()
        )
        return found

    (row,) = json.loads((project / "out/index.json").read_text())["manifests"]
    index: dict[str, object] = blob(row)
    assert index["annotations"] == {"whole": "3"}
    for entry in index["manifests"]:  # type: ignore[attr-defined]
        foreign = entry["platform"]["architecture"] == layouts.FOREIGN
        assert entry["annotations"] == {"entry": "4"}
        manifest = blob(entry)
        assert manifest["annotations"] == {"all": "1", **({"one": "2"} if foreign else {})}
        config: dict[str, object] = blob(manifest["config"])  # type: ignore[arg-type]
        assert config["config"]["Labels"] == {"l": "1"}  # type: ignore[index]
    done = build(pybuild, project, "--annotation", "index:whole=3")
    assert done.code == 2
    assert "has no index" in done.stderr


def test_an_output_that_nobody_reads_to_its_end_is_said_once(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY big /\n")
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    command = [sys.executable, "-m", "buildkit_py.cli", "build", "-o", "-", "."]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=pybuild.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate()
    assert process.returncode == 15, said
    assert b"error: tar standard output: the program that reads it ended first" in said
