"""What is in an image, as umoci unpacks it: a referee that shares no code with pybuild."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One entry of a file tree; `text` is a file's first kilobyte or a link's target."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """An image on disk: its configuration, and a bundle that runc can start."""

    bundle: Path
    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def rootfs(self) -> Path:
        """The root of its file tree."""
        return self.bundle / "rootfs"

    def files(self) -> dict[str, File]:
        """Every entry of its tree by path below the root, which is not itself in it."""
        found: dict[str, File] = {}
        for folder, folders, names in os.walk(self.rootfs):
            for name in (*folders, *names):
                path = Path(folder, name)
                found[f"/{path.relative_to(self.rootfs)}"] = _describe(path)
        return found

    def run(self, *args: str) -> str:
        """Start the image by runc, with `args` instead of its own command; gives what it wrote to standard output."""
        file = self.bundle / "config.json"
        spec = json.loads(file.read_bytes())
        spec["process"]["terminal"] = False
        spec["root"]["readonly"] = False
        if args:
            spec["process"]["args"] = list(args)
        file.write_text(json.dumps(spec))
        return cache.run("runc", "run", f"pybuild-test-{os.getpid()}-{self.bundle.name}", cwd=self.bundle)


def unpack(layout: Path, bundle: Path, tag: str = "latest") -> Unpacked:
    """Unpack an image of an OCI layout by umoci into `bundle`, which must not exist."""
    cache.run("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
    source = f"oci:{layout}:{tag}"
    manifest = json.loads(cache.run("skopeo", "inspect", "--raw", source))
    config = json.loads(cache.run("skopeo", "inspect", "--config", "--raw", source))
    return Unpacked(bundle=bundle, manifest=manifest, config=config)


_KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}


def _describe(path: Path) -> File:
    status = path.lstat()
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    text = str(path.readlink()) if kind == "link" else ""
    if kind == "file":
        with path.open("rb") as file:
            text = file.read(1024).decode(errors="replace")
    return File(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size,
        mtime=int(status.st_mtime),
        text=text,
    )
