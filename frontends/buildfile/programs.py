"""`run` and `host` to ops: the arguments, the environment, and what `with` gives."""

from __future__ import annotations

from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.graph import (
    BindMount,
    CacheMount,
    FileMount,
    Host,
    Mount,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
    Tool,
)
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from frontends.buildfile import syntax, values
from frontends.buildfile.contents import reference_of
from frontends.buildfile.evaluate import to_text
from frontends.buildfile.expand import Action, Granted
from frontends.buildfile.shell import Shell, mentions
from frontends.buildfile.state import DEFAULT_PATH, State
from frontends.buildfile.text import fault

SCRIPT = "/dev/pipes/run"
PREFIX = "(set -o pipefail) 2>/dev/null && set -o pipefail\n"
"""Put before shell text: pipefail, where the shell has it."""


@dataclass(slots=True)
class _Given:
    """What the grants of one step add up to."""

    network: bool = False
    mounts: list[Mount] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    targets: dict[str, Span] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)


def lower_program(state: State, action: Action, cwd: str) -> tuple[Run | Host, dict[str, str]]:
    """The op of a `run` or `host`, and its inputs but `base`."""
    node = action.node
    assert isinstance(node, syntax.Exec)
    host = node.keyword.text == "host"
    args, script = _arguments(state, action, node)
    given = _Given()
    for granted in action.grants:
        _GRANTS[granted.grant.name.text](state, granted, given, host)
    if script is not None:
        given.mounts.append(FileMount(target=SCRIPT, text=script))
    common: dict[str, Any] = {
        "args": args,
        "env": _environment(state, action, node, host),
        "cwd": cwd,
        "network": "host" if given.network else "none",
        "mounts": tuple(given.mounts),
        "capabilities": tuple(sorted(set(given.capabilities))),
        "platform": str(state.platform),
        **given.limits,
    }
    if host:
        return Host(**common, tools=tuple(dict.fromkeys(given.tools))), given.inputs
    return Run(**common, user=state.config.user), given.inputs


def _arguments(state: State, action: Action, node: syntax.Exec) -> tuple[tuple[str, ...], str | None]:
    """The words of the process, and the script that it is handed, if it has an interpreter of its own."""
    program = node.program
    if isinstance(program, Shell):
        interpreter = program.interpreter
        if interpreter:
            return (*interpreter, SCRIPT), program.text + "\n"
        if program.text.startswith("#!") and program.block:
            raise fault("this `#!` names no interpreter", node.span, hint="write it as `#!/usr/bin/env python3`")
        return ("/bin/sh", "-eu", "-c", PREFIX + program.text), None
    words = action.scope.evaluator(state.environment).list(program)
    if not words or not words[0]:
        raise fault("the program has no name", program.span)
    return words, None


def _environment(state: State, action: Action, node: syntax.Exec, host: bool) -> tuple[tuple[str, str], ...]:
    env = {} if host else {"PATH": DEFAULT_PATH, **state.config.env}
    env.setdefault("SOURCE_DATE_EPOCH", str(state.lowering.epoch))
    if isinstance(node.program, Shell):
        for name in mentions(node.program.text):
            if name in action.scope.names:
                env[name] = to_text(action.scope.names[name])
    return tuple(sorted(env.items()))


class _Arguments:
    """The evaluated arguments of one grant."""

    def __init__(self, state: State, granted: Granted) -> None:
        self.grant = granted.grant
        self.evaluator = granted.scope.evaluator(state.environment)

    def text(self, key: str | None) -> syntax.Text | None:
        for item in self.grant.arguments:
            if (item.key.text if item.key else None) == key:
                return item.value
        return None

    def get(self, key: str | None, check: values.Check) -> str | None:
        found = self.text(key)
        return self.evaluator.word(found, check) if found is not None else None

    def first(self, check: values.Check) -> str:
        found = self.get(None, check)
        assert found is not None
        return found

    def all(self, check: values.Check) -> list[str]:
        return [self.evaluator.word(item.value, check) for item in self.grant.arguments if item.key is None]

    def true(self, key: str) -> bool:
        return self.get(key, values.truth) == "true"


def _claim(given: _Given, target: str, granted: Granted, mount: Mount) -> None:
    """Add a mount; one that is there already is not added twice, another one at its place is a fault."""
    if mount in given.mounts:
        return
    if target in given.targets:
        hint = "give one of them another place"
        notes = (("the other one", given.targets[target]),)
        raise fault(f"two grants put something at `{target}`", granted.grant.span, hint=hint, notes=notes)
    given.targets[target] = granted.grant.span
    given.mounts.append(mount)


