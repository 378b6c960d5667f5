"""Checks of one module's declarations and bodies: what may stand where, types, arguments, names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax, values
from frontends.buildfile.commands import COMMANDS, OUTPUTS, UNSET, Part
from frontends.buildfile.contents import categories, category, programs, variables_of, walk
from frontends.buildfile.grants import check_grants
from frontends.buildfile.model import LIST, STRING, Def, Module, Parameter, Recipe, Type
from frontends.buildfile.typecheck import Types
from frontends.buildfile.words import FORMS, RESERVED, SHELL_NAMES, did_you_mean, one_of

Report = Callable[[Diagnostic], None]
Place = Literal["stage", "image", "layer", "def", "test"]

_ALLOWED: dict[Place, frozenset[str]] = {
    "stage": frozenset({"base", "step", "exec", "layer", "setting"}),
    "image": frozenset({"base", "step", "exec", "layer", "setting", "image"}),
    "layer": frozenset({"step", "exec"}),
    "def": frozenset({"step", "exec", "layer", "setting", "image"}),
    "test": frozenset({"item", "exec"}),
}
_ARTICLE = {"stage": "a stage", "image": "an image", "layer": "a layer", "def": "a def", "test": "a test"}
_NO_ENV = ("platforms", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    place: Place
    names: Mapping[str, Type] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    variables: frozenset[str] | None = None


def check_module(module: Module, report: Report) -> None:
    """Report all that is wrong in a module's params, defs, stages and images."""
    checker = _Checker(module, report)
    checker.params()
    for definition in module.defs.values():
        checker.definition(definition)
    for recipe in module.recipes.values():
        checker.recipe(recipe)


