"""What a Dockerfile offers to who builds it: its targets, and the arguments, secrets and sockets that a target takes.

Nothing outside the text is looked at: the variables of base images count as not set.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import SourceError
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from frontends.dockerfile import syntax
from frontends.dockerfile.mounts import MountModel, read_mounts
from frontends.dockerfile.scope import NOT_IN_ENVIRONMENT, Globals, expanded, platform_arguments
from frontends.dockerfile.stages import Stages, arrange

_DEFAULT_SSH = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One stage. `name` is empty where it has none; `base` and `platform` are as written, `platform` empty if not."""

    name: str
    description: str
    default: bool
    base: str
    platform: str
    location: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A build argument with the value that it would have, empty for none."""

    name: str
    value: str
    description: str
    location: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A secret, or the socket of an ssh agent, that a RUN mounts."""

    name: str
    required: bool
    location: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A cache that a RUN mounts."""

    id: str
    location: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """All that a target takes, it and the stages that it needs, in the order of the text."""

    name: str
    description: str
    args: tuple[Argument, ...]
    secrets: tuple[Wanted, ...]
    ssh: tuple[Wanted, ...]
    caches: tuple[Cache, ...]


_Item = TypeVar("_Item", Argument, Wanted, Cache)


def targets(file: syntax.File) -> list[Target]:
    """The stages of a file; the last is built by default."""
    return [
        Target(
            name=(stage.title or "").lower(),
            description=stage.doc,
            default=stage is file.stages[-1],
            base=stage.start.base.text,
            platform=(stage.start.platform.value or "") if stage.start.platform else "",
            location=stage.start.span,
        )
        for stage in file.stages
    ]


def outline(
    file: syntax.File,
    target: str | None,
    build_args: Mapping[str, str],
    *,
    contexts: Mapping[str, str] | None = None,
    platform: Platform | None = None,
) -> Outline:
    """What the stage `target` takes, by default the last; raises `SourceError`."""
    host = Platform.host()
    name = target or (file.stages[-1].title or "").lower()
    predefined = platform_arguments(host, platform or host, name, build_args)
    arguments, values = _global_arguments(file, predefined, build_args)
    stages = arrange(file, Globals(values=values), contexts or {}, _raise)
    number = stages.target(target)
    reader = _Reader(file=file, stages=stages, given=build_args, globals=values, arguments=arguments)
    for each in stages.reachable(number):
        reader.stage(each)
    return reader.outline(number)


def _raise(error: SourceError) -> None:
    raise error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """An argument, and the arguments that its default uses."""

    argument: Argument
    uses: frozenset[str] = frozenset()


def _global_arguments(
    file: syntax.File, predefined: Mapping[str, str], given: Mapping[str, str]
) -> tuple[dict[str, _Known], dict[str, str]]:
    """The arguments above the first FROM, and all values that FROM sees."""
    known: dict[str, _Known] = {}
    values = dict(predefined)
    for node in file.globals:
        for pair in node.pairs:
            value, uses = given.get(pair.name), frozenset[str]()
            if value is None and pair.value is not None:
                found = expanded(pair.value, values, file.escape, pair.span)
                value, uses = found.text, found.used
                if pair.name in uses:
                    earlier = known[pair.name].uses if pair.name in known else frozenset[str]()
                    uses = (uses - {pair.name}) | earlier
            if value is not None:
                values[pair.name] = value
            known[pair.name] = _Known(argument=_argument(node, pair.name, value), uses=uses)
    return known, values


def _argument(node: syntax.Arg, name: str, value: str | None) -> Argument:
    described = (line.removeprefix(f"{name} ") for line in node.comments if line.startswith(f"{name} "))
    return Argument(name=name, value=value or "", description=next(described, ""), location=node.span)


@dataclass(slots=True, kw_only=True)
class _Stage:
    """What one stage takes. `used` are names of arguments, `known` those that it can see."""

    known: dict[str, _Known]
    used: dict[str, None]
    env: dict[str, str]
    secrets: dict[str, Wanted] = field(default_factory=dict)
    ssh: dict[str, Wanted] = field(default_factory=dict)
    caches: dict[str, Cache] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads stages, each after those that it needs."""

    file: syntax.File
    stages: Stages
    given: Mapping[str, str]
    globals: Mapping[str, str]
    arguments: Mapping[str, _Known]
    _done: dict[int, _Stage] = field(default_factory=dict)

    def stage(self, number: int) -> None:
        """Read one stage; where a named context stands in for it, it takes nothing."""
        node = self.stages.nodes[number]
        parent = self._done[node.parent] if node.parent is not None else None
        stage = _Stage(
            known=dict(self.arguments),
            used=dict.fromkeys(sorted(self._used_in_from(number))) if node.context is None else {},
            env=dict(parent.env) if parent else {},
        )
        self._done[number] = stage
        if node.context is not None:
            return
        for instruction in (*self._triggers(node.parent), *node.stage.instructions):
            match instruction:
                case syntax.Arg():
                    self._arg(stage, instruction)
                case syntax.Env():
                    self._env(stage, instruction)
                case syntax.Run():
                    self._run(stage, instruction)

    def _used_in_from(self, number: int) -> frozenset[str]:
        start = self.stages.starts[number]
        return start.base.used | (start.platform.used if start.platform else frozenset())

    def _triggers(self, number: int | None) -> Iterator[syntax.Instruction]:
        for each in self.stages.nodes[number].stage.instructions if number is not None else ():
            if isinstance(each, syntax.OnBuild):
                yield each.trigger

    def _word(self, stage: _Stage, text: str, span: Span) -> str:
        return expanded(text, stage.env, self.file.escape, span).text

    def _arg(self, stage: _Stage, node: syntax.Arg) -> None:
        for pair in node.pairs:
            value = self.given.get(pair.name)
            inherited = value is None and pair.value is None and pair.name in self.globals
            if inherited:
                value = self.globals[pair.name]
            elif value is None and pair.value is not None:
                value = self._word(stage, pair.value, pair.span)
            if not inherited:
                stage.known[pair.name] = _Known(argument=_argument(node, pair.name, value))
            stage.used[pair.name] = None
            if value is not None and pair.name not in NOT_IN_ENVIRONMENT:
                stage.env[pair.name] = value

    def _env(self, stage: _Stage, node: syntax.Env) -> None:
        pairs = [(self._word(stage, each.name, each.span), each) for each in node.pairs]
        stage.env.update([(name, self._word(stage, each.value or "", each.span)) for name, each in pairs])

    def _run(self, stage: _Stage, node: syntax.Run) -> None:
        for mount in read_mounts(node, lambda text: self._word(stage, text, node.span)):
            _keep(stage, mount, node.span)

    def outline(self, target: int) -> Outline:
        """What a stage takes with all that it needs."""
        order = [self._done[number] for number in self._from(target)]
        stage = self.stages.nodes[target].stage
        return Outline(
            name=(stage.title or "").lower(),
            description=stage.doc,
            args=_sorted(_arguments(order)),
            secrets=_sorted(_first(each.secrets for each in order)),
            ssh=_sorted(_first(each.ssh for each in order)),
            caches=_sorted(_first(each.caches for each in order)),
        )

    def _from(self, target: int) -> list[int]:
        """A stage and those that it needs, each before its own needs: what is nearer to the target goes first."""
        order: dict[int, None] = {}
        waiting = [target]
        while waiting:
            number = waiting.pop()
            if number not in order:
                order[number] = None
                waiting += reversed([needed for needed, _ in self.stages.needs(number)])
        return list(order)


