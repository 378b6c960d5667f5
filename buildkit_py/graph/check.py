"""Whether a definition makes sense: what types alone can't say. Every fault is a `GraphError`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from buildkit_py.digest import Digest
from buildkit_py.errors import GraphError, IntegrityError, UsageError
from buildkit_py.graph.op import (
    EXEC_STEPS,
    FILE_STEPS,
    SOURCES,
    BindMount,
    Chmod,
    Chown,
    Copy,
    GitSource,
    Host,
    HttpSource,
    ImageSource,
    Mkdir,
    Op,
    Remove,
    Run,
    Scratch,
    Symlink,
    Unpack,
    Write,
)
from buildkit_py.platform import Platform

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Definition, ImageTarget, Test, Vertex

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
_MODE = re.compile(r"[0-7]{3,4}\Z|(?:[ugoa]*[-+=][rwxXst]*)(?:,[ugoa]*[-+=][rwxXst]*)*\Z")
_OWNER = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?\Z|:[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"
)
_ENV = re.compile(r"[^=\0]+\Z")
_ID = re.compile(r"[^\0\n]{1,256}\Z")
MAX_ID = 2**32 - 2


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


def roots(target: ImageTarget) -> list[str]:
    """The vertices that a target names itself."""
    runs = [item.vertex for test in target.tests for item in test.items if item.vertex is not None]
    return [target.base, *(layer.tip for layer in target.layers), *runs]


def check(definition: Definition) -> None:
    """Raise `GraphError` for the first fault found."""
    seen: set[str] = set()
    for digest, vertex in definition.vertices.items():
        span = definition.spans.get(digest)
        try:
            _check_vertex(vertex, seen)
        except GraphError as error:
            raise GraphError(error.message, hint=error.hint, span=span) from None
        seen.add(digest)
    names: set[tuple[str, str]] = set()
    for target in definition.targets:
        if (target.name, target.platform) in names:
            raise GraphError(f"two images are called {target.name!r} for {target.platform}", span=target.span)
        names.add((target.name, target.platform))
        _check_target(definition, target)


def _check_vertex(vertex: Vertex, seen: set[str]) -> None:
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
    _check_op(vertex.op)


def _roles(op: Op) -> tuple[set[str], set[str]]:
    """The roles that an op must have, and those it may have."""
    if isinstance(op, SOURCES):
        return set(), set()
    if isinstance(op, Copy | Unpack):
        return {"base", "from"}, set()
    if isinstance(op, FILE_STEPS):
        return {"base"}, set()
    mounts = {mount.input for mount in op.mounts if isinstance(mount, BindMount)}
    return {"base"} | mounts, {"tools"} if isinstance(op, Host) else set()


def _check_op(op: Op) -> None:
    if isinstance(op, ImageSource):
        _platform(op.platform)
    if isinstance(op, ImageSource | HttpSource) and op.digest is not None:
        _digest(op.digest)
    if isinstance(op, HttpSource) and (not op.filename or "/" in op.filename or op.filename in (".", "..")):
        raise GraphError(f"not a file name: {op.filename!r}")
    if isinstance(op, GitSource) and not re.match(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z", op.commit):
        raise GraphError(f"not a full commit: {op.commit[:80]!r}")
    if isinstance(op, Mkdir | Write | Symlink):
        _path(op.path)
    if isinstance(op, Remove | Chmod | Chown):
        for path in op.paths:
            _path(path)
    if isinstance(op, Copy | Unpack):
        _path(op.dest)
        if not op.sources:
            raise GraphError(f"a {op.type!r} step has no sources")
    if isinstance(op, Copy | Mkdir | Write | Chmod) and op.mode is not None and op.mode != "auto":
        check_mode(op.mode)
    if isinstance(op, Copy | Unpack | Mkdir | Write | Symlink | Chown) and op.owner is not None:
        check_owner(op.owner)
    if isinstance(op, EXEC_STEPS):
        _check_exec(op)


def _check_exec(op: Run | Host) -> None:
    if not op.args or not all("\0" not in word for word in op.args):
        raise GraphError(f"a {op.type!r} step needs arguments without NUL bytes")
    for name, value in op.env:
        if not _ENV.match(name) or "\0" in value:
            raise GraphError(f"not an environment variable: {name!r}")
    _path(op.cwd)
    for capability in op.capabilities:
        if capability not in CAPABILITIES:
            raise GraphError(
                f"unknown capability: {capability!r}", hint="write it as the kernel does, without CAP_: MKNOD"
            )
    if isinstance(op, Run) and op.user:
        check_owner(op.user)
    for mount in op.mounts:
        if mount.target is not None:
            _path(mount.target)
        if isinstance(mount, BindMount):
            _path(mount.source)
        if hasattr(mount, "id") and not _ID.match(mount.id):
            raise GraphError(f"not an id: {mount.id!r}")
        if hasattr(mount, "mode"):
            check_mode(mount.mode)
        if hasattr(mount, "owner"):
            check_owner(mount.owner)


def check_mode(text: str) -> None:
    """Raise `GraphError` unless `text` is an octal or symbolic mode."""
    if not _MODE.match(text):
        raise GraphError(f"not a file mode: {text!r}", hint="write octal digits as 0644, or symbols as u+x,go-w")


def check_owner(text: str) -> None:
    """Raise `GraphError` unless `text` is `user[:group]` of names or numbers in range."""
    if not _OWNER.match(text):
        raise GraphError(f"not an owner: {text!r}", hint="write user or user:group, names or numbers")
    for part in text.split(":"):
        if part.isdigit() and int(part) > MAX_ID:
            raise GraphError(f"user and group numbers end at {MAX_ID}: {part}")


def _path(text: str) -> None:
    if not text.startswith("/") or "\0" in text:
        raise GraphError(f"not an absolute path: {text!r}")


def _digest(text: str) -> None:
    try:
        Digest.parse(text)
    except IntegrityError as error:
        raise GraphError(error.message, hint=error.hint) from None


def _platform(text: str) -> None:
    try:
        Platform.parse(text)
    except UsageError as error:
        raise GraphError(error.message, hint=error.hint) from None


def _check_target(definition: Definition, target: ImageTarget) -> None:
    _platform(target.platform)
    for digest in roots(target):
        if digest not in definition.vertices:
            raise GraphError(
                f"image {target.name!r} names a vertex that is not there: {digest[:80]!r}", span=target.span
            )
    if not isinstance(definition.vertices[target.base].op, Scratch | ImageSource):
        raise GraphError(f"the base of image {target.name!r} is neither an image nor scratch", span=target.span)
    lower = target.base
    for layer in target.layers:
        _check_chain(definition, target, layer.tip, lower)
        lower = layer.tip
    for test in target.tests:
        _check_test(definition, target, test)


def _check_chain(definition: Definition, target: ImageTarget, tip: str, lower: str) -> None:
    while tip != lower:
        vertex = definition.vertices[tip]
        if "base" not in vertex.inputs:
            raise GraphError(f"the layers of image {target.name!r} do not stand on each other", span=target.span)
        tip = vertex.inputs["base"]


def _check_test(definition: Definition, target: ImageTarget, test: Test) -> None:
    for item in test.items:
        if item.kind == "run":
            if item.vertex is None or definition.vertices[item.vertex].inputs.get("base") != target.tip:
                raise GraphError(f"test {test.name!r} does not run on the image {target.name!r}", span=item.span)
        elif item.path is None or (item.kind in ("owner", "mode", "text") and item.expected is None):
            raise GraphError(
                f"test {test.name!r}: a {item.kind!r} item needs a path and what is expected", span=item.span
            )
        else:
            _path(item.path)
