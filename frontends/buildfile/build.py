"""From the grammar's tree to syntax nodes. Knows the tree by its shape (`data`, `children`), not by its library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax
from frontends.buildfile.literal import ParseExpression, read_text
from frontends.buildfile.mask import Masked
from frontends.buildfile.text import SourceText, fault

_DECLARES = re.compile(r"(?:param|secret|def|stage|image)[ \t]+([A-Za-z_][A-Za-z0-9_-]*)")
_IMPORTS = re.compile(r"import\b.*\bas[ \t]+([A-Za-z_][A-Za-z0-9_]*)")
_KINDED = ("unset", "output")
_MAX_INT = 2**63


class Tree(Protocol):
    """A rule's node: its name, its children (nodes and tokens), and where it stands."""

    data: Any
    children: list[Any]
    meta: Any


class Token(Protocol):
    """A token: its type and offsets in the masked text."""

    type: str
    start_pos: int
    end_pos: int


class Builder:
    """Builds syntax nodes of one text. Faults of single statements are kept in `diagnostics`; the statement becomes
    `Broken`."""

    def __init__(self, source: SourceText, masked: Masked, base: int, parse: ParseExpression) -> None:
        self.source = source
        self.masked = masked
        self.base = base
        self.parse = parse
        self.diagnostics: list[Diagnostic] = []
        self.comments = {source.position(comment.start)[0]: comment for comment in masked.comments}

    def file(self, tree: Tree) -> syntax.File:
        """The whole file."""
        return syntax.File(body=self.body(tree.children))

    def expression(self, node: Any) -> syntax.Expression:
        """Any expression, or the word or string token that stands for one."""
        if not hasattr(node, "data"):
            return self.text(node)
        made: syntax.Expression = getattr(self, f"expression_{node.data}")(node.children, self.tree_span(node))
        return made

    # --- pieces

    def tree_span(self, tree: Tree) -> Span:
        return self.source.span(self.base + tree.meta.start_pos, self.base + tree.meta.end_pos)

    def token_span(self, token: Token) -> Span:
        return self.source.span(self.base + token.start_pos, self.base + token.end_pos)

    def raw(self, token: Token) -> str:
        return self.source.text[self.base + token.start_pos : self.base + token.end_pos]

    def word(self, token: Token) -> syntax.Word:
        return syntax.Word(text=self.raw(token), span=self.token_span(token))

    def text(self, token: Token) -> syntax.Text:
        return read_text(self.source, self.base + token.start_pos, self.base + token.end_pos, self.parse)

    def help(self, span: Span) -> str:
        """The comment on the line that `span` ends on."""
        comment = self.comments.get(span.end_line)
        return self.source.text[comment.start + 1 : comment.end].strip() if comment else ""

    # --- statements

    def body(self, nodes: Sequence[Any]) -> syntax.Body:
        """Statements in order; a `with` line takes the statement that follows it."""
        made: list[syntax.Statement] = []
        pending: list[syntax.With] = []
        for node in nodes:
            if not hasattr(node, "data"):
                continue
            statement = self.statement(node)
            if isinstance(statement, syntax.With) and node.children[-1].data != "block":
                pending.append(statement)
                continue
            while pending:
                statement = _hold(pending.pop(), statement)
            made.append(statement)
        if pending:
            self.diagnostics.append(
                Diagnostic(
                    message="nothing follows this `with`",
                    span=pending[-1].span,
                    hint="`with` holds for the statement after it, or for a block: `with network { … }`",
                )
            )
        return tuple(made)

    def statement(self, node: Tree) -> syntax.Statement:
        try:
            made: syntax.Statement = getattr(self, f"statement_{node.data}")(node.children, self.tree_span(node))
            return made
        except SourceError as error:
            self.diagnostics += error.diagnostics
            return self.broken(node)

    def broken(self, node: Tree) -> syntax.Broken:
        text = self.source.text[self.base + node.meta.start_pos : self.base + node.meta.end_pos]
        match = _DECLARES.match(text) or _IMPORTS.match(text)
        return syntax.Broken(declares=match.group(1) if match else None, span=self.tree_span(node))

    def statement_broken(self, children: list[Any], span: Span) -> syntax.Statement:
        start = self.base + children[0].start_pos
        text = self.source.text[start : self.base + children[0].end_pos]
        match = _DECLARES.match(text) or _IMPORTS.match(text)
        return syntax.Broken(declares=match.group(1) if match else None, span=span)

    def statement_header(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.Header(version=self.integer(children[1]), span=span)

    def statement_param(self, children: list[Any], span: Span) -> syntax.Statement:
        return self.parameter(children[1:], span, self.help(span))

    def parameter(self, children: list[Any], span: Span, help: str = "") -> syntax.Param:  # noqa: A002
        return syntax.Param(
            name=self.word(children[0]),
            type=self.type(children[1]),
            default=self.expression(children[2]) if len(children) > 2 else None,
            help=help,
            span=span,
        )

    def type(self, tree: Tree) -> syntax.TypeName:
        first = tree.children[0]
        named = first.type == "NAME"
        return syntax.TypeName(
            name=self.word(first) if named else None,
            choices=() if named else tuple(self.text(token) for token in tree.children if token.type == "STRING"),
            span=self.tree_span(tree),
        )

    def statement_secret(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.Secret(
            name=self.word(children[1]),
            help=self.text(children[2]) if len(children) > 2 else None,
            comment=self.help(span),
            span=span,
        )

    def statement_definition(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.Def(
            name=self.word(children[1]),
            parameters=tuple(self.parameter(item.children, self.tree_span(item)) for item in children[2:-1]),
            body=self.body(children[-1].children),
            span=self.until_block(span, children[1]),
        )

    def statement_import_(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.Import(path=self.text(children[1]), name=self.word(children[3]), span=span)

    def statement_recipe(self, children: list[Any], span: Span) -> syntax.Statement:
        head = self.until_block(span, children[1])
        return syntax.Recipe(
            kind="stage" if children[0].type == "STAGE" else "image",
            name=self.word(children[1]),
            body=self.body(children[2].children),
            help=self.help(head),
            span=head,
        )

    def until_block(self, span: Span, token: Token) -> Span:
        """From the beginning of `span` to the end of `token`."""
        end = self.token_span(token)
        return Span(span.file, span.line, span.column, end.end_line, end.end_column)

    def statement_layer(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.Layer(
            keyword=self.word(children[0]),
            name=self.text(children[1]),
            body=self.body(children[2].children),
            span=self.until_block(span, children[1]),
        )

    def statement_conditional(self, children: list[Any], span: Span) -> syntax.Statement:
        otherwise: syntax.Body = ()
        if getattr(children[-1], "data", "") == "otherwise":
            otherwise = self.body(children.pop().children[1].children)
        parts = [child for child in children if getattr(child, "type", "") not in ("IF", "ELSE")]
        branches = tuple(
            (self.expression(condition), self.body(block.children))
            for condition, block in zip(parts[::2], parts[1::2], strict=True)
        )
        return syntax.If(keyword=self.word(children[0]), branches=branches, otherwise=otherwise, span=span)

    def statement_loop(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.For(
            keyword=self.word(children[0]),
            name=self.word(children[1]),
            values=self.expression(children[3]),
            body=self.body(children[4].children),
            span=self.until_block(span, children[1]),
        )

    def statement_with_(self, children: list[Any], span: Span) -> syntax.Statement:
        block = children[-1] if children[-1].data == "block" else None
        grants = tuple(self.grant(child) for child in children[1:] if child.data == "grant")
        return syntax.With(grants=grants, body=self.body(block.children) if block else (), span=span)

    def grant(self, tree: Tree) -> syntax.Grant:
        return syntax.Grant(
            name=self.word(tree.children[0]),
            arguments=tuple(self.grant_argument(item.children) for item in tree.children[1:]),
            span=self.tree_span(tree),
        )

    def grant_argument(self, children: list[Any]) -> syntax.GrantArgument:
        key = None
        if len(children) == 2:
            raw = self.raw(children[0])
            name = raw[:-1].rstrip()
            start = self.base + children[0].start_pos
            key = syntax.Word(text=name, span=self.source.span(start, start + len(name)))
        return syntax.GrantArgument(key=key, value=self.text(children[-1]))

    def statement_call(self, children: list[Any], span: Span) -> syntax.Statement:
        names = [child for child in children if not hasattr(child, "data")]
        arguments = tuple(self.argument(child.children) for child in children if hasattr(child, "data"))
        return syntax.Call(target=self.reference(names), arguments=arguments, span=span)

    def argument(self, children: list[Any]) -> syntax.Argument:
        name = self.word(children[0]) if len(children) == 2 else None
        return syntax.Argument(name=name, value=self.expression(children[-1]))

    def reference(self, tokens: list[Any]) -> syntax.Reference:
        first, last = self.word(tokens[0]), self.word(tokens[-1])
        span = Span(first.span.file, first.span.line, first.span.column, last.span.end_line, last.span.end_column)
        return syntax.Reference(module=first if len(tokens) == 2 else None, name=last, span=span)

    def statement_test(self, children: list[Any], span: Span) -> syntax.Statement:
        return syntax.Test(
            keyword=self.word(children[0]),
            name=self.text(children[1]),
            body=self.body(children[2].children),
            span=self.until_block(span, children[1]),
        )

    def statement_exec(self, children: list[Any], span: Span) -> syntax.Statement:
        program = children[1]
        if not hasattr(program, "data"):
            shell = self.masked.shells[self.base + program.start_pos]
            return syntax.Exec(keyword=self.word(children[0]), program=shell, span=span)
        items = self.expression_list(program.children, self.tree_span(program))
        return syntax.Exec(keyword=self.word(children[0]), program=items, span=span)

    def statement_command(self, children: list[Any], span: Span) -> syntax.Statement:
        keyword = self.word(children[0])
        rest = children[1:]
        kind = None
        if rest and (keyword.text in _KINDED or getattr(rest[0], "type", "") in ("NONE", "NAME")):
            kind = self.word(rest.pop(0))
        return syntax.Command(
            keyword=keyword,
            kind=kind,
            operands=tuple(self.operand(child) for child in rest if getattr(child, "data", "") != "option"),
            options=tuple(self.option(child) for child in rest if getattr(child, "data", "") == "option"),
            span=span,
        )

    def operand(self, node: Any) -> syntax.Operand:
        if getattr(node, "data", "") == "ref":
            tokens = node.children
            return self.text(tokens[0]) if tokens[0].type == "STRING" else self.reference(tokens)
        return self.expression(node)

    def option(self, tree: Tree) -> syntax.Option:
        return syntax.Option(
            name=self.word(tree.children[0]), values=tuple(self.operand(child) for child in tree.children[1:])
        )

    # --- expressions

    def integer(self, token: Token) -> int:
        raw = self.raw(token)
        if len(raw) > 20 or abs(int(raw)) >= _MAX_INT:
            raise fault("this number is too large", self.token_span(token), hint="an int has 64 bits")
        return int(raw)

    def expression_string(self, children: list[Any], span: Span) -> syntax.Expression:
        return self.text(children[0])

    def expression_number(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Number(value=self.integer(children[0]), span=span)

    def expression_boolean(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Boolean(value=children[0].type == "TRUE", span=span)

    def expression_name(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Name(name=self.raw(children[0]), span=span)

    def expression_attribute(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Attribute(owner=self.word(children[0]), name=self.word(children[1]), span=span)

    def expression_apply(self, children: list[Any], span: Span) -> syntax.Expression:
        arguments = tuple(self.expression(child) for child in children[1:])
        return syntax.Apply(function=self.word(children[0]), arguments=arguments, span=span)

    def expression_list(self, children: list[Any], span: Span) -> syntax.Items:
        return syntax.Items(items=tuple(self.expression(child) for child in children), span=span)

    def expression_sum(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Sum(operands=tuple(self.expression(child) for child in children), span=span)

    def expression_negation(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Negation(operand=self.expression(children[-1]), span=span)

    def expression_compare(self, children: list[Any], span: Span) -> syntax.Expression:
        left, operator, right = children
        raw = self.raw(operator)
        return syntax.Compare(
            operator="not in" if raw.startswith("not") else raw,  # type: ignore[arg-type]
            left=self.expression(left),
            right=self.expression(right),
            span=span,
        )

    def expression_all_of(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Logic(operator="and", operands=tuple(self.expression(child) for child in children), span=span)

    def expression_any_of(self, children: list[Any], span: Span) -> syntax.Expression:
        return syntax.Logic(operator="or", operands=tuple(self.expression(child) for child in children), span=span)


def _hold(grants: syntax.With, statement: syntax.Statement) -> syntax.With:
    return syntax.With(grants=grants.grants, body=(statement,), span=grants.span)