def _keep(stage: _Stage, mount: MountModel, span: Span) -> None:
    match mount.kind:
        case "secret":
            name = mount.id or posixpath.basename(mount.target or "")
            stage.secrets.setdefault(name, Wanted(name=name, required=mount.required, location=span))
        case "ssh":
            name = mount.id or _DEFAULT_SSH
            stage.ssh.setdefault(name, Wanted(name=name, required=mount.required, location=span))
        case "cache":
            name = mount.id or posixpath.normpath(mount.target or "")
            stage.caches.setdefault(name, Cache(id=name, location=span))


def _arguments(stages: Iterable[_Stage]) -> list[Argument]:
    """The arguments that stages use, and those that these use; of one name the first."""
    found: dict[str, Argument] = {}
    for stage in stages:
        waiting, seen = list(reversed(stage.used)), set[str]()
        while waiting:
            name = waiting.pop()
            known = stage.known.get(name)
            if known is not None and name not in seen:
                seen.add(name)
                found.setdefault(name, known.argument)
                waiting += sorted(known.uses)
    return list(found.values())


def _first(tables: Iterable[Mapping[str, _Item]]) -> list[_Item]:
    found: dict[str, _Item] = {}
    for table in tables:
        for name, value in table.items():
            found.setdefault(name, value)
    return list(found.values())


def _sorted(items: list[_Item]) -> tuple[_Item, ...]:
    return tuple(sorted(items, key=lambda item: (item.location.line, item.location.column)))
