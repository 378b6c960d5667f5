"""A whole file: which stages, in which order, and what stands above them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import SourceError
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic
from frontends.dockerfile import syntax
from frontends.dockerfile.conversion import arguments, copy, run, settings
from frontends.dockerfile.conversion.arguments import Arguments, predefined
from frontends.dockerfile.conversion.kinds import Look, Paths
from frontends.dockerfile.conversion.language import KEYWORDS, Marks, UntoldError, indented, is_variable
from frontends.dockerfile.conversion.notes import Notes
from frontends.dockerfile.conversion.params import Params
from frontends.dockerfile.conversion.stage import Shared, StageConversion
from frontends.dockerfile.conversion.values import Scope
from frontends.dockerfile.faults import fault
from frontends.dockerfile.ignore import IgnoreError, read_ignore
from frontends.dockerfile.parser import parse
from frontends.dockerfile.scope import global_scope, platform_arguments
from frontends.dockerfile.stages import SCRATCH, Stages, arrange

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNNAMED = "app"
"""What an image is called whose stage has no name."""

Find = Callable[[str], str | None]
_STEPS = (syntax.Run, syntax.Copy, syntax.Workdir, syntax.User)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A Buildfile, and what there is to say of it: an `error` has no equivalent, and a comment stands for it."""

    text: str
    notes: tuple[Diagnostic, ...]


def convert_file(source: str, *, file: str, target: str | None, find: Find | None, look: Look | None) -> Conversion:
    """Convert a Dockerfile; raises `SourceError` for one that is wrong itself."""
    parsed = parse(source, file)
    return _File(parsed, file, target, _ignored(file, find), look).convert()


def _ignored(file: str, find: Find | None) -> tuple[str, ...]:
    """The patterns of the ignore file."""
    for path in (f"{file}.dockerignore", ".dockerignore") if find is not None else ():
        text = find(path) if find is not None else None
        if text is not None:
            try:
                return read_ignore(text)
            except IgnoreError as error:
                raise fault(f"{path}, line {error.line}: {error.message}", None, hint=error.hint) from None
    return ()


