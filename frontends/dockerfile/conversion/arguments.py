"""ARG: params, what the platform says, and values that are made of others."""

from __future__ import annotations

from buildkit_py.dataclass import dataclass, field
from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.language import Marks, UntoldError
from frontends.dockerfile.conversion.notes import Notes
from frontends.dockerfile.conversion.params import Params
from frontends.dockerfile.conversion.stage import StageConversion
from frontends.dockerfile.conversion.values import Scope, Variable
from frontends.dockerfile.scope import BUILTIN

PLATFORM = {
    "TARGETPLATFORM": "platform",
    "TARGETOS": "platform.os",
    "TARGETARCH": "platform.arch",
    "TARGETVARIANT": "platform.variant",
}
BUILDER = frozenset({"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "BUILDOSVERSION"})


def predefined(marks: Marks, target: str) -> dict[str, Variable]:
    """The arguments that FROM knows without a declaration."""
    found = {name: Variable(kind="argument", text=marks.mark(code), known=None) for name, code in PLATFORM.items()}
    constants = {"TARGETOSVERSION": "", "TARGETSTAGE": target or "default"}
    return found | {name: Variable(kind="argument", text=text, known=text) for name, text in constants.items()}


@dataclass(slots=True, kw_only=True)
class Arguments:
    """Reads ARG instructions into a scope; `where` names the stage."""

    params: Params
    notes: Notes
    scope: Scope
    known: dict[str, Variable] = field(default_factory=dict)
    where: str = "global"

    def read(self, node: syntax.Arg) -> None:
        """All arguments of an instruction, one after the other."""
        for pair in node.pairs:
            if pair.value is None and (pair.name in BUILTIN or pair.name in self.scope.variables):
                self._again(pair)
            elif pair.value is None and pair.name in self.known:
                self.scope.variables[pair.name] = self.known[pair.name]
            elif pair.value is None and pair.name in BUILDER:
                self._builder(pair)
            else:
                self.scope.variables[pair.name] = self._made(pair, node)

    def _again(self, pair: syntax.Pair) -> None:
        variable = self.scope.variables.get(pair.name)
        if variable is not None and variable.kind == "env":
            text = f"{pair.name} stays what ENV says: it can't be given as an argument too"
            self.notes.warn(text, pair.span)

    def _builder(self, pair: syntax.Pair) -> None:
        text = f"{pair.name} has no equivalent: a Buildfile knows the platform that it builds for alone"
        self.notes.untold(text, pair.span, f"give it as a param: param {pair.name}: string = …")

    def _made(self, pair: syntax.Pair, node: syntax.Arg) -> Variable:
        cases = self.scope.cases([pair.value or ""], pair.span)
        if len(cases) > 1:
            raise UntoldError(f"the default of {pair.name} depends on whether another argument is empty")
        default = cases[0].texts[0]
        outside = {code for code in self.scope.marks.names(default) if code.startswith(("env.", "platform"))}
        if outside:
            shown = " and ".join(sorted(outside))
            self.notes.warn(f"{pair.name} can't be given any more: it is made of {shown}", pair.span)
            return Variable(kind="argument", text=default, known=default)
        try:
            self.scope.marks.string(default)
        except UntoldError as error:
            self.notes.untold(f"{pair.name} can't be given: {error.message}", pair.span, error.hint)
            return Variable(kind="argument", text=default, known=default)
        comments = node.comments if len(node.pairs) == 1 else ()
        param = self.params.declare(
            pair.name, default if pair.value is not None else None, pair.span, comments, self.where
        )
        mark = self.scope.marks.mark(param.name)
        filled = bool(default) and self.scope.marks.only(default) is None
        return Variable(kind="argument", text=mark, known=mark, param=param.name, filled=filled)


def arg(stage: StageConversion, node: syntax.Arg) -> None:
    """ARG in a stage."""
    before = {name: variable for name, variable in stage.scope.variables.items() if variable.kind == "env"}
    reader = Arguments(
        params=stage.shared.params,
        notes=stage.shared.notes,
        scope=stage.scope,
        known=dict(stage.shared.globals),
        where=stage.shared.names[stage.number],
    )
    reader.read(node)
    for name, variable in before.items():
        if stage.scope.variables[name].kind == "argument":
            stage.hidden[name] = variable.known or ""
