"""Names of images by the real command: given, moved, taken away; and what removing an image frees."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import layouts
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.layouts import Entry
from tests.support.stored import LOWER, UPPER, document, names, put


class TestNames:
    def test_tags_move_and_that_is_said(self, pybuild: Pybuild, tmp_path: Path) -> None:
        one = put(pybuild, tmp_path / "one", LOWER, name="one")
        other = put(pybuild, tmp_path / "other", UPPER[-1:], name="other")
        assert pybuild.ok("tag", "one", "new").stdout == f"new is {one[:19]}\n"
        moved = pybuild.ok("tag", one[7:15], "other").stdout
        assert moved.startswith(f"moved other to {one[:19]} from {other[:19]}")
        assert document(pybuild, "tag", "one", "other", "x:1") == [
            {"name": "other", "digest": one, "before": None},
            {"name": "x:1", "digest": one, "before": None},
        ]
        # The build file's own name keeps the other image.
        assert "a" in names(pybuild)
        assert pybuild.ok("untag", "new", "x:1").stdout.count("is no name of") == 2
        assert set(names(pybuild)) == {"a", "one", "other"}

    @pytest.mark.parametrize("words", [("tag", "ap:1", "x"), ("untag", "app:1", "ap:1"), ("rmi", "ap:1")])
    def test_a_name_that_is_not_there(self, pybuild: Pybuild, tmp_path: Path, words: tuple[str, ...]) -> None:
        put(pybuild, tmp_path / "one", LOWER, name="app:1")
        failed = pybuild(*words)
        assert failed.code == 16
        assert "did you mean 'app:1'?" in failed.stderr
        assert "app:1" in names(pybuild)

    def test_a_name_that_no_build_file_could_say(self, pybuild: Pybuild, tmp_path: Path) -> None:
        put(pybuild, tmp_path / "one", LOWER, name="one")
        assert pybuild("tag", "one", "Two").code == 2
        assert pybuild("tag", "one", f"two@sha256:{'1' * 64}").code == 2


class TestRemoving:
    def test_an_imported_image_goes_as_a_whole(self, pybuild: Pybuild, store: Path, tmp_path: Path) -> None:
        archive = tmp_path / "root.tar"
        archive.write_bytes(layouts.layer([Entry(name="big", data=os.urandom(300_000))]))
        pybuild.ok("import", archive, "app:1")
        pybuild.ok("tag", "app:1", "app:2")
        refused = pybuild("rmi", document(pybuild, "ls", "app:1")[0]["digest"])
        assert (refused.code, "has several names: app:1, app:2" in refused.stderr) == (2, True)
        assert "freed 0 B" in pybuild.ok("rmi", "app:2").stdout
        would = document(pybuild, "rmi", "--dry-run", "app:1")
        done = document(pybuild, "rmi", "app:1")
        assert {**would, "dry_run": False} == done
        assert done["bytes"] > 300_000
        assert done["kept"] == []
        assert [path for path in store.glob("blobs/*/*") if path.stat().st_size > 100_000] == []
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"

    def test_what_a_later_build_can_use_stays(self, pybuild: Pybuild, tmp_path: Path) -> None:
        project = Project.make(pybuild, tmp_path / "project")
        project.write({"a": "a"})
        project.image("copy ./a to /a", "run cat /a > /b")
        project.build("-t", "app:1")
        told = pybuild.ok("rmi", "app:1").stdout
        assert "took away the name app:1" in told
        assert "a later build can use it; `pybuild prune --all` frees it" in told
        assert names(pybuild) == []
        again = project.build("-t", "app:1")
        assert (again.ran, again.committed) == ([], [])
        project.check()

    def test_an_image_that_is_mounted_stays(self, pybuild: Pybuild, tmp_path: Path) -> None:
        put(pybuild, tmp_path / "project", LOWER, name="app:1")
        point = tmp_path / "look"
        point.mkdir()
        pybuild.ok("mount", "app:1", point)
        try:
            for words in (("app:1",), ("--force", "--dry-run", document(pybuild, "ls", "app:1")[0]["digest"])):
                refused = pybuild("rmi", *words)
                assert refused.code == 12
                assert f"is mounted at {point}" in refused.stderr
            pybuild.ok("tag", "app:1", "app:2")
            assert "took away the name app:2" in pybuild.ok("rmi", "app:2").stdout
            assert (point / "etc/kept").read_text() == "kept"
            assert pybuild("untag", "app:1").code == 12
        finally:
            pybuild.ok("umount", point)
        assert "took away the name app:1" in pybuild.ok("rmi", "app:1").stdout
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"

    def test_the_base_of_a_build_that_has_begun(self, pybuild: Pybuild, tmp_path: Path) -> None:
        """No registry has it: what the build can't find in the store any more is nowhere."""
        (tmp_path / "Dockerfile").write_text("FROM base:1\nCOPY file /file\n")
        for delay in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7):
            (tmp_path / "file").write_text(str(delay))
            pybuild.ok("import", "-", "base:1", stdin=layouts.layer([Entry(name="own", data=os.urandom(50_000))]))
            command = [sys.executable, "-m", "buildkit_py.cli", "build", "-q", "-t", "app:1", str(tmp_path)]
            process = subprocess.Popen(
                command, env=pybuild.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            threading.Event().wait(delay)
            assert pybuild("rmi", "base:1").code == 0
            _, told = process.communicate()
            if process.returncode == 0:
                pybuild.ok("export", "-o", tmp_path / "out.tar", "app:1")
            else:
                assert "base:1" in told, "a build that has begun goes on; one that has not says what is not there"
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"

    def test_killed_in_the_middle(self, pybuild: Pybuild, tmp_path: Path) -> None:
        for delay in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
            put(pybuild, tmp_path / f"p{delay}", LOWER, (Entry(name="n", data=str(delay).encode()),), name="app:1")
            command = [sys.executable, "-m", "buildkit_py.cli", "rmi", "app:1"]
            process = subprocess.Popen(command, env=pybuild.variables(), stdout=subprocess.DEVNULL)
            threading.Event().wait(delay)
            process.kill()
            process.wait()
            assert pybuild.ok("store", "check").stdout == "the store is whole\n"
