"""The types of expressions, known without a value: every undefined name and wrong type is found here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax
from frontends.buildfile.functions import FUNCTIONS
from frontends.buildfile.model import BOOL, INT, LIST, PLATFORM, STRING, UNKNOWN, Type
from frontends.buildfile.words import did_you_mean, one_of

Report = Callable[[Diagnostic], None]
ATTRIBUTES = ("os", "arch", "variant")


class Types:
    """Checks expressions against the names that are visible; `env` says whether `env.NAME` may be used here, and
    `variables` holds all that it may name, where that is known."""

    def __init__(
        self,
        names: Mapping[str, Type],
        hidden: set[str],
        report: Report,
        *,
        env: bool,
        platform: bool,
        variables: frozenset[str] | None = None,
    ):
        self.names = names
        self.hidden = hidden
        self.report = report
        self.env = env
        self.platform = platform
        self.variables = variables

    def fault(self, message: str, span: Span, hint: str | None = None, label: str | None = None) -> Type:
        self.report(Diagnostic(message=message, span=span, hint=hint, label=label))
        return UNKNOWN

    def of(self, node: syntax.Expression) -> Type:
        """The type of an expression; `UNKNOWN` where a fault was reported."""
        made: Type = getattr(self, f"of_{type(node).__name__.lower()}")(node)
        return made

    def expect(self, node: syntax.Expression, wanted: Type, what: str) -> None:
        """Report an expression that can't stand for `wanted`; `what` names the place, as `a condition`."""
        found = self.of(node)
        if not fits(found, wanted):
            self.fault(f"{what} must be {wanted}, this is {found}", node.span, _remedy(node, found, wanted))
        elif wanted.choices and isinstance(node, syntax.Text) and node.constant is not None:
            self.choice(node.constant, wanted, node.span, what)

    def choice(self, text: str, wanted: Type, span: Span, what: str) -> None:
        """Report a constant that is not one of an enumeration's values."""
        if text not in wanted.choices:
            hint = did_you_mean(text, set(wanted.choices)) or f"write {one_of(wanted.choices)}"
            self.fault(f'{what} is never "{text}"', span, hint.replace("`", '"'))

    def of_text(self, node: syntax.Text) -> Type:
        for part in node.parts:
            if not isinstance(part, str):
                self.of(part)
        for word in node.dollars:
            if word.text in self.names:
                hint = f"write `${{{word.text}}}`; write `\\${word.text}` if the characters themselves are meant"
                self.fault(f"`${word.text}` is not replaced in a string", word.span, hint)
        return STRING

    def of_number(self, node: syntax.Number) -> Type:
        return INT

    def of_boolean(self, node: syntax.Boolean) -> Type:
        return BOOL

    def of_name(self, node: syntax.Name) -> Type:
        if node.name == "platform":
            if not self.platform:
                return self.fault("no platform is known here", node.span, "use it inside a stage, an image or a def")
            return PLATFORM
        if node.name in self.names:
            return self.names[node.name]
        if node.name in self.hidden:
            return UNKNOWN
        if node.name in ("string", "int", "bool", "list"):
            return self.fault(f"`{node.name}` is a type, not a value", node.span)
        hint = did_you_mean(node.name, set(self.names) | {"platform"})
        return self.fault(
            f"nothing is called `{node.name}` here", node.span, hint or f'for a text, write "{node.name}"'
        )

    def of_attribute(self, node: syntax.Attribute) -> Type:
        owner = node.owner.text
        if owner == "platform":
            self.of_name(syntax.Name(name=owner, span=node.owner.span))
            if node.name.text not in ATTRIBUTES:
                hint = did_you_mean(node.name.text, set(ATTRIBUTES)) or f"it has {one_of(ATTRIBUTES, last='and')}"
                return self.fault(f"a platform has no `{node.name.text}`", node.name.span, hint)
            return STRING
        if owner == "env":
            if not self.env:
                hint = "`env.NAME` can be used in the settings and steps of a stage or an image"
                return self.fault("the environment is not known here", node.span, hint)
            if self.variables is not None and node.name.text not in self.variables:
                name = node.name.text
                near = did_you_mean(name, self.variables)
                self.fault(f"no variable `{name}` is set here", node.span, near or f'set it before: `env {name} = "…"`')
            return STRING
        known = owner in self.names or owner in self.hidden
        hint = "`platform.os` and `env.PATH` are all there is with a dot"
        return (
            UNKNOWN
            if known and self.names.get(owner) == UNKNOWN
            else self.fault(f"`{owner}` has no `{node.name.text}`", node.span, hint)
        )

    def of_apply(self, node: syntax.Apply) -> Type:
        function = FUNCTIONS.get(node.function.text)
        found = [self.of(argument) for argument in node.arguments]
        if function is None:
            hint = (
                did_you_mean(node.function.text, set(FUNCTIONS)) or f"there are {one_of(sorted(FUNCTIONS), last='and')}"
            )
            return self.fault(f"there is no function `{node.function.text}`", node.function.span, hint)
        if len(found) != len(function.parameters):
            count = len(function.parameters)
            message = f"`{node.function.text}` takes {count} argument{'s' * (count > 1)}, not {len(found)}"
            self.fault(message, node.span, f"write `{function.form}`")
            return function.result
        for argument, kind, accepted in zip(node.arguments, found, function.parameters, strict=True):
            if not any(fits(kind, wanted, strict=True) for wanted in accepted):
                wanted_text = " or ".join(str(wanted) for wanted in accepted)
                message = f"`{node.function.text}` takes {wanted_text} here, this is {kind}"
                self.fault(message, argument.span, f"it is written `{function.form}`")
        return function.result

    def of_items(self, node: syntax.Items) -> Type:
        for item in node.items:
            self.expect(item, STRING, "an item of a list")
        return LIST

    def of_sum(self, node: syntax.Sum) -> Type:
        for operand in node.operands:
            found = self.of(operand)
            if not fits(found, LIST):
                hint = 'to join texts, write "${a}${b}"' if found.kind in ("string", "int") else None
                return self.fault(f"`+` joins lists, this is {found}", operand.span, hint)
        return LIST

    def of_negation(self, node: syntax.Negation) -> Type:
        self.expect(node.operand, BOOL, "what follows `not`")
        return BOOL

    def of_logic(self, node: syntax.Logic) -> Type:
        for operand in node.operands:
            self.expect(operand, BOOL, f"each side of `{node.operator}`")
        return BOOL

    def of_compare(self, node: syntax.Compare) -> Type:
        left, right = self.of(node.left), self.of(node.right)
        if node.operator in ("in", "not in"):
            self._check_in(node, left, right)
        elif not _comparable(left, right):
            hint = _remedy(node.right, right, left) if left.kind != "platform" else 'write `platform == "linux/amd64"`'
            self.fault(f"{left} is never equal to {right}", node.span, hint)
        else:
            self._check_choices(node.left, left, node.right)
            self._check_choices(node.right, right, node.left)
        return BOOL

    def _check_in(self, node: syntax.Compare, left: Type, right: Type) -> None:
        if not fits(right, LIST):
            hint = "for a part of a text, write `contains(text, part)`" if right.kind == "string" else None
            self.fault(f"`{node.operator}` looks into a list, this is {right}", node.right.span, hint)
        elif left.kind not in ("string", "platform", "unknown"):
            self.fault(f"a list holds strings, this is {left}", node.left.span)
        elif isinstance(node.right, syntax.Items):
            for item in node.right.items:
                self._check_choices(node.left, left, item)

    def _check_choices(self, subject: syntax.Expression, kind: Type, other: syntax.Expression) -> None:
        if kind.choices and isinstance(other, syntax.Text) and other.constant is not None:
            name = f"`{subject.name}`" if isinstance(subject, syntax.Name) else "this"
            self.choice(other.constant, kind, other.span, name)