class _File:
    def __init__(
        self, file: syntax.File, name: str, target: str | None, patterns: tuple[str, ...], look: Look | None
    ) -> None:
        self._file = file
        self._faults: list[Diagnostic] = []
        self._marks, self._notes = Marks(), Notes()
        self._params = Params(marks=self._marks, notes=self._notes)
        self._globals = Scope(marks=self._marks, notes=self._notes, escape=file.escape, base_is_known=True)
        last = target or file.stages[-1].title or ""
        values = platform_arguments(Platform.host(), Platform.host(), last, {})
        stages = arrange(file, global_scope(file, values, {}), {}, lambda error: self._faults.extend(error.diagnostics))
        self._target = stages.target(target)
        self._globals.variables |= predefined(self._marks, last)
        self._shared = Shared(
            name=name,
            file=file,
            stages=stages,
            marks=self._marks,
            notes=self._notes,
            params=self._params,
            globals=self._globals.variables,
            look=look,
            patterns=patterns,
            names=_names(stages),
        )

    def convert(self) -> Conversion:
        """Every stage that is needed, and what they need."""
        reader = Arguments(params=self._params, notes=self._notes, scope=self._globals)
        for node in self._file.globals:
            self._guarded(lambda node=node: reader.read(node), node)  # type: ignore[misc]
        if self._faults:
            raise SourceError(self._faults)
        wanted = self._shared.stages.reachable(self._target)
        self._note_others(wanted)
        blocks = [block for number in wanted for block in (self._stage(number), "") if block is not None]
        if self._faults:
            raise SourceError(self._faults)
        self._params.use(blocks)
        secrets = [f"secret {name}" for name in self._shared.secrets.values()]
        head = [*self._params.lines(), *secrets]
        text = "\n".join(["buildfile 1", "", *([*head, ""] if head else []), *blocks])
        return Conversion(text=text.rstrip("\n") + "\n", notes=self._notes.all())

    def _note_others(self, wanted: Sequence[int]) -> None:
        for number, node in enumerate(self._shared.stages.nodes):
            if number not in wanted:
                text = f"nothing of {self._shared.names[self._target]} needs this stage: it is left out"
                hint = f"convert it by itself with --target {node.stage.title or number}"
                self._notes.remark(text, node.stage.start.span, hint if node.stage.title else None)

    # --- stages

    def _stage(self, number: int) -> str:
        """The block of a stage."""
        node = self._shared.stages.nodes[number].stage
        stage = self._begin(number)
        self._shared.made[number] = stage
        is_image = number == self._target
        parent = self._shared.stages.nodes[number].parent
        previous = node.start.span.end_line
        fired = list(self._shared.made[parent].triggers) if parent is not None else []
        for instruction in (*fired, *node.instructions):
            if instruction in node.instructions:
                above = instruction.head.line - len(instruction.comments)
                self._take(stage, instruction, blank=above - previous > 1)
                previous = instruction.span.end_line
            else:
                self._take(stage, instruction, blank=False)
        stage.finish(is_image=is_image)
        if is_image:
            self._note_triggers(stage, node)
        keyword = "image" if is_image else "stage"
        comments = [f"# {line}" for line in node.start.comments]
        lines = [f"{keyword} {self._shared.names[number]} {{", *indented(stage.body.lines()), "}"]
        return "\n".join([*comments, *lines])

    def _begin(self, number: int) -> StageConversion:
        """The stage with its `from`."""
        found = self._shared.stages.nodes[number]
        start = found.stage.start
        stage = self._started(number, start)
        if start.platform is not None and "TARGETPLATFORM" not in (start.platform.value or ""):
            stage.differs(
                f"--platform={start.platform.value} has no equivalent: a stage is made for the platform of its image",
                "the image can say `platforms …`; foreign ones need an emulator",
                start.platform.span,
            )
        self._from(stage, number)
        return stage

    def _started(self, number: int, start: syntax.From) -> StageConversion:
        parent = self._shared.stages.nodes[number].parent
        if parent is not None:
            return self._shared.made[parent].child(number, start)
        is_empty = self._shared.stages.nodes[number].base == SCRATCH
        scope = Scope(marks=self._marks, notes=self._notes, escape=self._file.escape, base_is_known=is_empty)
        scope.arguments = frozenset(_declared(self._file))
        scope.env("PATH", DEFAULT_PATH if is_empty else None)
        return StageConversion(
            shared=self._shared,
            number=number,
            scope=scope,
            paths=Paths(empty=is_empty),
            node=start,
            workdir_is_known=is_empty,
        )

    def _from(self, stage: StageConversion, number: int) -> None:
        node = self._shared.stages.nodes[number]
        base = node.stage.start.base
        if node.parent is not None:
            stage.body.add(f"from {self._shared.names[node.parent]}")
            if "$" in base.text:
                stage.warn(f"an argument chooses this stage: it is always {self._shared.names[node.parent]} now")
            return
        if node.base == SCRATCH:
            stage.body.add("from scratch")
            if self._is_kept(number):
                stage.body.add(f"env PATH = {self._marks.string(DEFAULT_PATH)}")
            return
        cases = replace(stage.scope, variables=dict(self._globals.variables), base_is_known=True)
        own, stage.scope = stage.scope, cases
        try:
            stage.emit([base.text], lambda texts: [f"from {self._marks.string(texts[0])}"])
        except UntoldError as error:
            stage.differs(error.message, error.hint)
        stage.scope = own

    def _is_kept(self, number: int) -> bool:
        """Whether what a stage sets in its environment is in the image at the end, and none sets a PATH."""
        at: int | None = self._target
        found = False
        while at is not None:
            stage = self._shared.stages.nodes[at].stage
            pairs = [pair for node in stage.instructions if isinstance(node, syntax.Env) for pair in node.pairs]
            if any(pair.name == "PATH" for pair in pairs):
                return False
            found = found or at == number
            at = self._shared.stages.nodes[at].parent
        return found

    # --- instructions

    def _take(self, stage: StageConversion, node: syntax.Instruction, *, blank: bool) -> None:
        stage.node = node
        if isinstance(node, _STEPS) and stage.pending is not None:
            dest: list[str] = []
            if isinstance(node, syntax.Copy):
                self._guarded(lambda: dest.append(copy.destination(stage, node)), node)
            stage.before(node, dest[0] if dest else None)
        is_said = not isinstance(node, syntax.Arg | syntax.Shell | syntax.OnBuild)
        stage.body.expect(node.comments if is_said else (), blank=blank)
        try:
            self._guarded(lambda: _INSTRUCTIONS[type(node)](stage, node), node)
        except UntoldError as error:
            stage.differs(error.message, error.hint)

    def _guarded(self, step: Callable[[], Any], node: syntax.Instruction) -> None:
        """Do something; what is wrong with the Dockerfile itself is kept for later."""
        try:
            step()
        except SourceError as error:
            self._faults.extend(error.diagnostics)

    def _note_triggers(self, stage: StageConversion, node: syntax.Stage) -> None:
        for instruction in node.instructions:
            if isinstance(instruction, syntax.OnBuild):
                stage.node = instruction
                hint = "write a `def` in a file of its own, which others import and call"
                stage.differs(
                    f"ONBUILD {instruction.trigger.name} has no equivalent: an image does nothing later", hint
                )


def _declared(file: syntax.File) -> Iterator[str]:
    """The names that ARG declares anywhere, and those that it could."""
    yield from (*arguments.PLATFORM, *arguments.BUILDER)
    for node in syntax.instructions(file):
        if isinstance(node, syntax.Arg):
            yield from (pair.name for pair in node.pairs)


def _names(stages: Stages) -> dict[int, str]:
    """A name for every stage, each once; that of the last without one is `app`."""
    found: dict[int, str] = {}
    for name, number in _wanted(stages):
        free = (name, *(f"{name}-{other}" for other in range(2, 1000)))
        found[number] = next(each for each in free if each not in found.values() and each not in KEYWORDS)
    return found


def _wanted(stages: Stages) -> Iterator[tuple[str, int]]:
    for number, node in enumerate(stages.nodes):
        is_last = number == len(stages.nodes) - 1
        title = (node.stage.title or (UNNAMED if is_last else f"stage{number}")).lower()
        kept = "".join(char if char.isalnum() or char in "_-" else "-" for char in title)
        yield kept if is_variable(kept[:1] or "-") else f"s{kept}", number


_INSTRUCTIONS: Mapping[type[syntax.Instruction], Callable[[StageConversion, Any], None]] = {
    syntax.Arg: arguments.arg,
    syntax.Cmd: settings.cmd,
    syntax.Copy: copy.copy,
    syntax.Entrypoint: settings.entrypoint,
    syntax.Env: settings.env,
    syntax.Expose: settings.expose,
    syntax.Healthcheck: settings.healthcheck,
    syntax.Label: settings.label,
    syntax.Maintainer: settings.maintainer,
    syntax.OnBuild: settings.on_build,
    syntax.Run: run.run,
    syntax.Shell: settings.shell,
    syntax.StopSignal: settings.stop_signal,
    syntax.User: settings.user,
    syntax.Volume: settings.volume,
    syntax.Workdir: settings.workdir,
}
