"""Expressions to values, once params and platform are known. Types were checked before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from buildkit_py.errors import UsageError
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from frontends.buildfile import syntax
from frontends.buildfile.functions import FUNCTIONS
from frontends.buildfile.model import Parameter, Value
from frontends.buildfile.text import fault
from frontends.buildfile.values import Check
from frontends.buildfile.words import one_of

Environment = Callable[[str, Span], str]
MAX_TEXT = 4 * 1024 * 1024
MAX_ITEMS = 100_000


def to_text(value: Value) -> str:
    """A value inside a string or a step's environment: a list is its items joined by one space."""
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


class Evaluator:
    """Evaluates against the visible names; `environment` answers `env.NAME` where there is one."""

    def __init__(
        self, names: Mapping[str, Value], platform: Platform | None, environment: Environment | None = None
    ) -> None:
        self.names = names
        self.platform = platform
        self.environment = environment

    def value(self, node: syntax.Expression) -> Value:
        """The value of an expression."""
        made: Value = getattr(self, f"value_{type(node).__name__.lower()}")(node)
        return made

    def string(self, node: syntax.Expression) -> str:
        """The value as text."""
        text = to_text(self.value(node))
        if "\0" in text:
            raise fault("a text can't hold a NUL character", node.span)
        return text

    def list(self, node: syntax.Expression) -> tuple[str, ...]:
        """The value as a list."""
        value = self.value(node)
        return value if isinstance(value, tuple) else (to_text(value),)

    def truth(self, node: syntax.Expression) -> bool:
        """The value of a condition."""
        return self.value(node) is True

    def word(self, node: syntax.Operand, check: Check) -> str:
        """A checked word."""
        assert not isinstance(node, syntax.Reference)
        return check(self.string(node), node.span)

    def value_text(self, node: syntax.Text) -> Value:
        text = "".join(part if isinstance(part, str) else to_text(self.value(part)) for part in node.parts)
        if len(text) > MAX_TEXT:
            raise fault("this text is too long", node.span, hint=f"a text has at most {MAX_TEXT} characters")
        return text

    def value_number(self, node: syntax.Number) -> Value:
        return node.value

    def value_boolean(self, node: syntax.Boolean) -> Value:
        return node.value

    def value_name(self, node: syntax.Name) -> Value:
        if node.name == "platform" and self.platform is not None:
            return self.platform
        return self.names[node.name]

    def value_attribute(self, node: syntax.Attribute) -> Value:
        if node.owner.text == "platform" and self.platform is not None:
            attribute = "architecture" if node.name.text == "arch" else node.name.text
            return str(getattr(self.platform, attribute))
        if self.environment is None:
            raise fault("the environment is not known here", node.span)
        return self.environment(node.name.text, node.span)

    def value_apply(self, node: syntax.Apply) -> Value:
        function = FUNCTIONS[node.function.text]
        return function.apply(*(self.value(argument) for argument in node.arguments))

    def value_items(self, node: syntax.Items) -> Value:
        return tuple(self.string(item) for item in node.items)

    def value_sum(self, node: syntax.Sum) -> Value:
        items = tuple(item for operand in node.operands for item in self.list(operand))
        if len(items) > MAX_ITEMS:
            raise fault("this list is too long", node.span, hint=f"a list has at most {MAX_ITEMS} items")
        return items

    def value_negation(self, node: syntax.Negation) -> Value:
        return not self.truth(node.operand)

    def value_logic(self, node: syntax.Logic) -> Value:
        tests = (self.truth(operand) for operand in node.operands)
        return all(tests) if node.operator == "and" else any(tests)

    def value_compare(self, node: syntax.Compare) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if node.operator in ("in", "not in"):
            members = right if isinstance(right, tuple) else ()
            found = any(self.equal(left, item, node.right.span) for item in members)
            return found == (node.operator == "in")
        return self.equal(left, right, node.span) == (node.operator == "==")

    def equal(self, left: Value, right: Value, span: Span) -> bool:
        """Equality, where a text beside a platform is read as a platform."""
        if isinstance(left, Platform) and isinstance(right, str):
            return left == _platform(right, span)
        if isinstance(right, Platform) and isinstance(left, str):
            return right == _platform(left, span)
        return left == right


def _platform(text: str, span: Span) -> Platform:
    try:
        return Platform.parse(text)
    except UsageError as error:
        raise fault(error.message, span, hint=error.hint) from None


def converted(parameter: Parameter, value: Value, span: Span) -> Value:
    """An argument as its parameter wants it: text of what is not text, and only the values of an enumeration."""
    if parameter.type.kind == "string":
        value = to_text(value)
    if parameter.type.choices and value not in parameter.type.choices:
        hint = f"it is {one_of(parameter.type.choices)}".replace("`", '"')
        raise fault(f'`{parameter.name}` can\'t be "{value}"', span, hint=hint)
    return value