def _network(state: State, granted: Granted, given: _Given, host: bool) -> None:
    given.network = True


def _secret(state: State, granted: Granted, given: _Given, host: bool) -> None:
    arguments = _Arguments(state, granted)
    name = arguments.first(values.filled)
    declared = granted.scope.module.secrets[name]
    env, target = arguments.get("env", values.variable), arguments.get("target", values.path)
    if env is None and target is None:
        target = f"/run/secrets/{name}"
    owner = _owner(state, host)
    mount = SecretMount(id=name, target=target, env=env, required=not arguments.true("optional"), owner=owner)
    _claim(given, target or f"${env}", granted, mount)
    state.lowering.graph.secret(name, declared.text)


def _ssh(state: State, granted: Granted, given: _Given, host: bool) -> None:
    arguments = _Arguments(state, granted)
    name = arguments.get(None, values.filled) or "default"
    mount = SshMount(id=name, required=not arguments.true("optional"), owner=_owner(state, host))
    _claim(given, f"ssh agent {name}", granted, mount)


def _cache(state: State, granted: Granted, given: _Given, host: bool) -> None:
    arguments = _Arguments(state, granted)
    target = _directory(arguments.first(values.path))
    mount = CacheMount(
        target=target,
        id=arguments.get("id", values.filled) or target,
        sharing=arguments.get("sharing", values.sharing) or "shared",  # type: ignore[arg-type]
        owner=_owner(state, host),
    )
    _claim(given, target, granted, mount)


def _tmpfs(state: State, granted: Granted, given: _Given, host: bool) -> None:
    arguments = _Arguments(state, granted)
    target, size = _directory(arguments.first(values.path)), arguments.get("size", values.size)
    _claim(given, target, granted, TmpfsMount(target=target, size=int(size) if size else None))


def _mount(state: State, granted: Granted, given: _Given, host: bool) -> None:
    from frontends.buildfile.steps import origin

    arguments = _Arguments(state, granted)
    text = arguments.text("from")
    value = reference_of(text) if text is not None and text.bare else text
    vertex = origin(state, granted.scope, value)
    target = _directory(arguments.get("at", values.path) or "/")
    if target == "/":
        raise fault("a mount can't cover the root", granted.grant.span, hint="give it a directory: `at: /src`")
    role = next((name for name, known in given.inputs.items() if known == vertex), f"mount{len(given.inputs)}")
    source = _directory(arguments.first(values.source))
    mount = BindMount(target=target, input=role, source=source, read_only=not arguments.true("writable"))
    given.inputs[role] = vertex
    _claim(given, target, granted, mount)


def _owner(state: State, host: bool) -> str:
    """What is granted belongs to whom the step runs as."""
    return "0:0" if host else state.config.user or "0:0"


def _directory(path: str) -> str:
    return path.rstrip("/") or "/"


def _tool(state: State, granted: Granted, given: _Given, host: bool) -> None:
    if host:
        arguments = _Arguments(state, granted)
        package = arguments.get("package", values.filled)
        given.tools += [Tool(name=name, package=package) for name in arguments.all(values.program)]


def _tools(state: State, granted: Granted, given: _Given, host: bool) -> None:
    if not host:
        return
    ref = _Arguments(state, granted).first(values.image)
    vertex, _ = state.lowering.image(ref, Platform.host(), granted.grant.span)
    if given.inputs.get("tools", vertex) != vertex:
        raise fault("a step has the tools of one image", granted.grant.span, hint="take one `tools` away")
    given.inputs["tools"] = vertex


def _capability(state: State, granted: Granted, given: _Given, host: bool) -> None:
    given.capabilities += _Arguments(state, granted).all(values.capability)


def _limit(state: State, granted: Granted, given: _Given, host: bool) -> None:
    """Of several limits of one kind, the lowest holds."""
    name = granted.grant.name.text
    value = int(_Arguments(state, granted).first(_LIMITS[name]))
    given.limits[name] = min(value, given.limits.get(name, value))


_LIMITS = {"timeout": values.timeout, "memory": values.memory, "pids": values.pids, "cpus": values.cpus}
_GRANTS = {
    "network": _network,
    "secret": _secret,
    "ssh": _ssh,
    "cache": _cache,
    "tmpfs": _tmpfs,
    "mount": _mount,
    "tool": _tool,
    "tools": _tools,
    "capability": _capability,
    **dict.fromkeys(_LIMITS, _limit),
}
