"""What a build file says, as written: frozen nodes with spans. Nothing here is resolved or checked.

File ── Statement* ── Param Secret Def Import Recipe(stage, image)       declarations
                      Layer If For With Call Test                        structure, each with a Body
                      Exec Command                                       steps, settings, items of a test
                      Broken                                             what could not be parsed
Expression ── Text Number Boolean Name Attribute Apply Items Sum Negation Compare Logic
"""

from __future__ import annotations

from typing import Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Span
from frontends.buildfile.shell import Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """An identifier or keyword."""

    text: str
    span: Span


# --- expressions


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string in quotes or a bare word: literal pieces and `${…}` expressions.

    `dollars` are the `$name` without braces that stand in it, which mean nothing and are probably a slip.
    """

    parts: tuple[str | Expression, ...]
    span: Span
    bare: bool = False
    dollars: tuple[Word, ...] = ()

    @property
    def constant(self) -> str | None:
        """The text, where no expression stands in it."""
        if all(isinstance(part, str) for part in self.parts):
            return "".join(part for part in self.parts if isinstance(part, str))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """An integer."""

    value: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A param, an argument, a loop variable, or `platform`."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """`platform.os`, `env.PATH`."""

    owner: Word
    name: Word
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """A function applied to arguments."""

    function: Word
    arguments: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    items: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Lists, one after another."""

    operands: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    """`not x`."""

    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """`==`, `!=`, `in`, `not in`."""

    operator: Literal["==", "!=", "in", "not in"]
    left: Expression
    right: Expression
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """`and`, `or` of two or more."""

    operator: Literal["and", "or"]
    operands: tuple[Expression, ...]
    span: Span


Expression = Text | Number | Boolean | Name | Attribute | Apply | Items | Sum | Negation | Compare | Logic


# --- statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`buildfile 1`."""

    version: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeName:
    """The name of a type, or the values of an enumeration."""

    name: Word | None
    choices: tuple[Text, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A param of the file, or (without help) a parameter of a def."""

    name: Word
    type: TypeName
    default: Expression | None
    help: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret that the file may use."""

    name: Word
    help: Text | None
    comment: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Def:
    """A named sequence of statements with parameters."""

    name: Word
    parameters: tuple[Param, ...]
    body: Body
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Another build file under a name."""

    path: Text
    name: Word
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A stage or an image."""

    kind: Literal["stage", "image"]
    name: Word
    body: Body
    help: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Steps that make one layer."""

    keyword: Word
    name: Text
    body: Body
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """Conditions tried in order, each with its body; `otherwise` where none holds."""

    keyword: Word
    branches: tuple[tuple[Expression, Body], ...]
    otherwise: Body
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    """A body for each item of a list."""

    keyword: Word
    name: Word
    values: Expression
    body: Body
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantArgument:
    """One argument of a grant; `key` is None where it stands by position."""

    key: Word | None
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One thing that `with` gives."""

    name: Word
    arguments: tuple[GrantArgument, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class With:
    """Grants for the statements of `body`: those of its block, or the one that follows."""

    grants: tuple[Grant, ...]
    body: Body
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`name` or `module.name`: a def, stage or image."""

    module: Word | None
    name: Word
    span: Span

    def __str__(self) -> str:
        return f"{self.module.text}.{self.name.text}" if self.module else self.name.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a call; `name` is None where it stands by position."""

    name: Word | None
    value: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The statements of a def, with arguments."""

    target: Reference
    arguments: tuple[Argument, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Checks of the finished image."""

    __test__ = False
    keyword: Word
    name: Text
    body: Body
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """`run` or `host`: shell text, or a list of arguments."""

    keyword: Word
    program: Shell | Items
    span: Span


Operand = Expression | Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A word of a statement with what belongs to it, as `to /b` or `owner app`."""

    name: Word
    values: tuple[Operand, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Any other step, setting or item of a test: a keyword, operands and options."""

    keyword: Word
    operands: tuple[Operand, ...]
    options: tuple[Option, ...]
    span: Span
    kind: Word | None = field(default=None)

    def option(self, name: str) -> Option | None:
        """The first option of that name."""
        return next((option for option in self.options if option.name.text == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A statement that could not be parsed; `declares` is the name that it seems to declare."""

    declares: str | None
    span: Span


Statement = (
    Header | Param | Secret | Def | Import | Recipe | Layer | If | For | With | Call | Test | Exec | Command | Broken
)
Body = tuple[Statement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A parsed file."""

    body: Body
