"""What made each layer of an image, and what differs between two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support import bases, cache, layouts
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.layouts import Entry
from tests.support.registry import RegistryServer
from tests.support.stored import LOWER, UPPER, described, document, put
from tests.support.trees import unpack


class TestWhatMadeIt:
    def test_each_line_of_a_dockerfile(self, pybuild: Pybuild, tmp_path: Path) -> None:
        bases.place("tiny", tmp_path / "tiny")
        project = tmp_path / "project"
        project.mkdir()
        (project / "a").write_text("a")
        text = "FROM tiny\nENV A=1\nCOPY a /a\nRUN cat /a > /b\n\nCMD cat\n"
        (project / "Dockerfile").write_text(text)
        words = ("build", "-q", "--build-context", f"tiny=oci-layout://{tmp_path}/tiny", "-t")
        pybuild.ok(*words, "app", ".", cwd=project)
        told = document(pybuild, "history", "app")
        assert told["file"] == str(project / "Dockerfile")
        base, *own = told["lines"]
        assert base["base"]
        assert base["at"] is None
        assert [(line["at"], line["by"].split()[0], bool(line["layer"])) for line in own] == [
            ("Dockerfile:2", "ENV", False),
            ("Dockerfile:3", "COPY", True),
            ("Dockerfile:4", "RUN", True),
            ("Dockerfile:6", "CMD", False),
        ]
        assert all(line["base"] is None for line in own)
        # A blank line changes no digest, and the last build counts.
        before = document(pybuild, "inspect", "app")["digest"]
        (project / "Dockerfile").write_text(f"# a comment\n{text}")
        pybuild.ok(*words, "app", ".", cwd=project)
        assert document(pybuild, "inspect", "app")["digest"] == before
        assert document(pybuild, "history", "app")["lines"][1]["at"] == "Dockerfile:3"
        shown = pybuild.ok("history", "app").stdout
        assert "Dockerfile:4" in shown
        assert "3 layers" in shown
        # It is known for as long as the image is there, and of an image that stands on this one.
        pybuild.ok("prune", "--all")
        (project / "Dockerfile").write_text("FROM app\nRUN true > /c\n")
        pybuild.ok("build", "-q", "-t", "above", ".", cwd=project)
        above = document(pybuild, "history", "above")["lines"]
        assert [line["at"] for line in above][1:] == [
            "Dockerfile:3", "Dockerfile:4", "Dockerfile:5", "Dockerfile:7", "Dockerfile:2",
        ]  # fmt: skip
        assert [bool(line["base"]) for line in above] == [True] * 5 + [False]

    def test_the_steps_of_a_layer_of_a_buildfile(self, pybuild: Pybuild, tmp_path: Path) -> None:
        project = Project.make(pybuild, tmp_path / "project")
        project.write({"a": "a"})
        project.image('layer "both" {', "copy ./a to /a", "run cat /a > /b", "}")
        project.build("-t", "app")
        line = document(pybuild, "history", "app")["lines"][-1]
        assert line["at"] == "Buildfile:5"
        assert [(step["at"], step["title"].split()[0]) for step in line["steps"]] == [
            ("Buildfile:5", "copy"),
            ("Buildfile:6", "run"),
        ]
        assert line["by"] == "copy ./a → /a; run cat /a > /b"

    def test_an_image_from_elsewhere(self, pybuild: Pybuild, tmp_path: Path) -> None:
        layouts.write_layout(tmp_path / "layout", [layouts.layer(LOWER)])
        (line,) = document(pybuild, "history", f"oci:{tmp_path}/layout")["lines"]
        assert (line["at"], line["base"], line["steps"]) == (None, None, [])
        assert line["size"] > 0
        for place in (f"docker-archive:{tmp_path}/docker.tar", f"dir:{tmp_path}/dir"):
            cache.run("skopeo", "copy", "--quiet", f"oci:{tmp_path}/layout:latest", place)
            (same,) = document(pybuild, "history", place)["lines"]
            assert same["diff_id"] == line["diff_id"]
            assert document(pybuild, "diff", "--files", f"oci:{tmp_path}/layout", place)["files"] == []
        assert "podman save" in pybuild("history", "containers-storage:x").stderr
        assert pybuild("history", "nowhere").code == 16


class TestWhatDiffers:
    @pytest.fixture
    def two(self, pybuild: Pybuild, tmp_path: Path) -> Project:
        project = Project.make(pybuild, tmp_path / "project")
        project.write({"src/same": "same", "src/old": "old", "src/more/a": "a", "run": "#!/bin/sh\n"})
        project.image("env A = 1", "copy ./src/ to /app/", "copy ./run to /bin/run", "run rm /bin/ls")
        project.build("-t", "app:1")
        (project.directory / "src/old").unlink()
        project.write({"src/new": "new", "src/more/a": "aa", "src/deep/x": "x", "src/deep/y/z": "zz"})
        (project.directory / "run").chmod(0o755)
        project.image("env A = 2", "copy ./src/ to /app/", "copy ./run to /bin/run", "run rm /bin/cat")
        project.build("-t", "app:2")
        return project

    def test_everything(self, pybuild: Pybuild, two: Project) -> None:
        told = document(pybuild, "diff", "app:1", "app:2")
        assert not told["equal"]
        assert {(row["field"], row["key"]) for row in told["config"]} == {("Env", "A")}
        assert [row["in"] for row in told["layers"]].count("both") == 1
        files = {row["path"]: (row["change"], tuple(row["what"]), row["bytes"]) for row in told["files"]}
        assert files == {
            "/app/deep": ("added", (), 0),
            "/app/deep/x": ("added", (), 1),
            "/app/deep/y": ("added", (), 0),
            "/app/deep/y/z": ("added", (), 2),
            "/app/more/a": ("changed", ("content",), 1),
            "/app/new": ("added", (), 3),
            "/app/old": ("removed", (), -3),
            "/bin/cat": ("removed", (), 0),
            "/bin/ls": ("added", (), 0),
            "/bin/run": ("changed", ("mode",), 0),
        }
        shown = pybuild.ok("diff", "app:1", "app:2").stdout
        assert "  ~  Env A  1 → 2\n" in shown
        assert "/app/deep/   3 in it, +3 B" in shown
        assert "mode 0644 → 0755" in shown
        assert "6 added, 2 removed, 2 changed, +4 B" in shown

    def test_the_exit_code_and_parts(self, pybuild: Pybuild, two: Project) -> None:
        assert pybuild("diff", "--exit-code", "app:1", "app:2").code == 1
        assert pybuild("diff", "--exit-code", "app:1", "app:1").code == 0
        assert set(document(pybuild, "diff", "--config", "app:1", "app:2")) == {"before", "after", "config", "equal"}
        assert pybuild("diff", "app:1", "app:3").code == 16

    def test_it_is_what_a_referee_unpacks(self, pybuild: Pybuild, store: Path, two: Project, tmp_path: Path) -> None:
        pybuild.ok("tag", "app:1", "one")
        pybuild.ok("tag", "app:2", "two")
        one, other = (described(unpack(store, tmp_path / name, name).rootfs) for name in ("one", "two"))
        differs = {f"/{path}" for path in {*one, *other} if one.get(path, ())[:4] != other.get(path, ())[:4]}
        assert {row["path"] for row in document(pybuild, "diff", "app:1", "app:2")["files"]} == differs

    def test_layers_that_both_share_are_not_read(
        self, pybuild: Pybuild, store: Path, two: Project, tmp_path: Path
    ) -> None:
        lowest = document(pybuild, "inspect", "app:1")["images"][0]["layers"][0]["digest"]
        blob = layouts.blob(store, lowest)
        blob.rename(tmp_path / "away")
        shutil.rmtree(two.directory / "base")
        told = pybuild.ok("diff", "--json", "app:1", "app:2")
        assert lowest[:19] not in told.stderr
        assert len(json.loads(told.stdout)["files"]) == 10
        # What was read once is remembered.
        assert "reading" in told.stderr
        assert pybuild.ok("diff", "--json", "app:1", "app:2").stderr == ""

    def test_images_elsewhere(self, pybuild: Pybuild, tmp_path: Path) -> None:
        for number, layers in enumerate(((LOWER,), (LOWER, UPPER))):
            layouts.write_layout(tmp_path / f"l{number}", [layouts.layer(each) for each in layers])
        told = document(pybuild, "diff", f"oci:{tmp_path}/l0", f"oci:{tmp_path}/l1")
        files = {row["path"]: row["change"] for row in told["files"]}
        assert files == {
            "/etc/gone": "removed",
            "/etc/link": "added",
            "/opt": "changed",
            "/opt/hidden": "removed",
            "/opt/new": "added",
        }
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"

    def test_an_image_in_a_registry(
        self, pybuild: Pybuild, registry: RegistryServer, store: Path, tmp_path: Path
    ) -> None:
        put(pybuild, tmp_path / "one", LOWER, UPPER, name="one")
        remote = f"docker://{registry.name}/diff/two:1"
        layouts.write_layout(tmp_path / "two", [layouts.layer(each) for each in (LOWER, UPPER[-2:])])
        cache.run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{tmp_path}/two:latest", remote)
        (base, upper) = document(pybuild, "history", remote)["lines"]
        assert base["layer"] == document(pybuild, "inspect", "one")["images"][0]["layers"][0]["digest"]
        told = document(pybuild, "diff", "--config", "--layers", "one", remote)
        assert [row["in"] for row in told["layers"]] == ["both", "before", "after"]
        assert upper["layer"] not in [f"sha256:{path.name}" for path in store.glob("blobs/sha256/*")]
        files = {row["path"]: row["change"] for row in document(pybuild, "diff", "--files", "one", remote)["files"]}
        assert files == {"/etc/gone": "added", "/opt": "changed", "/opt/hidden": "added"}
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"

    def test_many_files_are_counted(self, pybuild: Pybuild, tmp_path: Path) -> None:
        for number in range(2):
            many = [Entry(name=f"f{each:03}", data=bytes([number])) for each in range(60)]
            (tmp_path / f"{number}.tar").write_bytes(layouts.layer(many))
            pybuild.ok("import", tmp_path / f"{number}.tar", f"m{number}")
        shown = pybuild.ok("diff", "--files", "m0", "m1").stdout
        assert "… and 20 lines more; --all shows them" in shown
        assert shown.count("content, of the same size") == 40
        assert pybuild.ok("diff", "--files", "--all", "m0", "m1").stdout.count("content, of the same size") == 60
