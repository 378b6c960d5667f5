"""Model to graph: a plan for each stage or image and platform that is needed, then the targets."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import GraphError, PybuildError, SourceError
from buildkit_py.graph import (
    Definition,
    GraphBuilder,
    ImageConfig,
    ImageSource,
    LocalSource,
    Output,
    Resolver,
    Scratch,
    Settings,
    Test,
)
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax, values
from frontends.buildfile.commands import LOCAL_OUTPUTS, OUTPUTS
from frontends.buildfile.expand import Action, Params, expand
from frontends.buildfile.model import Program, Recipe
from frontends.buildfile.state import State
from frontends.buildfile.text import fault
from frontends.buildfile.words import did_you_mean, one_of

_MAX_FAULTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a recipe makes on a platform."""

    base: str
    layers: tuple[tuple[str, str], ...]
    tip: str
    config: ImageConfig
    directories: frozenset[str]
    annotations: Mapping[str, str]
    tests: tuple[Test, ...]
    outputs: tuple[Output, ...]


@dataclass(slots=True, kw_only=True)
class Lowering:
    """One compilation: the graph so far and the plans made for it."""

    program: Program
    params: Params
    resolver: Resolver
    epoch: int
    hidden: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)
    graph: GraphBuilder = field(default_factory=GraphBuilder)
    plans: dict[tuple[Recipe, Platform], Plan | None] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def plan(self, recipe: Recipe, platform: Platform) -> Plan | None:
        """The plan of a recipe, made once; None where it could not be made (the faults are noted)."""
        key = (recipe, platform)
        if key not in self.plans:
            self.plans[key] = None
            self.plans[key] = self._make(recipe, platform)
        return self.plans[key]

    def _make(self, recipe: Recipe, platform: Platform) -> Plan | None:
        from frontends.buildfile.steps import perform

        try:
            actions = expand(recipe, platform, self.params)
        except SourceError as error:
            self.diagnostics += error.diagnostics
            return None
        state = State(lowering=self, recipe=recipe, platform=platform)
        for action in actions:
            if len(self.diagnostics) > _MAX_FAULTS:
                return None
            try:
                perform(state, action)
            except SourceError as error:
                self.diagnostics += error.diagnostics
                if not state.tip:
                    return None
            except PybuildError as error:
                error.span = error.span or action.node.span
                raise
        return self._finish(state)

    def _finish(self, state: State) -> Plan | None:
        from frontends.buildfile.expectations import lower_tests

        if not state.tip:
            recipe = state.recipe
            hint = "an `if` around `from` needs an `else` with another one"
            message = f"{recipe.kind} `{recipe.name}` has no `from` for these params on {state.platform}"
            self.diagnostics.append(Diagnostic(message=message, span=recipe.span, hint=hint))
            return None
        state.close_layer()
        return Plan(
            base=state.base,
            layers=tuple(state.layers),
            tip=state.tip,
            config=state.config.frozen(),
            directories=frozenset(state.directories),
            annotations=dict(state.annotations),
            tests=lower_tests(state),
            outputs=tuple(state.outputs),
        )

    # --- what steps take from elsewhere

    def context(self) -> str:
        """The vertex of the build context."""
        return self.graph.add(LocalSource(name="context", hidden=self.hidden))

    def scratch(self) -> str:
        """The vertex of the empty tree."""
        return self.graph.add(Scratch())

    def image(self, ref: str, platform: Platform, span: Span) -> tuple[str, ImageConfig]:
        """The vertex of an image, pinned, and its configuration."""
        try:
            resolved = self.resolver.image(ref, platform)
        except PybuildError as error:
            error.span = error.span or span
            raise
        source = ImageSource(ref=ref, platform=str(platform), digest=resolved.digest)
        return self.graph.add(source, span=span), resolved.config

    def target(self, recipe: Recipe, platform: Platform) -> None:
        """Declare the image that a recipe makes."""
        plan = self.plan(recipe, platform)
        if plan is None:
            return
        self.graph.target(
            recipe.name,
            base=plan.base,
            layers=plan.layers,
            platform=platform,
            config=replace(plan.config, labels={**plan.config.labels, **self.settings.labels}),
            annotations={**plan.annotations, **self.settings.annotations},
            tests=plan.tests,
            outputs=plan.outputs,
            span=recipe.span,
        )


