"""Whether a definition makes sense: what types alone can't say. Every fault is a `GraphError`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from buildkit_py.errors import GraphError
from buildkit_py.graph import values
from buildkit_py.graph.images import check_target, roots
from buildkit_py.graph.op import (
    EXEC_STEPS,
    FILE_STEPS,
    SOURCES,
    WHOLE,
    BindMount,
    CacheMount,
    Chmod,
    Chown,
    Copy,
    FileMount,
    GitSource,
    Host,
    HttpSource,
    ImageSource,
    LocalSource,
    Merge,
    Mkdir,
    Mount,
    Op,
    Remove,
    Run,
    SecretMount,
    SshMount,
    Symlink,
    TmpfsMount,
    Unpack,
    Write,
)
from buildkit_py.graph.resources import LEAST
from buildkit_py.graph.values import check_mode, check_owner

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition, ImageTarget, Vertex

__all__ = ["CAPABILITIES", "check", "check_mode", "check_owner", "reachable", "roots"]

CAPABILITIES = frozenset(
    {
        "AUDIT_CONTROL",
        "AUDIT_READ",
        "AUDIT_WRITE",
        "BLOCK_SUSPEND",
        "BPF",
        "CHECKPOINT_RESTORE",
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "IPC_LOCK",
        "IPC_OWNER",
        "KILL",
        "LEASE",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_RAW",
        "PERFMON",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_MODULE",
        "SYS_NICE",
        "SYS_PACCT",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    }
)
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


def reachable(vertices: Mapping[str, Vertex], targets: Iterable[ImageTarget]) -> set[str]:
    """The digests of the vertices that the targets need."""
    waiting = [digest for target in targets for digest in roots(target)]
    found: set[str] = set()
    while waiting:
        digest = waiting.pop()
        if digest not in found and digest in vertices:
            found.add(digest)
            waiting.extend(vertices[digest].inputs.values())
    return found


def check(definition: Definition) -> None:
    """Raise `GraphError` for the first fault found."""
    seen: dict[str, Op] = {}
    for digest, vertex in definition.vertices.items():
        with values.written_at(definition.spans.get(digest)):
            _check_vertex(vertex, seen)
        seen[digest] = vertex.op
    for name, text in definition.secrets.items():
        values.identifier(name)
        values.texts(text)
    for digest in definition.fresh:
        if digest not in definition.vertices:
            raise GraphError(f"a vertex that is to run again is not there: {digest[:80]!r}")
    for warning in definition.warnings:
        values.texts([warning.message, warning.label or "", warning.hint or "", warning.rule or ""])
    values.texts(list(definition.hints.values()))
    names: set[tuple[str, str]] = set()
    for target in definition.targets:
        if (target.name, target.platform) in names:
            raise GraphError(f"two images are called {target.name!r} for {target.platform}", span=target.span)
        names.add((target.name, target.platform))
        check_target(definition, target)


def _check_vertex(vertex: Vertex, seen: Mapping[str, Op]) -> None:
    for role, digest in vertex.inputs.items():
        if digest not in seen:
            raise GraphError(
                f"input {role!r} of {vertex.digest[:19]} names {digest[:80]!r}, which does not stand before it"
            )
    required, allowed = _roles(vertex.op)
    missing, unknown = required - set(vertex.inputs), set(vertex.inputs) - required - allowed
    if missing or unknown:
        what = f"lacks the input {min(missing)!r}" if missing else f"has no input {min(unknown)!r}"
        raise GraphError(f"a {vertex.op.type!r} step {what}")
    for role in WHOLE & set(vertex.inputs):
        if isinstance(seen[vertex.inputs[role]], LocalSource):
            # Such a tree has no name that could be in a key: only what is selected of it has.
            raise GraphError(
                f"the input {role!r} of a {vertex.op.type!r} step is a directory of the client",
                hint="copy what is wanted of it into another tree",
            )
    _check_op(vertex.op)


def _roles(op: Op) -> tuple[set[str], set[str]]:
    """The roles that an op must have, and those it may have."""
    if isinstance(op, SOURCES):
        return set(), set()
    if isinstance(op, Copy | Merge | Unpack):
        return {"base", "from"}, set()
    if isinstance(op, FILE_STEPS):
        return {"base"}, set()
    mounts = {
        mount.input for mount in op.mounts if isinstance(mount, BindMount | CacheMount) and mount.input is not None
    }
    return {"base"} | mounts, {"tools"} if isinstance(op, Host) else set()


def _check_op(op: Op) -> None:
    values.words(op)
    if isinstance(op, SOURCES):
        _check_source(op)
    elif isinstance(op, EXEC_STEPS):
        _check_process(op)
    else:
        _check_file_step(op)


def _check_source(op: Op) -> None:
    if isinstance(op, ImageSource):
        values.image(op.ref)
        values.platform(op.platform)
    if isinstance(op, ImageSource | HttpSource) and op.digest is not None:
        values.digest(op.digest)
    if isinstance(op, LocalSource):
        values.line(op.name, "the name of a directory")
    if isinstance(op, HttpSource | GitSource):
        values.url(op.url)
    if isinstance(op, HttpSource):
        values.octal(op.mode)
        values.components(op.filename)
        if "/" in op.filename or op.filename in (".", ".."):
            raise GraphError(f"not a file name: {op.filename!r}")
    if isinstance(op, GitSource) and not _COMMIT.match(op.commit):
        raise GraphError(f"not a full commit: {op.commit[:80]!r}")


def _check_file_step(op: Op) -> None:
    if isinstance(op, Mkdir | Write | Symlink):
        values.path(op.path)
    if isinstance(op, Symlink):
        _check_link(op.target)
    if isinstance(op, Remove | Chmod | Chown):
        for path in op.paths:
            values.path(path)
    if isinstance(op, Copy | Unpack):
        _check_taken(op)
    if isinstance(op, Copy):
        _check_copy(op)
    if isinstance(op, Mkdir | Write | Chmod):
        check_mode(op.mode)
    if isinstance(op, Copy | Unpack | Mkdir | Write | Symlink | Chown) and op.owner is not None:
        check_owner(op.owner)


def _check_link(target: str) -> None:
    if not 0 < len(target.encode()) <= values.MAX_PATH:
        raise GraphError(f"a link needs a target of 1 to {values.MAX_PATH} bytes")


def _check_taken(op: Copy | Unpack) -> None:
    values.path(op.dest)
    if not op.sources:
        raise GraphError(f"a {op.type!r} step has no sources")
    for source in op.sources:
        values.components(source)
    if isinstance(op, Unpack):
        values.number(op.strip, "a number of path components")


def _check_copy(op: Copy) -> None:
    if op.mode not in (None, "auto"):
        check_mode(op.mode or "")
    if op.directory_mode is not None:
        check_mode(op.directory_mode)
    if op.contents != "always" and (op.parents or op.unpack):
        raise GraphError("a copy with `parents` or `unpack` needs `contents` to be `always`")


def _check_process(op: Run | Host) -> None:
    if not op.args or not op.args[0]:
        raise GraphError(f"a {op.type!r} step needs the name of a program")
    for name, _ in op.env:
        values.variable(name)
    values.path(op.cwd)
    if op.platform:
        values.platform(op.platform)
    for name, least in LEAST.items():
        values.number(getattr(op, name), f"a limit of {name}, which is {least} at least", least=least)
    for capability in op.capabilities:
        if capability not in CAPABILITIES:
            raise GraphError(
                f"unknown capability: {capability!r}", hint="write it as the kernel does, without CAP_: MKNOD"
            )
    if isinstance(op, Run):
        _check_run(op)
    if isinstance(op, Host):
        for tool in op.tools:
            _check_program(tool.name)
    _check_mounts(op.mounts)


def _check_run(op: Run) -> None:
    if op.user:
        check_owner(op.user)
    if op.hostname:
        values.hostname(op.hostname)
    for name, address in op.hosts:
        values.host(name, address)
    for name, soft, hard in op.limits:
        values.limit(name, soft, hard)
    if len({name for name, _, _ in op.limits}) < len(op.limits):
        raise GraphError("a resource limit is given twice")


def _check_program(name: str) -> None:
    values.line(name, "the name of a program")
    if "/" in name:
        raise GraphError(f"a tool is called by its name alone, it is looked up on the PATH: {name!r}")


def _check_mounts(mounts: Iterable[Mount]) -> None:
    places: set[str] = set()
    for mount in mounts:
        _check_mount(mount)
        place = _place(mount)
        if place == "/":
            raise GraphError("a mount can't hide the whole tree", hint="give it a target below /")
        if place is not None and place in places:
            raise GraphError(f"two mounts have the target {place}")
        places.add(place or "")


def _place(mount: Mount) -> str | None:
    """The normalised target; None for a secret that is only a variable."""
    target = mount.target
    if target is None and isinstance(mount, SshMount):
        target = f"/run/ssh/{mount.id}"
    return posixpath.normpath("/" + target.lstrip("/")) if target is not None else None


def _check_mount(mount: Mount) -> None:
    values.words(mount)
    if mount.target is not None:
        values.path(mount.target)
    if isinstance(mount, BindMount | CacheMount):
        values.path(mount.source)
        if mount.input in WHOLE:
            raise GraphError(
                f"a mount can't take the input {mount.input!r}: the step sees it anyway",
                hint="name the tree a second time, as an input of its own",
            )
    if isinstance(mount, CacheMount | SecretMount | SshMount):
        values.identifier(mount.id)
        check_owner(mount.owner)
    if isinstance(mount, CacheMount | SecretMount | SshMount | FileMount):
        values.octal(mount.mode)
    if isinstance(mount, SecretMount) and mount.env is not None:
        values.variable(mount.env)
    if isinstance(mount, TmpfsMount):
        values.number(mount.size, "a size in bytes", least=1)
