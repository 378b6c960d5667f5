"""Layers for stand-ins: those of the bases, and what Debian's packages would add to the base `debian`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import bases, cache, debian
from tests.support.layouts import Entry


def debian_layers() -> list[bytes]:
    """The base `debian`."""
    return layers("debian")


def layers(base: str) -> list[bytes]:
    """The layers of a base image for this machine."""
    blobs = bases.layout(base) / "blobs" / "sha256"

    def read(row: Mapping[str, Any]) -> bytes:
        return (blobs / str(row["digest"]).removeprefix("sha256:")).read_bytes()

    document = json.loads((bases.layout(base) / "index.json").read_bytes())
    while "manifests" in document:
        document = json.loads(read(document["manifests"][0]))
    return [gzip.decompress(read(row)) for row in document["layers"]]


def with_user(passwd: str, group: str) -> list[Entry]:
    """`/etc/passwd` and `/etc/group` of the base `debian` with one line more."""
    with tarfile.open(fileobj=io.BytesIO(debian_layers()[0])) as archive:
        files = {name: archive.extractfile(f"./etc/{name}") for name in ("passwd", "group")}
        before = {name: file.read() for name, file in files.items() if file is not None}
    more = {"passwd": passwd, "group": group}
    return [Entry(name=f"etc/{name}", data=data + f"{more[name]}\n".encode()) for name, data in before.items()]


_DOCUMENTS = re.compile(r"usr/share/(doc|man|locale|info|lintian|bug|perl5?)/|usr/lib/x86_64-linux-gnu/(gconv|perl)")


def packages(
    *names: str, without: re.Pattern[str] | None = None, only: re.Pattern[str] | None = None, hooks: Sequence[str] = ()
) -> bytes:
    """What Debian's packages and all that they need would add to the base `debian`, as a layer.

    Nothing is configured: their files are laid out, and `hooks` may do more. Paths of the old top directories (`/lib`)
    are written as what those have been for long, links below `/usr`.
    """
    known = names_of(debian_layers()[0])
    with tempfile.TemporaryDirectory(dir=cache.directory()) as scratch:
        tree = Path(scratch) / "tree.tar"
        what = ("--variant=extract", f"--components={debian.COMPONENTS}", f"--include={','.join(names)}")
        cache.run("mmdebstrap", "--quiet", *what, *hooks, debian.SUITE, tree)
        return _chosen(tree, lambda name: _wanted(name, known, without, only))


def _wanted(name: str, known: set[str], without: re.Pattern[str] | None, only: re.Pattern[str] | None) -> bool:
    if only is not None:
        return bool(only.match(name))
    top = name.partition("/")[0]
    unneeded = _DOCUMENTS.match(name) or (without is not None and without.search(name))
    return top in ("usr", "etc", "var") and not name.startswith("var/lib/") and name not in known and not unneeded


def _chosen(tree: Path, wanted: Callable[[str], bool]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(tree) as source, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for member in source:
            member.name = _merged(member.name)
            member.linkname = _merged(member.linkname) if member.islnk() else member.linkname
            if wanted(member.name):
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
    return out.getvalue()


def _merged(name: str) -> str:
    path = posixpath.normpath(name)
    return f"usr/{path}" if path.partition("/")[0] in ("bin", "sbin", "lib", "lib64") else path


def names_of(data: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {posixpath.normpath(name) for name in archive.getnames()}


def tell_history(directory: Path) -> None:
    """Give the images of a layout a history with a line for each layer, which those of the world have."""
    index = directory / "index.json"
    document = json.loads(index.read_bytes())
    document["manifests"] = [_told(row, directory / "blobs" / "sha256") for row in document["manifests"]]
    index.write_text(json.dumps(document))


def _told(row: dict[str, Any], blobs: Path) -> dict[str, Any]:
    """Write an image, an index of them, or a configuration once more, with history; gives its descriptor."""
    document = json.loads((blobs / row["digest"].removeprefix("sha256:")).read_bytes())
    if "manifests" in document:
        document["manifests"] = [_told(each, blobs) for each in document["manifests"]]
    elif "layers" in document:
        document["config"] = _told(document["config"], blobs)
    else:
        layers = document["rootfs"]["diff_ids"]
        document["history"] = [{"created_by": f"layer {number} of the stand-in"} for number in range(len(layers))]
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {**row, "digest": f"sha256:{digest}", "size": len(data)}
