"""The images that the cases begin from, as OCI layouts made once a machine.

busybox   a shell, users and groups, directories with owners; PATH and a CMD in its configuration
rich      busybox with every setting that an image can hand on
trigger   busybox with ONBUILD triggers
links     busybox with symbolic links among its directories, hard links and a file with a capability
bare      a shell and nothing else: no /etc, no /proc, no configuration
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import cache, layouts
from tests.support.layouts import Entry, folder, layer, link

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
web:x:33:33:web:/var/www:/bin/false
app:x:1000:1001:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = """\
root:x:0:
daemon:x:1:
staff:x:50:app
web:x:33:app
app:x:1001:
nogroup:x:65534:
"""
BASE_HISTORY = "the base of the tests"


def _owned(name: str, uid: int, gid: int, mode: int = 0o755) -> Entry:
    return Entry(name=name, kind=folder(name).kind, mode=mode, uid=uid, gid=gid)


def _shell(*names: str) -> list[Entry]:
    busybox = Entry(name="bin/busybox", data=Path("/bin/busybox").read_bytes(), mode=0o755)
    return [folder("bin"), busybox, *(link(f"bin/{name}", "busybox") for name in names)]


def _system() -> list[Entry]:
    applets = [name for name in cache.run("/bin/busybox", "--list").split() if name != "busybox"]
    tops = ("dev", "etc", "home", "opt", "proc", "root", "run", "srv", "sys", "usr", "var")
    names = (*tops, "usr/bin", "usr/local", "var/lib")
    return [
        *_shell(*applets),
        *(folder(name) for name in names),
        folder("tmp", 0o1777),
        _owned("home/app", 1000, 1001),
        _owned("var/www", 33, 33, 0o750),
        Entry(name="home/app/.profile", data=b"# app\n", uid=1000, gid=1001, mode=0o600),
        Entry(name="srv/kept", data=b"kept\n"),
        *(Entry(name=f"etc/{name}") for name in ("hosts", "hostname", "resolv.conf")),
        Entry(name="etc/passwd", data=PASSWD.encode()),
        Entry(name="etc/group", data=GROUP.encode()),
    ]


class _Capable(Entry):
    """A file that may open raw sockets (the second revision of `vfs_cap_data`: CAP_NET_RAW, effective)."""

    @property
    def info(self) -> tarfile.TarInfo:
        info = super().info
        data = bytes.fromhex("0100000200200000000000000000000000000000")
        info.pax_headers = {"SCHILY.xattr.security.capability": data.decode()}
        return info


_LINKS = [
    folder("real"),
    _Capable(name="real/ping", data=b"ping\n", mode=0o755),
    Entry(name="real/inside", data=b"inside\n"),
    Entry(name="real/twin", data=b"", kind=b"1", target="real/inside"),
    link("absolute", "/real"),
    link("relative", "real"),
    link("dangling", "/not/there"),
    link("file-link", "real/inside"),
    link("up", "../../real"),
]
_RICH = {
    "User": "app",
    "Env": [PATH, "FROM_BASE=yes", "SPACED=a b"],
    "Entrypoint": ["/bin/echo", "entry"],
    "Cmd": ["base", "command"],
    "WorkingDir": "/srv",
    "Labels": {"from": "base", "kept": "1"},
    "ExposedPorts": {"8080/tcp": {}},
    "Volumes": {"/data": {}},
    "StopSignal": "SIGQUIT",
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 3},
    "Shell": ["/bin/sh", "-ec"],
}
_PLAIN = {"Env": [PATH], "Cmd": ["sh"]}
_TRIGGERS = ["RUN echo fired > /fired", "COPY a /triggered/", "ENV TRIGGERED=1", "LABEL t=$TRIGGERED"]

_CONFIGS: Mapping[str, tuple[Mapping[str, Any], Sequence[Entry]]] = {
    "busybox": (_PLAIN, ()),
    "rich": (_RICH, ()),
    "trigger": ({**_PLAIN, "OnBuild": _TRIGGERS}, ()),
    "links": (_PLAIN, _LINKS),
}
NAMES = (*_CONFIGS, "bare")


def layout(name: str) -> Path:
    """The OCI layout of a base."""
    recipe = inspect.getsource(sys.modules[__name__]) + inspect.getsource(layouts)
    return cache.once(f"differential-{name}", recipe, lambda directory: _make(name, directory))


def _make(name: str, directory: Path) -> None:
    if name == "bare":
        layers, config = [layer(_shell("sh", "env", "ls", "cat", "id", "echo", "find", "pwd"))], {}
    else:
        settings, more = _CONFIGS[name]
        layers, config = [layer(_system()), *([layer(more)] if more else [])], dict(settings)
    _write(directory, layers, config)


def _write(directory: Path, layers: Sequence[bytes], config: Mapping[str, Any]) -> None:
    """With a history, which `write_layout` has none of: the engines disagree about bases that lack it."""
    layouts.write_layout(directory, layers, config)
    blobs = directory / "blobs" / "sha256"
    index = json.loads((directory / "index.json").read_bytes())
    row = index["manifests"][0]
    manifest = json.loads((blobs / row["digest"].removeprefix("sha256:")).read_bytes())
    document = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    created = "2020-01-01T00:00:00Z"
    document |= {"created": created, "history": [{"created": created, "created_by": BASE_HISTORY}] * len(layers)}
    manifest["config"] |= _put(blobs, document)
    row |= _put(blobs, manifest)
    (directory / "index.json").write_text(json.dumps(index))


def _put(blobs: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}