class _Checker:
    def __init__(self, module: Module, report: Report) -> None:
        self.module = module
        self.report = report

    def fault(
        self, message: str, span: Span, hint: str | None = None, notes: tuple[tuple[str, Span], ...] = ()
    ) -> None:
        self.report(Diagnostic(message=message, span=span, hint=hint, notes=notes))

    def types(self, scope: _Scope, *, env: bool = True, platform: bool = True) -> Types:
        hidden = set(self.module.broken | scope.unknown)
        return Types(scope.names, hidden, self.report, env=env, platform=platform, variables=scope.variables)

    # --- declarations

    def params(self) -> None:
        names: dict[str, Type] = {}
        for parameter in self.module.params.values():
            self.default(parameter, _Scope(place="def", names=dict(names)), "param")
            names[parameter.name] = parameter.type

    def default(self, parameter: Parameter, scope: _Scope, what: str) -> None:
        if parameter.default is not None:
            types = self.types(scope, env=False, platform=False)
            types.expect(parameter.default, parameter.type, f"the {what} `{parameter.name}`")

    def top(self) -> dict[str, Type]:
        return {name: parameter.type for name, parameter in self.module.params.items()}

    def definition(self, definition: Def) -> None:
        names = self.top()
        for parameter in definition.parameters:
            self.default(parameter, _Scope(place="def", names=self.top()), "argument")
            names[parameter.name] = parameter.type
        self.body(definition.body, _Scope(place="def", names=names))

    def recipe(self, recipe: Recipe) -> None:
        scope = _Scope(place=recipe.kind, names=self.top())
        bases = [node for node, _ in walk(recipe.body, recipe.module, calls=False) if _keyword(node) == "from"]
        broken = any(isinstance(node, syntax.Broken) for node, _ in walk(recipe.body, recipe.module))
        if not bases and not broken:
            hint = 'begin it with `from scratch` or `from "debian:12"`'
            self.fault(f"{recipe.kind} `{recipe.name}` has no `from`", recipe.span, hint)
        direct = [node for node in recipe.body if _keyword(node) == "from"]
        for node in direct[1:]:
            hint = "to take files of another one, write `copy … from NAME`"
            notes = (("the first one", direct[0].span),)
            self.fault(f"{_ARTICLE[recipe.kind]} has one `from`", node.span, hint, notes)
        for statement in recipe.body:
            if direct and statement is direct[0]:
                break
            if _builds(statement) and direct:
                self.fault("a step can't stand before `from`", _first(statement), "move `from` above it")
                break
        self.body(recipe.body, replace(scope, variables=variables_of(recipe)))

    # --- statements

    def body(self, body: syntax.Body, scope: _Scope) -> None:
        for statement in body:
            if isinstance(statement, syntax.Broken):
                continue
            if self.allowed(statement, scope):
                checker = getattr(self, f"check_{type(statement).__name__.lower()}")
                checker(statement, scope)

    def allowed(self, statement: syntax.Statement, scope: _Scope) -> bool:
        if isinstance(statement, syntax.Header | syntax.Param | syntax.Secret | syntax.Def | syntax.Import):
            word = "buildfile" if isinstance(statement, syntax.Header) else type(statement).__name__.lower()
            hint = f"a file has its `{word}` outside every block: move it out of this one"
            self.fault(f"`{word}` can't stand in a block", statement.span, hint)
            return False
        if isinstance(statement, syntax.Recipe):
            message = f"{_ARTICLE[statement.kind]} can't stand in a block"
            self.fault(message, statement.span, "move it out; is a `}` missing above?")
            return False
        found = category(statement)
        if found is None or found[0] in _ALLOWED[scope.place]:
            if scope.place == "test" and found == ("exec", "host"):
                self.fault("a test runs in the image, never on the host", statement.span, "write `run`")
                return False
            return True
        self.fault(*self.misplaced(found, scope.place, statement))
        return False

    def misplaced(self, found: tuple[str, str], place: Place, node: syntax.Statement) -> tuple[str, Span, str]:
        kind, word = found
        message = f"`{word}` can't stand in {_ARTICLE[place]}"
        span = getattr(node, "keyword", node).span
        if place == "layer":
            if kind == "layer":
                return "a layer can't stand in a layer", span, "end the first one before it"
            if kind in ("setting", "image"):
                return message, span, f"it holds for the whole image: move `{word}` out of the layer"
            return message, span, "move it out of the layer"
        if kind == "item":
            return message, span, f'it belongs into a test: `test "name" {{ {FORMS[word]} }}`'
        if place == "test":
            return message, span, "a test has `run`, `file`, `absent`, `owner`, `mode` and `text`"
        if kind == "image":
            return message, span, f"only an image has `{word}`"
        return message, span, "the stage or image that uses the def has it" if kind == "base" else "move it out"

    def check_layer(self, node: syntax.Layer, scope: _Scope) -> None:
        self.word(node.name, values.filled, scope, env=False)
        if not node.body:
            self.fault("this layer is empty", node.span, "put steps into its block, or take it out")
        self.body(node.body, replace(scope, place="layer"))

    def check_test(self, node: syntax.Test, scope: _Scope) -> None:
        self.word(node.name, values.filled, scope)
        if not node.body:
            self.fault("this test is empty", node.span, "put `run`, `file` or `absent` into its block")
        self.body(node.body, replace(scope, place="test"))

    def check_if(self, node: syntax.If, scope: _Scope) -> None:
        for condition, body in node.branches:
            self.types(scope, env=False).expect(condition, Type(kind="bool"), "a condition")
            self.body(body, scope)
        self.body(node.otherwise, scope)

    def check_for(self, node: syntax.For, scope: _Scope) -> None:
        self.types(scope, env=False).expect(node.values, LIST, "what `for` goes through")
        if node.name.text in scope.names:
            self.fault(f"`{node.name.text}` has a meaning here already", node.name.span, "choose another name")
        elif node.name.text in RESERVED | SHELL_NAMES:
            self.fault(f"nothing can be called `{node.name.text}`", node.name.span, "choose another name")
        self.body(node.body, replace(scope, names={**scope.names, node.name.text: STRING}))

    def check_with(self, node: syntax.With, scope: _Scope) -> None:
        found = programs(node.body, self.module)
        check_grants(node, self.module, found, self.types(scope), self.report)
        self.body(node.body, scope)

    def check_exec(self, node: syntax.Exec, scope: _Scope) -> None:
        if isinstance(node.program, syntax.Items):
            self.types(scope).of(node.program)
            if not node.program.items:
                self.fault(
                    f"`{node.keyword.text}` needs a program", node.program.span, 'write `run ["make", "install"]`'
                )
        elif not node.program.text.strip():
            self.fault(f"this `{node.keyword.text}` block is empty", node.span, "put commands into it, or take it out")

    def check_call(self, node: syntax.Call, scope: _Scope) -> None:
        types = self.types(scope, env=False)
        target = self.module.find_def(node.target)
        if target is None:
            if not self.module.hides(node.target):
                self.unknown_def(node)
            for argument in node.arguments:
                types.of(argument.value)
            return
        self.arguments(node, target, types)
        for kind, word in categories(target.body, target.module, {target}):
            if kind not in _ALLOWED[scope.place]:
                message = f"`{node.target}` holds `{word}`, which can't stand in {_ARTICLE[scope.place]}"
                self.fault(message, node.target.span, "call it outside" if scope.place == "layer" else None)
                break

    def unknown_def(self, node: syntax.Call) -> None:
        module = node.target.module
        if module and module.text not in self.module.imports:
            hint = (
                did_you_mean(module.text, set(self.module.imports)) or f"write `import ./file.build as {module.text}`"
            )
            self.fault(f"nothing is imported as `{module.text}`", module.span, hint)
            return
        where = self.module.module_of(node.target)
        known = set(where.defs) if where else set()
        outside = {f"{name}.{item}" for name, other in self.module.imports.items() if other for item in other.defs}
        name = node.target.name
        near = did_you_mean(name.text, known | (set() if module else outside))
        inside = f" in `{module.text}`" if module else ""
        self.fault(f"there is no def `{name.text}`{inside}", name.span, near)

    def arguments(self, node: syntax.Call, target: Def, types: Types) -> None:
        known = {parameter.name: parameter for parameter in target.parameters}
        given: set[str] = set()
        for index, argument in enumerate(node.arguments):
            parameter = self.parameter(index, argument, target, known)
            if parameter is None:
                types.of(argument.value)
                continue
            if parameter.name in given:
                self.fault(f"the argument `{parameter.name}` is given twice", argument.value.span)
            given.add(parameter.name)
            types.expect(argument.value, parameter.type, f"the argument `{parameter.name}`")
        missing = [name for name, parameter in known.items() if parameter.default is None and name not in given]
        if missing:
            message = f"`{node.target}` needs the argument{'s' * (len(missing) > 1)} {one_of(missing, last='and')}"
            notes = (("it is declared here", target.span),)
            self.fault(message, node.target.span, f"write `{_call_form(node.target, target)}`", notes)

    def parameter(
        self, index: int, argument: syntax.Argument, target: Def, known: Mapping[str, Parameter]
    ) -> Parameter | None:
        if argument.name is None:
            if index < len(target.parameters):
                return target.parameters[index]
            count = len(target.parameters)
            message = f"`{target.name}` takes {count} argument{'s' * (count != 1)}, this is one more"
            self.fault(message, argument.value.span, None, (("it is declared here", target.span),))
        elif argument.name.text in known:
            return known[argument.name.text]
        else:
            hint = did_you_mean(argument.name.text, set(known))
            message = f"`{target.name}` has no argument `{argument.name.text}`"
            self.fault(message, argument.name.span, hint, (("it is declared here", target.span),))
        return None

    # --- commands

    def check_command(self, node: syntax.Command, scope: _Scope) -> None:
        spec = COMMANDS[node.keyword.text]
        special = getattr(self, f"special_{node.keyword.text}", None)
        operands = node.operands if special is None else special(node, scope)
        for index, operand in enumerate(operands):
            self.part(operand, spec.operands[min(index, len(spec.operands) - 1)], node, scope)
        seen: dict[str, syntax.Word] = {}
        for option in node.options:
            name = option.name.text
            if name in seen and name != "exclude":
                self.fault(f"`{name}` stands here twice", option.name.span, None, (("the first one", seen[name].span),))
            seen.setdefault(name, option.name)
            for value in option.values:
                self.part(value, spec.options.get(name), node, scope)

    def part(self, operand: syntax.Operand, part: Part, node: syntax.Command, scope: _Scope) -> None:
        if isinstance(operand, syntax.Reference):
            self.reference(operand, node)
        elif part is None:
            if isinstance(operand, syntax.Text):
                self.word(operand, values.image, scope)
        elif isinstance(part, Type):
            self.types(scope).expect(operand, part, _place_name(node))
        elif isinstance(operand, syntax.Text):
            self.word(operand, part, scope, env=node.keyword.text not in _NO_ENV)

    def word(self, text: syntax.Text, check: values.Check, scope: _Scope, *, env: bool = True) -> None:
        """Check a word: the names in it, and the text itself where nothing is computed."""
        self.types(scope, env=env).of(text)
        constant = text.constant
        if constant is not None:
            try:
                check(constant, text.span)
            except SourceError as error:
                self.report(error.diagnostics[0])

    def reference(self, node: syntax.Reference, command: syntax.Command) -> None:
        name = node.name.text
        if command.keyword.text == "from" and name == "scratch" and not node.module:
            return
        if self.module.find_recipe(node) is not None or self.module.hides(node):
            return
        if node.module and node.module.text not in self.module.imports:
            self.fault(f"nothing is imported as `{node.module.text}`", node.module.span)
            return
        where = self.module.module_of(node)
        hint = did_you_mean(name, set(where.recipes) if where else set())
        quoted = f'for an image of a registry, write it in quotes: `from "{node}"`'
        if name == "scratch":
            hint, quoted = None, "`scratch` is empty: there is nothing to copy"
        self.fault(f"there is no stage or image `{node}`", node.span, hint or quoted)

    # --- statements with rules of their own: each gives the operands that are left to check

    def special_unpack(self, node: syntax.Command, scope: _Scope) -> Sequence[syntax.Operand]:
        remote = [operand for operand in node.operands if _is_url(operand)]
        digest = node.option("digest")
        if remote and (len(node.operands) > 1 or node.option("from")):
            self.fault("an archive of a URL is unpacked alone", remote[0].span, "write an `unpack` for each")
        if digest and not remote:
            self.fault("only a URL has a digest here", digest.name.span, "take `digest` out")
        return node.operands

    def special_output(self, node: syntax.Command, scope: _Scope) -> Sequence[syntax.Operand]:
        assert node.kind is not None
        kind = node.kind.text
        if kind not in OUTPUTS:
            hint = did_you_mean(kind, set(OUTPUTS)) or f"there are {one_of(list(OUTPUTS), last='and')}"
            self.fault(f"there is no output `{kind}`", node.kind.span, hint)
            return node.operands
        for operand in node.operands:
            if isinstance(operand, syntax.Text):
                self.word(operand, OUTPUTS[kind], scope, env=False)
        return ()

    def special_unset(self, node: syntax.Command, scope: _Scope) -> Sequence[syntax.Operand]:
        assert node.kind is not None
        kind = node.kind.text
        if kind not in UNSET:
            hint = did_you_mean(kind, set(UNSET)) or f"it takes away {one_of(list(UNSET))}"
            self.fault(f"`unset` knows no `{kind}`", node.kind.span, hint)
            return node.operands
        check = UNSET[kind]
        if check is None and node.operands:
            self.fault(f"there is one `{kind}` only", node.operands[0].span, f"write `unset {kind}`")
        for operand in node.operands:
            if isinstance(operand, syntax.Text) and check is not None:
                self.word(operand, check, scope)
        return ()

    def special_copy(self, node: syntax.Command, scope: _Scope) -> Sequence[syntax.Operand]:
        destination = node.option("to")
        target = destination.values[0] if destination else None
        several = len(node.operands) > 1
        if several and isinstance(target, syntax.Text) and target.constant and not target.constant.endswith("/"):
            hint = f"write `to {target.constant}/`"
            self.fault("several sources need a directory to go into", target.span, hint)
        return node.operands


