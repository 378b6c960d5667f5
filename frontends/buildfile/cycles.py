"""Circles of defs that call each other, and of stages and images that need each other."""

from __future__ import annotations

from collections.abc import Callable

from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax
from frontends.buildfile.contents import recipes_used, walk
from frontends.buildfile.model import Def, Module, Program, Recipe

Report = Callable[[Diagnostic], None]
Edges = dict[str, list[tuple[str, Span]]]


def check_cycles(program: Program, report: Report) -> None:
    """Report each circle once, drawn."""
    defs: Edges = {}
    recipes: Edges = {}
    for module in program.modules.values():
        for definition in module.defs.values():
            defs[_name(definition)] = _calls(definition.body, definition.module)
        for recipe in module.recipes.values():
            used = recipes_used(recipe.body, recipe.module)
            recipes[_name(recipe)] = [(_name(target), span) for target, span in used]
    _report_circles(defs, "these defs call each other", "a def can't repeat: use `for`", report)
    _report_circles(recipes, "this needs itself to be built", "take one of these steps away", report)


def _name(item: Def | Recipe) -> str:
    return item.name if item.module.main else f"{item.module.source.file}:{item.name}"


def _calls(body: syntax.Body, module: Module) -> list[tuple[str, Span]]:
    found = []
    for statement, _ in walk(body, module, calls=False):
        if isinstance(statement, syntax.Call) and (target := module.find_def(statement.target)):
            found.append((_name(target), statement.target.span))
    return found


def _report_circles(edges: Edges, message: str, hint: str, report: Report) -> None:
    done: set[str] = set()
    for start in edges:
        stack: list[tuple[str, int]] = [(start, 0)]
        path = [start]
        while stack and start not in done:
            name, index = stack.pop()
            if index >= len(edges.get(name, ())):
                done.add(name)
                path.pop()
                continue
            stack.append((name, index + 1))
            target, span = edges[name][index]
            if target in path:
                drawing = " → ".join([*path[path.index(target) :], target])
                report(Diagnostic(message=f"{message}: {drawing}", span=span, hint=hint))
                done.update(path)
                break
            if target not in done:
                path.append(target)
                stack.append((target, 0))
