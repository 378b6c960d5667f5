"""What can be known to fail before anything runs: missing tools, secrets, agents, limits that nothing keeps, and
platforms that can't run here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.dataclass import replace
from buildkit_py.errors import MissingToolError, SandboxError, SourceInputError, UsageError
from buildkit_py.graph.check import reachable
from buildkit_py.graph.op import ExecStep, Host, LocalSource, Mount, Op, Run, SecretMount, SshMount
from buildkit_py.layer.tree import printable
from buildkit_py.platform import Platform
from buildkit_py.solver.demands import limited
from buildkit_py.solver.selection import selectors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from buildkit_py.executor.secrets import SecretStore, SshSpec
    from buildkit_py.graph.definition import Definition, ImageTarget
    from buildkit_py.layer.contexts import Contexts
    from buildkit_py.solver.session import ToolIdentities
    from buildkit_py.source import Span

_EMULATORS = "install the packages qemu-user-static and binfmt-support"
INSECURE = "security.insecure"
CONFINED = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
"""Capabilities that the sandbox holds. Any other reaches the machine: SYS_ADMIN bares /proc/sys, DAC_READ_SEARCH opens
every file of a disk of which one directory is mounted (a cache), NET_ADMIN is the builder's network. NET_RAW is held
only where there is no network but the step's own."""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
_QEMU = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386", "arm": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
_RUNS_TOO = {("amd64", "386"), ("arm64", "arm")}


def check_tools(definition: Definition, tools: ToolIdentities) -> None:
    """Raise `MissingToolError` for the first declared tool that is not on this machine, with where it was declared."""
    for digest, vertex in definition.vertices.items():
        if isinstance(vertex.op, Host) and "tools" not in vertex.inputs:
            for tool in vertex.op.tools:
                try:
                    tools.identity(tool)
                except MissingToolError as error:
                    raise MissingToolError(error.message, hint=error.hint, span=definition.spans.get(digest)) from None


def check_grants(definition: Definition, allowed: Collection[str]) -> None:
    """Raise `UsageError` for the first step that would run without its sandbox, or could leave it, although the client
    does not allow it."""
    if INSECURE in allowed:
        return
    for digest, vertex in definition.vertices.items():
        wish = _beyond_the_sandbox(vertex.op)
        if wish is not None:
            raise UsageError(
                f"the step asks {wish}, which this build does not allow",
                hint=f"allow it with --allow {INSECURE}",
                span=definition.spans.get(digest),
            )


def _beyond_the_sandbox(op: Op) -> str | None:
    """What a step asks for that needs the client's leave."""
    if isinstance(op, Run) and op.security == "insecure":
        return "to run without its sandbox"
    if not isinstance(op, ExecStep):
        return None
    wide = [name for name in op.capabilities if name not in CONFINED]
    if wide:
        return f"for the capability {wide[0]}, with which it could leave its sandbox"
    listens = "NET_RAW" in op.capabilities and op.network != "none"
    return "for NET_RAW with the network, with which it could read all that this machine sends" if listens else None


def _mounts(definition: Definition) -> Iterator[tuple[str, Mount]]:
    """Every mount of every step, with the step's digest."""
    for digest, vertex in definition.vertices.items():
        if isinstance(vertex.op, ExecStep):
            yield from ((digest, mount) for mount in vertex.op.mounts)


def mounted_secrets(definition: Definition) -> dict[str, Span | None]:
    """The ids of the secrets that some step mounts, in order, each with the place of the first such step."""
    places: dict[str, Span | None] = {}
    for digest, mount in _mounts(definition):
        if isinstance(mount, SecretMount):
            places.setdefault(mount.id, definition.spans.get(digest))
    return dict(sorted(places.items()))


def check_secrets(definition: Definition, given: SecretStore) -> None:
    """Raise `UsageError` for the first secret that a step must have and nobody gave, and `SourceInputError` for the
    first that was given and can't be read. Commands are not run yet."""
    for digest, mount in _mounts(definition):
        if isinstance(mount, SecretMount) and mount.required and mount.id not in given:
            text = definition.secrets.get(mount.id)
            raise UsageError(
                f"the step needs the secret {mount.id!r}" + (f": {text}" if text else ""),
                hint=definition.hinted(
                    digest, f"give it with --secret id={mount.id},src=FILE (or env=VARIABLE, or cmd=COMMAND)"
                ),
                span=definition.spans.get(digest),
            )
    given.read(mounted_secrets(definition), commands=False)
    given.check_files()