def _keyword(node: syntax.Statement) -> str:
    return node.keyword.text if isinstance(node, syntax.Command) else ""


def _builds(node: syntax.Statement) -> bool:
    if isinstance(node, syntax.Command):
        return COMMANDS[node.keyword.text].category in ("step", "setting")
    return isinstance(node, syntax.Exec | syntax.Layer | syntax.Call | syntax.With)


def _first(node: syntax.Statement) -> Span:
    keyword = getattr(node, "keyword", None)
    return keyword.span if isinstance(keyword, syntax.Word) else node.span


def _is_url(operand: syntax.Operand) -> bool:
    first = operand.parts[0] if isinstance(operand, syntax.Text) and operand.parts else ""
    return isinstance(first, str) and first.startswith(("http://", "https://"))


def _place_name(node: syntax.Command) -> str:
    if node.keyword.text == "write":
        return "the text of a file"
    if node.keyword.text in ("env", "label", "annotation"):
        return f"the value of `{node.kind.text if node.kind else node.keyword.text}`"
    return f"`{node.keyword.text}`"


def _call_form(reference: syntax.Reference, target: Def) -> str:
    needed = [parameter for parameter in target.parameters if parameter.default is None]
    return f"{reference}({', '.join(f'{parameter.name}: …' for parameter in needed)})"
