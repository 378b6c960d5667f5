"""Images that tests put into a store by the real command, and what is in a directory."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

from tests.support import layouts
from tests.support.command import Pybuild
from tests.support.layouts import Entry, folder, link

LOWER = (
    folder("etc", 0o750),
    Entry(name="etc/kept", data=b"kept", mode=0o4755, uid=5, gid=6),
    Entry(name="etc/gone", data=b"gone"),
    folder("opt"),
    Entry(name="opt/hidden", data=b"hidden"),
    Entry(name="same", kind=tarfile.LNKTYPE, target="etc/kept", mode=0o4755, uid=5, gid=6),
    Entry(name="pipe", kind=tarfile.FIFOTYPE, mode=0o640),
    link("absolute", "/etc/kept"),
)
UPPER = (
    Entry(name="etc/.wh.gone"),
    folder("opt", 0o711),
    Entry(name="opt/.wh..wh..opq"),
    Entry(name="opt/new", data=b"new", uid=7),
    link("etc/link", "kept"),
)


def put(pybuild: Pybuild, directory: Path, *layers: tuple[Entry, ...], name: str = "app") -> str:
    """An image of these layers in the store, brought there by a build that adds nothing; gives its digest."""
    directory.mkdir(exist_ok=True)
    layouts.write_layout(directory / "base", [layouts.layer(each) for each in layers], {"Cmd": ["sh"]})
    (directory / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:base"\n}\n')
    return pybuild.ok("build", "-q", "-t", name, cwd=directory).stdout.strip()


def document(pybuild: Pybuild, *words: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(pybuild.ok(*words, "--json").stdout)


def names(pybuild: Pybuild) -> list[str]:
    """The names of all images."""
    return [row["name"] for row in document(pybuild, "ls")]


def described(root: Path) -> dict[str, tuple[object, ...]]:
    """Every path below a directory: type, mode, owner, and content or target."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else content
        links = status.st_nlink if stat.S_ISREG(status.st_mode) else 0
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, content, links)
    return found
