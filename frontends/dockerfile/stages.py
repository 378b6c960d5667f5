"""Stages as a graph of their own: what each stands on and copies from, known from the text before anything is resolved.

A stage is found by its name (the last of equal names wins), in COPY also by its number. What names no stage names an
image, or a context that the client gave a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import SourceError, UsageError
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.source import Span
from buildkit_py.suggest import suggest
from frontends.dockerfile import syntax
from frontends.dockerfile.expand import Expansion
from frontends.dockerfile.faults import fault
from frontends.dockerfile.scope import Globals, expanded

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One stage. `base` is expanded; `parent` is the number of the stage that it names, None for an image or a context.

    `platform` is that of `--platform`. `context` is the named context that stands in for the whole stage. `blank` says
    which variables of the base have no value, None where all have one.
    """

    stage: syntax.Stage
    base: str
    platform: Platform | None
    parent: int | None
    context: str | None = None
    blank: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the words of a FROM were expanded to, for who checks them."""

    node: syntax.From
    base: Expansion
    platform: Expansion | None


@dataclass(slots=True, kw_only=True)
class Stages:
    """All stages of a file, in order."""

    nodes: list[Node] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    _by_name: dict[str, int] = field(default_factory=dict)

    def find(self, name: str) -> int | None:
        """The number of the stage of this name, whatever its case."""
        return self._by_name.get(name.lower())

    def names(self) -> list[str]:
        """The names that stages have."""
        return list(self._by_name)

    def target(self, name: str | None) -> int:
        """The stage to build; raises `SourceError`."""
        if not name:
            return len(self.nodes) - 1
        found = self.find(name)
        if found is None:
            close = suggest(name, self.names())
            known = ", ".join(self.names()) or "none has a name"
            raise fault(
                f"there is no stage called {name!r}",
                None,
                hint=f"did you mean {close}?" if close else f"stages are: {known}",
            )
        return found

    def add(self, node: Node) -> None:
        """Put a stage after those that are there."""
        self.nodes.append(node)
        if node.stage.title is not None:
            self._by_name[node.stage.title.lower()] = len(self.nodes) - 1

    def needs(self, number: int) -> Iterator[tuple[int, Span]]:
        """The stages that a stage uses, with where it says so."""
        node = self.nodes[number]
        if node.context is not None:
            return
        if node.parent is not None:
            yield node.parent, node.stage.start.span
            yield from self._used(self._triggers(node.parent))
        yield from self._used(node.stage.instructions)

    def _triggers(self, number: int) -> Iterator[syntax.Instruction]:
        for instruction in self.nodes[number].stage.instructions:
            if isinstance(instruction, syntax.OnBuild):
                yield instruction.trigger

    def _used(
        self, instructions: Iterator[syntax.Instruction] | tuple[syntax.Instruction, ...]
    ) -> Iterator[tuple[int, Span]]:
        for instruction in instructions:
            if isinstance(instruction, syntax.Copy) and instruction.from_ is not None:
                found = self.source(instruction.from_)
                if found is not None:
                    yield found, instruction.from_.span
            elif isinstance(instruction, syntax.Run):
                for mount in instruction.mounts:
                    name = dict(mount.fields).get("from")
                    found = self.find(name) if name else None
                    if found is not None:
                        yield found, mount.flag.span

    def source(self, flag: syntax.Flag) -> int | None:
        """The stage that `COPY --from` names, by name or number; None for an image. Raises `SourceError`."""
        name = flag.value or ""
        if _is_number(name):
            if not 0 <= int(name) < len(self.nodes):
                raise fault(
                    f"there is no stage number {name}",
                    flag.span,
                    hint=f"stages are numbered from 0 to {len(self.nodes) - 1}; better give it a name: FROM … AS NAME",
                )
            return int(name)
        return self.find(name)

    def reachable(self, target: int) -> list[int]:
        """The stages that a target needs, itself last, in the order of the file."""
        found: set[int] = set()
        waiting = [target]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting.extend(needed for needed, _ in self.needs(number))
        return sorted(found)


def _is_number(text: str) -> bool:
    return text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() and text[:2].strip("+-") != ""


def arrange(
    file: syntax.File, scope: Globals, contexts: Mapping[str, str], note: Callable[[SourceError], None]
) -> Stages:
    """Lay out the stages; every fault goes to `note`, and its stage stands as if it were made from scratch."""
    stages = Stages()
    for stage in file.stages:
        try:
            stages.add(_node(stages, stage, file, scope, contexts))
        except SourceError as error:
            note(error)
            stages.add(Node(stage=stage, base=SCRATCH, platform=None, parent=None))
    for number in range(len(stages.nodes)):
        try:
            _check_order(stages, number)
        except SourceError as error:
            note(error)
    return stages


def _node(stages: Stages, stage: syntax.Stage, file: syntax.File, scope: Globals, contexts: Mapping[str, str]) -> Node:
    start = stage.start
    base = expanded(start.base.text, scope.values, file.escape, start.base.span)
    wanted = _wanted(start, file, scope)
    stages.starts.append(Start(node=start, base=base, platform=wanted))
    if not base.text:
        raise fault(
            f"the base image {start.base.text} is empty",
            start.base.span,
            hint=_blank_hint(base, scope) or "give the argument a value, with --build-arg or a default in ARG",
        )
    platform = _platform(start, wanted, scope) if wanted is not None else None
    context = find_context(stage.title, contexts) if stage.title else None
    # Names of stages are kept in lower case, and a base is looked up as it is written.
    parent = stages.find(base.text) if base.text == base.text.lower() else None
    return Node(
        stage=stage, base=base.text, platform=platform, parent=parent, context=context, blank=_blank(base, scope)
    )


def _wanted(start: syntax.From, file: syntax.File, scope: Globals) -> Expansion | None:
    flag = start.platform
    if flag is None or not flag.value:
        return None
    return expanded(flag.value, scope.values, file.escape, flag.value_span or flag.span)


def _platform(start: syntax.From, wanted: Expansion, scope: Globals) -> Platform:
    flag = start.platform
    assert flag is not None
    span = flag.value_span or flag.span
    if not wanted.text:
        raise fault(
            f"the platform {flag.value} is empty", span, hint=_blank_hint(wanted, scope) or "write one as linux/amd64"
        )
    if wanted.text.lower() == Platform.host().os:
        return Platform.host()
    try:
        return Platform.parse(wanted.text)
    except UsageError as error:
        raise fault(error.message, span, hint=_blank_hint(wanted, scope) or error.hint) from None


def _blank_hint(expansion: Expansion, scope: Globals) -> str | None:
    """What may have been meant by a variable that has no value."""
    for name in sorted(expansion.unset):
        close = suggest(name, list(scope.values))
        if close:
            return f"did you mean ${close}?"
    return None


def _blank(base: Expansion, scope: Globals) -> str | None:
    empty = sorted(base.unset | {name for name in base.used if not scope.values.get(name)})
    if not empty:
        return None
    names = " and ".join(f"${name}" for name in empty)
    said = f"{names} {'is' if len(empty) == 1 else 'are'} empty here"
    return f"{said}; {_blank_hint(base, scope) or f'give a value with --build-arg {empty[0]}=…, or a default in ARG'}"


def _check_order(stages: Stages, number: int) -> None:
    for needed, span in stages.needs(number):
        check_above(stages, needed, number, span)


def check_above(stages: Stages, needed: int, number: int, span: Span) -> None:
    """A stage uses only what stands above it; raises `SourceError`."""
    if needed == number:
        raise fault(f"stage {_shown(stages, number)} uses itself", span, hint="name another stage, or an image")
    if needed > number:
        raise fault(
            f"stage {_shown(stages, needed)} is written below the stage that uses it",
            span,
            hint="move it above: a stage can use only what stands before it",
        )


def _shown(stages: Stages, number: int) -> str:
    return repr(stages.nodes[number].stage.title or number)


def find_context(name: str, contexts: Mapping[str, str]) -> str | None:
    """The named context that stands for a stage or an image; names of images are compared as references."""
    if name in (SCRATCH, "context"):
        return None
    if name.lower() in contexts:
        return name.lower()
    if name in contexts:
        return name
    wanted = _reference(name)
    return next((each for each in contexts if wanted is not None and _reference(each) == wanted), None)


def _reference(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except Exception:
        return None
