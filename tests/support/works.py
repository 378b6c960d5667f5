"""Commands that write to a disk, each with what there is before it, for tests that let the disk fail in the middle."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from buildkit_py.store import Store
from tests.support import bases, layouts
from tests.support.command import Pybuild, Result
from tests.support.layouts import Entry
from tests.support.stored import described

BUILDFILE = """buildfile 1
image app {
    from "oci:base"
    copy ./data to /data
    with cache(/c)
    run cat /data > /twice; cat /data >> /twice; echo kept > /c/kept; mkdir -p /d/e; ln /twice /d/e/link
    run rm /twice; echo more > /d/more
}
"""
UNPLEASANT = ("Traceback", "internal error", "Errno")
"""What no person is to read."""
CLEAN_EXITS = frozenset({0, 5, 12, 14, 15})
"""How a command may end that met a disk's fault: a step may fail by it too, or not need what was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One command. In its words `{disk}` is the disk's directory, where the store is as well, and `{here}` that of the
    inputs. `needs` is the work that must be done before; `makes` the file or directory that it leaves beside the store.
    """

    words: tuple[str, ...]
    needs: str | None = None
    makes: str | None = None


WORKS: Mapping[str, Work] = {
    "build": Work(words=("build", "{here}", "-q", "-t", "app:1")),
    "build by copies": Work(words=("build", "{here}", "-q", "-t", "app:1", "--snapshotter", "copy")),
    "build to an archive": Work(
        words=("build", "{here}", "-q", "-t", "app:1", "-o", "archive:{disk}/out"), needs="build", makes="out"
    ),
    "build to a layout": Work(
        words=("build", "{here}", "-q", "-t", "app:1", "-o", "layout:{disk}/out"), needs="build", makes="out"
    ),
    "build to a root": Work(
        words=("build", "{here}", "-q", "-t", "app:1", "-o", "rootfs:{disk}/out"), needs="build", makes="out"
    ),
    "pull": Work(words=("pull", "-q", "{registry}/library/tiny:latest")),
    "copy to a layout": Work(
        words=("copy", "-q", "docker://{registry}/library/tiny:latest", "oci:{disk}/out:a"), makes="out"
    ),
    "save": Work(words=("save", "-q", "app:1", "-o", "{disk}/out"), needs="build", makes="out"),
    "load": Work(words=("load", "-q", "-i", "{here}/base.tar.gz")),
    "import": Work(words=("import", "-q", "{here}/root.tar", "root:1")),
    "export": Work(words=("export", "-o", "{disk}/out", "app:1"), needs="build", makes="out"),
    "tag": Work(words=("tag", "app:1", "app:2"), needs="build"),
    "rmi": Work(words=("rmi", "app:1"), needs="build"),
    "prune": Work(words=("prune", "--all"), needs="build"),
}
# Done twice, these say that there is nothing of that name.
ONCE = frozenset({"rmi"})


@dataclass(frozen=True, kw_only=True)
class Works:
    """The works of one test. `templates` are directories with what a work needs, made once; `here` holds inputs."""

    pybuild: Pybuild
    here: Path
    registry: str
    templates: Path
    _said: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, pybuild: Pybuild, directory: Path, registry: str) -> Works:
        """Write the inputs."""
        here = directory / "here"
        here.mkdir()
        bases.place("tiny", here / "base")
        (here / "Buildfile").write_text(BUILDFILE)
        (here / "data").write_bytes(bytes(range(256)) * 1200)
        (here / "root.tar").write_bytes(layouts.layer([Entry(name="file", data=bytes(range(256)) * 1200)]))
        with tarfile.open(here / "base.tar.gz", "w:gz") as archive:
            archive.add(here / "base", ".")
        templates = directory / "templates"
        templates.mkdir()
        return cls(pybuild=pybuild, here=here, registry=registry, templates=templates)

    def place(self, name: str, disk: Path) -> Pybuild:
        """Put what a work needs on an empty disk; gives the command for its store."""
        needs = WORKS[name].needs
        if needs is not None:
            template = self.templates / needs
            if not template.exists():
                template.mkdir()
                self.run(needs, template, replace(self.pybuild, store=template / "store"))
            subprocess.run(["cp", "-a", f"{template}/.", disk], check=True)
        return replace(self.pybuild, store=disk / "store")

    def run(self, name: str, disk: Path, pybuild: Pybuild) -> Result:
        """Do a work, however it ends."""
        words = (word.format(disk=disk, here=self.here, registry=self.registry) for word in WORKS[name].words)
        return pybuild(*words, cwd=disk)

    def survived(self, name: str, disk: Path, pybuild: Pybuild, met: Result) -> None:
        """Fail unless a work that met a fault ended in plain words, left a whole store and no half of an output, and
        succeeds now that the fault is over."""
        assert met.code in CLEAN_EXITS, met.output
        assert not any(words in met.output for words in UNPLEASANT), met.output
        assert met.code == 0 or met.stderr, "a failure without a word"
        left = WORKS[name].makes
        # What is called as the output is whole; what was refused its removal has another name. A layout that a copy
        # began is known for what it is by its index, which comes last.
        begun = name == "copy to a layout" and not (disk / "out/index.json").exists()
        before = _content(disk / left) if left is not None and not begun else None
        assert met.code or left is None or before is not None, "an output that was told of is not there"
        self._whole(pybuild)
        again = self.run(name, disk, pybuild)
        done = name in ONCE and (met.code == 0 or again.code == 16)
        assert again.code == 0 or done, again.output
        if left is not None:
            assert before in (None, _content(disk / left))
            # The next writer removed what was left of the first.
            assert {path.name for path in disk.iterdir()} <= {"store", left}
        self._whole(pybuild)
        assert self._said.setdefault(name, self._result(name, disk, pybuild)) == self._result(name, disk, pybuild)

    def _whole(self, pybuild: Pybuild) -> None:
        with Store.open(pybuild.store) as store:
            assert store.check() == []
            assert list(store.layout.tmp.iterdir()) == []

    def _result(self, name: str, disk: Path, pybuild: Pybuild) -> str:
        """What is there when all is done: the names with their digests, and an output that is a file."""
        with Store.open(pybuild.store) as store:
            named = sorted((record.name, str(record.descriptor["digest"])) for record in store.images.list())
        made = WORKS[name].makes
        bytes_made = (disk / made).stat().st_size if made is not None and (disk / made).is_file() else 0
        return json.dumps([named, bytes_made])


def _content(path: Path) -> object:
    """The bytes of a file, or of all that is in a directory; None where there is nothing."""
    if path.is_dir():
        return described(path)
    return path.read_bytes() if path.exists() else None
