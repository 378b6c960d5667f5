"""A recipe without its conditions, loops and calls: the plain statements in order, each with what it sees.

This needs params and platform alone, so the graph is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from buildkit_py.dataclass import dataclass
from buildkit_py.platform import Platform
from frontends.buildfile import syntax
from frontends.buildfile.evaluate import Environment, Evaluator, converted
from frontends.buildfile.model import Def, Module, Recipe, Value
from frontends.buildfile.text import fault

MAX_ACTIONS = 20_000
Params = Mapping[Module, Mapping[str, Value]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that a statement sees, the file it was written in, the platform it is for, and each file's params."""

    names: Mapping[str, Value]
    module: Module
    platform: Platform
    params: Params

    def inner(self, names: Mapping[str, Value], module: Module | None = None) -> Scope:
        """The same with other names, perhaps in another file."""
        return Scope(names=names, module=module or self.module, platform=self.platform, params=self.params)

    def evaluator(self, environment: Environment | None = None) -> Evaluator:
        """Evaluates what is written here."""
        return Evaluator(self.names, self.platform, environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A grant that holds, with the scope that its arguments are evaluated in."""

    grant: syntax.Grant
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """One `layer` block: `number` tells it from another one of the same name."""

    number: int
    name: str
    node: syntax.Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One plain statement."""

    node: syntax.Command | syntax.Exec | syntax.Test
    scope: Scope
    grants: tuple[Granted, ...] = ()
    layer: LayerUse | None = None


def expand(recipe: Recipe, platform: Platform, params: Params) -> list[Action]:
    """The actions of a recipe on a platform."""
    module = recipe.module
    scope = Scope(names=params.get(module, {}), module=module, platform=platform, params=params)
    return list(_Expander().body(recipe.body, scope, (), None))


def expand_test(action: Action) -> list[Action]:
    """The items of a `test`, conditions and loops resolved."""
    assert isinstance(action.node, syntax.Test)
    return list(_Expander().body(action.node.body, action.scope, action.grants, None))


class _Expander:
    def __init__(self) -> None:
        self.layers = 0
        self.actions = 0

    def body(
        self, body: syntax.Body, scope: Scope, grants: tuple[Granted, ...], layer: LayerUse | None
    ) -> Iterator[Action]:
        for node in body:
            self.actions += 1
            if self.actions > MAX_ACTIONS:
                raise fault(f"loops and defs make more than {MAX_ACTIONS} statements", node.span)
            if isinstance(node, syntax.Command | syntax.Exec | syntax.Test):
                yield Action(node=node, scope=scope, grants=grants, layer=layer)
            else:
                yield from self.structure(node, scope, grants, layer)

    def structure(
        self, node: syntax.Statement, scope: Scope, grants: tuple[Granted, ...], layer: LayerUse | None
    ) -> Iterator[Action]:
        if isinstance(node, syntax.If):
            evaluator = scope.evaluator()
            chosen = next((body for test, body in node.branches if evaluator.truth(test)), node.otherwise)
            yield from self.body(chosen, scope, grants, layer)
        elif isinstance(node, syntax.For):
            for item in scope.evaluator().list(node.values):
                inner = scope.inner({**scope.names, node.name.text: item})
                yield from self.body(node.body, inner, grants, layer)
        elif isinstance(node, syntax.With):
            given = tuple(Granted(grant=grant, scope=scope) for grant in node.grants)
            yield from self.body(node.body, scope, grants + given, layer)
        elif isinstance(node, syntax.Layer):
            self.layers += 1
            use = LayerUse(number=self.layers, name=scope.evaluator().string(node.name), node=node)
            yield from self.body(node.body, scope, grants, use)
        elif isinstance(node, syntax.Call):
            target = scope.module.find_def(node.target)
            assert target is not None
            yield from self.body(target.body, self.arguments(node, target, scope), grants, layer)

    def arguments(self, node: syntax.Call, target: Def, scope: Scope) -> Scope:
        outer = scope.params.get(target.module, {})
        names: dict[str, Value] = dict(outer)
        evaluator = scope.evaluator()
        given: dict[str, syntax.Expression] = {}
        for index, argument in enumerate(node.arguments):
            name = argument.name.text if argument.name else target.parameters[index].name
            given[name] = argument.value
        for parameter in target.parameters:
            expression = given.get(parameter.name)
            if expression is not None:
                value = evaluator.value(expression)
            else:
                assert parameter.default is not None
                expression = parameter.default
                value = Evaluator(outer, None).value(expression)
            names[parameter.name] = converted(parameter, value, expression.span)
        return scope.inner(names, target.module)