def fits(found: Type, wanted: Type, *, strict: bool = False) -> bool:
    """Whether a value may stand where another type is wanted: a number or bool may where text is."""
    if "unknown" in (found.kind, wanted.kind) or found.kind == wanted.kind:
        return True
    return wanted.kind == "string" and not wanted.choices and not strict and found.kind in ("int", "bool", "platform")


def _comparable(left: Type, right: Type) -> bool:
    kinds = {left.kind, right.kind}
    return len(kinds) == 1 or "unknown" in kinds or kinds == {"platform", "string"}


def _remedy(node: syntax.Expression, found: Type, wanted: Type) -> str | None:
    literal = node.constant if isinstance(node, syntax.Text) else None
    if wanted.kind == "list" and found.kind == "string":
        words = ", ".join(f'"{word}"' for word in (literal or "a b").split())
        return f"write it as a list: `[{words}]`"
    if wanted.kind == "string" and found.kind == "list":
        return 'write `join(list, " ")`'
    plain = literal is not None and (literal.isdecimal() if wanted.kind == "int" else literal in ("true", "false"))
    if wanted.kind in ("int", "bool") and plain:
        return f"write it without quotes: `{literal}`"
    if wanted.kind == "string" and isinstance(node, syntax.Number | syntax.Boolean):
        return "write it in quotes"
    if wanted.kind == "bool":
        return 'write a comparison, as `variant == "debug"`'
    return None
