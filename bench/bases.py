"""The base images of the workloads, as OCI layouts that are made once a machine.

tiny     a static busybox, links, empty /proc /sys /dev /tmp: one layer of 2 MB
debian   `mmdebstrap --variant=minbase`, one layer
big      debian, and a layer of 6,000 text files of 10 KiB and 10 random files of 4 MiB
"""

from __future__ import annotations

import inspect
import json
import random
import sys
import tempfile
from pathlib import Path

from bench import trees
from tests.support import cache, debian, layouts
from tests.support.bases import tiny

_PATH = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}


def _debian(directory: Path) -> None:
    with debian.serve() as mirror, tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        tree = Path(scratch) / "tree.tar"
        options = ("--variant=minbase", "--skip=output/dev")
        cache.run("mmdebstrap", "--quiet", *options, debian.SUITE, tree, mirror)
        layouts.write_layout(directory, [tree.read_bytes()], _PATH)


def _big(directory: Path) -> None:
    text, noise = trees.Text(7, 60_000), random.Random(7)
    entries = [layouts.folder("data")]
    for number in range(6000):
        if number % 100 == 0:
            entries.append(layouts.folder(f"data/{number // 100:02}"))
        entries.append(layouts.Entry(name=f"data/{number // 100:02}/f{number % 100:02}", data=text.take(10 << 10)))
    entries += [layouts.Entry(name=f"data/r{number}", data=noise.randbytes(4 << 20)) for number in range(10)]
    layouts.write_layout(directory, [*layouts.layers_of(layout("debian")), layouts.layer(entries)], _PATH)


def _tell_history(directory: Path) -> None:
    """Add a line of history a layer to the image in a layout: buildah takes no base without."""
    index = json.loads((directory / "index.json").read_bytes())
    (row,) = index["manifests"]
    manifest = json.loads(layouts.blob(directory, row["digest"]).read_bytes())
    config = json.loads(layouts.blob(directory, manifest["config"]["digest"]).read_bytes())
    config["history"] = [{"created_by": "base"} for _ in manifest["layers"]]
    manifest["config"] |= layouts.put_document(directory, config)
    row |= layouts.put_document(directory, manifest)
    (directory / "index.json").write_text(json.dumps(index))


def _make(name: str, directory: Path) -> None:
    _MAKERS[name](directory)
    _tell_history(directory)


_MAKERS = {"tiny": tiny, "debian": _debian, "big": _big}
NAMES = tuple(_MAKERS)


def layout(name: str) -> Path:
    """The layout of a base."""
    recipe = "".join(map(inspect.getsource, (sys.modules[__name__], layouts, trees))) + debian.recipe()
    return cache.once(f"bench-{name}", recipe, lambda directory: _make(name, directory))


def push(name: str, registry: str) -> str:
    """Copy a base into a registry (`host:port`, plain HTTP); gives its name there."""
    target = f"{registry}/bench/{name}:1"
    cache.run(
        "skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout(name)}:latest", f"docker://{target}"
    )
    return target