def check_ssh(definition: Definition, given: Mapping[str, SshSpec]) -> None:
    """Raise `UsageError` for the first ssh agent that a step must have and nobody gave, and `SourceInputError` for the
    first that a step may have and can't be used."""
    for digest, mount in _mounts(definition):
        if not isinstance(mount, SshMount):
            continue
        span = definition.spans.get(digest)
        if mount.id in given:
            try:
                given[mount.id].check()
            except SourceInputError as error:
                error.span = span
                raise
        elif mount.required:
            raise UsageError(
                f"the step needs the ssh agent {mount.id!r}", hint=f"give it with --ssh {mount.id}", span=span
            )


def check_limits(definition: Definition, client: Mapping[str, int | str]) -> frozenset[str]:
    """The controllers of control groups that the limits of steps need, `client` those of every step. Raises
    `SandboxError` for the first limit that nothing keeps here."""
    steps = {digest: each.op for digest, each in definition.vertices.items() if isinstance(each.op, ExecStep)}
    if not any(client or limited(op) for op in steps.values()):
        return frozenset()
    from buildkit_py.executor.cgroup import find
    from buildkit_py.graph.resources import CONTROLLERS, declared

    found, needed = find(), set()
    for digest, op in steps.items():
        for name in (*declared(op), *client):
            if name in CONTROLLERS:
                try:
                    found[CONTROLLERS[name]].check(name)
                except SandboxError as error:
                    span = definition.spans.get(digest) if name not in client else None
                    raise SandboxError(error.message, hint=error.hint, span=span) from None
                needed.add(CONTROLLERS[name])
    if "cpuset" in client:
        found["cpuset"].check_processors(str(client["cpuset"]))
    return frozenset(needed)


def check_sources(definition: Definition, contexts: Contexts) -> None:
    """Raise `SourceInputError` for the first step that takes what is not in the directory of the build."""
    for digest, vertex in definition.vertices.items():
        for selector in selectors_of(vertex.op):
            origin = definition.vertices[vertex.inputs[selector.role]].op
            if not isinstance(origin, LocalSource):
                continue
            for source in selector.sources:
                try:
                    selector.check(contexts.tree(origin), source)
                except SourceInputError as error:
                    told = _as_written(error, source, definition.spans.get(digest))
                    told.hint = definition.hinted(digest, told.hint)
                    raise told from None


def _as_written(error: SourceInputError, source: str, span: Span | None) -> SourceInputError:
    """The same with paths that begin as a build file writes those of its directory."""
    inside = source.removeprefix("./").lstrip("/")
    message = error.message.replace(printable(source), f"./{printable(inside)}", 1)
    hint = error.hint and error.hint.replace("did you mean /", "did you mean ./")
    return SourceInputError(
        f"{message} (in the directory of the build)",
        hint=f".{hint}" if hint and hint.startswith("/") else hint,
        span=span,
    )


def runnable(definition: Definition, *, explicit: bool, note: Callable[[str], None]) -> Definition:
    """The definition without the images whose steps this machine can't run.

    Where the platforms were asked for by name (`explicit`), or where nothing would be left, a `MissingToolError`.
    """
    kept: list[ImageTarget] = []
    for target in definition.targets:
        lacking = _lacking(definition, target)
        if lacking is None:
            kept.append(target)
            continue
        message = f"image {target.name!r} for {lacking} can't be built here: its steps need an emulator"
        if explicit or not any(target.name == other.name for other in definition.targets if other is not target):
            raise MissingToolError(message, hint=_EMULATORS, span=target.span)
        note(f"{message} ({_EMULATORS}); skipped")
    if len(kept) == len(definition.targets):
        return definition
    if not kept:
        raise MissingToolError("no image can be built on this machine", hint=_EMULATORS)
    wanted = reachable(definition.vertices, kept)
    vertices = {digest: vertex for digest, vertex in definition.vertices.items() if digest in wanted}
    fresh = tuple(digest for digest in definition.fresh if digest in wanted)
    return replace(definition, vertices=vertices, targets=tuple(kept), fresh=fresh)


def _lacking(definition: Definition, target: ImageTarget) -> Platform | None:
    """A platform that steps of the target need and this machine can't run."""
    for digest in reachable(definition.vertices, [target]):
        op = definition.vertices[digest].op
        if isinstance(op, ExecStep) and not isinstance(op, Host) and op.platform:
            platform = Platform.parse(op.platform)
            if not can_run(platform):
                return platform
    return None


def can_run(platform: Platform) -> bool:
    """Whether this machine runs programs of a platform, itself or by a registered emulator."""
    here = Platform.host()
    if platform.os != here.os:
        return False
    if platform.architecture == here.architecture or (here.architecture, platform.architecture) in _RUNS_TOO:
        return True
    name = _QEMU.get(platform.architecture, platform.architecture)
    try:
        return "enabled" in (BINFMT / f"qemu-{name}").read_text(encoding="ascii")
    except OSError:
        return False
