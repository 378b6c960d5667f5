"""What one sandboxed process is: its root, its mounts, its identity and its limits, as data.

Paths with the field name `source`, `lowers`, `upper`, `work` or `path` of a root name files of this machine; `target`
and `cwd` are absolute paths inside the sandbox. A spec survives a round trip through JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal

from buildkit_py.dataclass import dataclass, field, fields, is_dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES
from buildkit_py.executor.sandbox.limits import Limit, check_limits

MAX_HOSTNAME = 64
MAX_ID = 2**32 - 2
"""The highest user or group number; 2³²-1 means "leave as it is" to the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayRoot:
    """Directories stacked by overlayfs, the lowest first; changes go to `upper`.

    `upper` and the empty directory `work` lie on one file system; without them changes go to memory, and are thrown
    away. `userxattr` is needed inside a user namespace.
    """

    kind: Literal["overlay"] = "overlay"
    lowers: tuple[str, ...]
    upper: str = ""
    work: str = ""
    userxattr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRoot:
    """A plain directory that is changed in place."""

    kind: Literal["directory"] = "directory"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRoot:
    """An empty, read-only file system in memory, holding what mounts bring and symbolic `links` (name, target)."""

    kind: Literal["memory"] = "memory"
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """The file, directory or socket `path`, resolved inside `source` as if that were `/`, shown at `target`.

    A `private` source is nobody else's, so that places to mount on may be made in it though it is `read_only`.
    """

    kind: Literal["bind"] = "bind"
    source: str
    target: str
    path: str = "/"
    read_only: bool = True
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayMount:
    """`path` inside stacked directories, lowest first; what is written there goes to `upper`, as in an `OverlayRoot`,
    and without it to memory."""

    kind: Literal["overlay"] = "overlay"
    lowers: tuple[str, ...]
    target: str
    path: str = "/"
    read_only: bool = False
    upper: str = ""
    work: str = ""
    userxattr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RootMount:
    """A second root, read-write at `target`: the tree that a host step changes."""

    kind: Literal["root"] = "root"
    root: OverlayRoot | DirectoryRoot
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount:
    """An empty file system in memory; `size` in bytes, None for half of the memory."""

    kind: Literal["tmpfs"] = "tmpfs"
    target: str
    size: int | None = None
    mode: int = 0o1777


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMount:
    """A read-only file that holds `data`, in memory alone: a secret, a script, resolv.conf."""

    kind: Literal["file"] = "file"
    data: bytes = field(repr=False)
    target: str
    mode: int = 0o444
    uid: int = 0
    gid: int = 0


Root = OverlayRoot | DirectoryRoot | MemoryRoot
Mount = BindMount | OverlayMount | RootMount | TmpfsMount | FileMount

_ROOTS: dict[str, Any] = {"overlay": OverlayRoot, "directory": DirectoryRoot, "memory": MemoryRoot}
_MOUNTS: dict[str, Any] = {
    "bind": BindMount,
    "overlay": OverlayMount,
    "root": RootMount,
    "tmpfs": TmpfsMount,
    "file": FileMount,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One process and the world it sees.

    `env` is the whole environment. `groups` are all supplementary groups. `network` is `none` (a new network with a
    loopback only) or `host` (the builder's). `capabilities` (without `CAP_`) is the whole set that root has inside;
    any other user has none. `no_new_privs` makes set-user-id programs and file capabilities void. `limits` are
    (name, soft, hard), -1 for none. An `insecure` one is no sandbox: no call is filtered, nothing of /proc and /sys is
    covered or read-only, and devices can be used. Of a `read_only` one, the root is. `stdin` is /dev/null, a `pipe`
    from whoever runs it, or, as stdout and stderr are then too, a `terminal` of its own (see `console`).
    """

    root: Root
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: Literal["none", "host"] = "none"
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    no_new_privs: bool = True
    hostname: str = "pybuild"
    limits: tuple[Limit, ...] = ()
    insecure: bool = False
    read_only: bool = False
    stdin: Literal["null", "pipe", "terminal"] = "null"

    def check(self) -> None:
        """Raise `SandboxError` for a value that no sandbox can be made from."""
        _check_process(self)
        _check_strings(self)
        check_limits(self.limits)
        unknown = sorted(set(self.capabilities) - set(CAPABILITIES))
        if unknown:
            raise SandboxError(f"not a capability: {unknown[0]}", hint="write the name without CAP_, as NET_RAW")
        for path in (self.cwd, *(mount.target for mount in self.mounts)):
            if not path.startswith("/"):
                raise SandboxError(f"a path inside the sandbox must be absolute, not {path!r}")

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> SandboxSpec:
        """From a JSON value that `to_plain` made."""
        values = {name: _tuples(value) for name, value in plain.items()}
        values["root"] = _read(_ROOTS, plain["root"])
        values["mounts"] = tuple(_read(_MOUNTS, item) for item in plain["mounts"])
        return cls(**values)


def _check_process(spec: SandboxSpec) -> None:
    if not spec.args or not spec.args[0]:
        raise SandboxError("a step needs a program to run")
    for number in (spec.uid, spec.gid, *spec.groups):
        if not 0 <= number <= MAX_ID:
            raise SandboxError(f"not a user or group number: {number}", hint=f"the range is 0 to {MAX_ID}")
    if spec.network not in ("none", "host"):
        raise SandboxError(f"not a network: {spec.network!r}", hint="`none` or `host`")
    if not 0 < len(spec.hostname.encode()) <= MAX_HOSTNAME:
        raise SandboxError(f"not a host name: {spec.hostname!r}", hint=f"it has 1 to {MAX_HOSTNAME} bytes")


def _check_strings(spec: SandboxSpec) -> None:
    for name, _ in spec.env:
        if not name or "=" in name:
            raise SandboxError(f"not a name of an environment variable: {name!r}")
    for text in (*spec.args, *(part for pair in spec.env for part in pair), spec.cwd, spec.hostname):
        if "\0" in text:
            raise SandboxError("an argument, variable or path of a step holds a NUL byte")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value


def _read(kinds: Mapping[str, Any], plain: Mapping[str, Any]) -> Any:
    values = {name: _tuples(value) for name, value in plain.items()}
    if "data" in values:
        values["data"] = base64.b64decode(plain["data"])
    if "root" in values:
        values["root"] = _read(_ROOTS, plain["root"])
    return kinds[plain["kind"]](**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