def lower(
    program: Program,
    params: Params,
    resolver: Resolver,
    *,
    platforms: Sequence[Platform],
    targets: Sequence[str],
    epoch: int,
    hidden: Sequence[str],
    settings: Settings | None = None,
) -> Definition:
    """The definition of the images asked for; raises `SourceError`, and what the resolver raises."""
    wanted = _targets(program, targets)
    choices = {recipe: _platforms(recipe, params, platforms) for recipe in wanted}
    file = program.main.source.file
    names = {file, f"{file}.lock", *hidden, *_local_outputs(program, params, platforms)}
    lowering = Lowering(
        program=program,
        params=params,
        resolver=resolver,
        epoch=epoch,
        hidden=tuple(sorted(_below(names))),
        settings=settings or Settings(),
    )
    for recipe in wanted:
        for platform in choices[recipe]:
            lowering.target(recipe, platform)
    if lowering.diagnostics:
        raise SourceError(list(dict.fromkeys(lowering.diagnostics)))
    try:
        return lowering.graph.build()
    except GraphError as error:
        raise fault(error.message, error.span, hint=error.hint) from None


def _targets(program: Program, names: Sequence[str]) -> list[Recipe]:
    recipes = program.main.recipes
    if names:
        for name in names:
            if name not in recipes:
                hint = did_you_mean(name, set(recipes)) or (
                    f"there are {one_of(list(recipes), last='and')}" if recipes else None
                )
                raise fault(f"`{program.main.source.file}` has no image or stage `{name}`", None, hint=hint)
        return [recipes[name] for name in dict.fromkeys(names)]
    images = list(program.images())
    if not images:
        message = f"`{program.main.source.file}` declares no image"
        raise fault(message, None, hint="write `image NAME { … }`, or name a stage with `--target`")
    return images


def _declared_platforms(recipe: Recipe, params: Params) -> Iterator[tuple[Platform, Span]]:
    for action in expand(recipe, Platform.host(), params):
        node = action.node
        if isinstance(node, syntax.Command) and node.keyword.text == "platforms":
            evaluator = action.scope.evaluator()
            for operand in node.operands:
                assert isinstance(operand, syntax.Text)
                yield Platform.parse(evaluator.word(operand, values.platform)), operand.span


def _platforms(recipe: Recipe, params: Params, asked: Sequence[Platform]) -> list[Platform]:
    declared = dict(_declared_platforms(recipe, params))
    if not declared:
        return list(dict.fromkeys(asked)) or [Platform.host()]
    for platform in asked:
        if platform not in declared:
            span = next(iter(declared.values()))
            names = one_of([str(name) for name in declared], last="and")
            raise fault(f"image `{recipe.name}` is not made for {platform}", span, hint=f"it is made for {names}")
    return list(dict.fromkeys(asked)) or list(declared)


def _local_outputs(program: Program, params: Params, asked: Sequence[Platform]) -> Iterator[str]:
    for recipe in program.images():
        for platform in _output_platforms(recipe, params, asked):
            for action in expand(recipe, platform, params):
                if is_local_output(action):
                    yield output_of(action).value


def _output_platforms(recipe: Recipe, params: Params, asked: Sequence[Platform]) -> list[Platform]:
    declared = [platform for platform, _ in _declared_platforms(recipe, params)]
    return declared or list(asked) or [Platform.host()]


def is_local_output(action: Action) -> bool:
    """Whether an action declares an output that is a local file."""
    node = action.node
    return (
        isinstance(node, syntax.Command)
        and node.keyword.text == "output"
        and node.kind is not None
        and node.kind.text in LOCAL_OUTPUTS
    )


def output_of(action: Action) -> Output:
    """The output that an action declares."""
    node = action.node
    assert isinstance(node, syntax.Command) and node.kind is not None
    kind = node.kind.text
    value = action.scope.evaluator().word(node.operands[0], OUTPUTS[kind])
    return Output(kind=kind, value=value, span=node.span)  # type: ignore[arg-type]


def _below(names: set[str]) -> Iterator[str]:
    for name in names:
        clean = posixpath.normpath(name)
        if not clean.startswith(("/", "..")) and clean != ".":
            yield clean
