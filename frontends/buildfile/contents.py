"""What a body holds, through blocks and called defs: which kinds of statements, which programs, which other recipes."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.source import Span
from frontends.buildfile import syntax
from frontends.buildfile.commands import COMMANDS
from frontends.buildfile.model import Def, Module, Recipe


def walk(
    body: syntax.Body, module: Module, seen: set[Def] | None = None, *, calls: bool = True
) -> Iterator[tuple[syntax.Statement, Module]]:
    """Every statement with the module it was written in; each def is entered once."""
    seen = set() if seen is None else seen
    for statement in body:
        yield statement, module
        for inner in blocks(statement):
            yield from walk(inner, module, seen, calls=calls)
        if calls and isinstance(statement, syntax.Call):
            target = module.find_def(statement.target)
            if target is not None and target not in seen:
                seen.add(target)
                yield from walk(target.body, target.module, seen)


def blocks(statement: syntax.Statement) -> Iterator[syntax.Body]:
    """The bodies directly inside a statement."""
    if isinstance(statement, syntax.If):
        for _, body in statement.branches:
            yield body
        yield statement.otherwise
    elif isinstance(statement, syntax.Layer | syntax.For | syntax.With | syntax.Test):
        yield statement.body


def category(statement: syntax.Statement) -> tuple[str, str] | None:
    """The category of a statement and its first word; None for structure and calls."""
    if isinstance(statement, syntax.Exec):
        return "exec", statement.keyword.text
    if isinstance(statement, syntax.Layer):
        return "layer", "layer"
    if isinstance(statement, syntax.Test):
        return "image", "test"
    if isinstance(statement, syntax.Command):
        return COMMANDS[statement.keyword.text].category, statement.keyword.text
    return None


def categories(body: syntax.Body, module: Module, seen: set[Def]) -> Iterator[tuple[str, str]]:
    """The categories of all statements of a def's body, those of tests and layers left out."""
    for statement in body:
        found = category(statement)
        if found is not None:
            yield found
        if isinstance(statement, syntax.Layer | syntax.Test):
            continue
        for inner in blocks(statement):
            yield from categories(inner, module, seen)
        if isinstance(statement, syntax.Call):
            target = module.find_def(statement.target)
            if target is not None and target not in seen:
                seen.add(target)
                yield from categories(target.body, target.module, seen)


def programs(body: syntax.Body, module: Module) -> set[str]:
    """Which of `run` and `host` a body holds; `?` where something in it could not be read."""
    found: set[str] = set()
    for statement, where in walk(body, module):
        if isinstance(statement, syntax.Exec):
            found.add(statement.keyword.text)
        elif isinstance(statement, syntax.Broken) or (
            isinstance(statement, syntax.Call) and where.find_def(statement.target) is None
        ):
            found.add("?")
    return found


def recipes_used(body: syntax.Body, module: Module) -> Iterator[tuple[Recipe, Span]]:
    """The stages and images that a body starts from, copies from or mounts."""
    for statement, where in walk(body, module):
        for reference in references(statement):
            target = where.find_recipe(reference)
            if target is not None:
                yield target, reference.span


def references(statement: syntax.Statement) -> Iterator[syntax.Reference]:
    """The references to stages and images in a statement itself."""
    if isinstance(statement, syntax.Command):
        parts = [*statement.operands, *(value for option in statement.options for value in option.values)]
        yield from (part for part in parts if isinstance(part, syntax.Reference))
    elif isinstance(statement, syntax.With):
        for grant in statement.grants:
            for argument in grant.arguments:
                if grant.name.text == "mount" and argument.key and argument.key.text == "from" and argument.value.bare:
                    yield reference_of(argument.value)


def reference_of(text: syntax.Text) -> syntax.Reference:
    """A bare word as a reference."""
    module, dot, name = (text.constant or "").rpartition(".")
    return syntax.Reference(
        module=syntax.Word(text=module, span=text.span) if dot else None,
        name=syntax.Word(text=name, span=text.span),
        span=text.span,
    )


def variables_of(recipe: Recipe) -> frozenset[str] | None:
    """Every variable that the environment of a recipe may have; None where a base brings what is not known here."""
    found = {"PATH"}
    seen: set[Recipe] = set()
    at: Recipe | None = recipe
    while at is not None:
        base = at.body[0] if at.body else None
        if at in seen or not isinstance(base, syntax.Command) or base.keyword.text != "from":
            return None
        seen.add(at)
        for node, where in walk(at.body, at.module):
            if isinstance(node, syntax.Broken) or (isinstance(node, syntax.Call) and not where.find_def(node.target)):
                return None
            if isinstance(node, syntax.Command) and node.keyword.text == "env" and node.kind:
                found.add(node.kind.text)
        start = base.operands[0]
        if not isinstance(start, syntax.Reference):
            return None
        at = at.module.find_recipe(start)
        if at is None and str(start) != "scratch":
            return None
    return frozenset(found)
