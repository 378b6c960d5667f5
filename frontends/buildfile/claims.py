"""What a recipe may declare once on each way through its conditions: the names of layers, the paths of outputs; and
sources that an output would overwrite. Only what is written as it is can be seen here; the rest shows when compiled."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from functools import partial

from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax
from frontends.buildfile.commands import LOCAL_OUTPUTS
from frontends.buildfile.contents import blocks, walk
from frontends.buildfile.model import Module, Recipe

Report = Callable[[Diagnostic], None]
Claim = Callable[[syntax.Statement], syntax.Text | None]
Known = dict[str, Span]


def check_claims(module: Module, report: Report) -> None:
    """Report layers and outputs of a module that get in each other's way, and sources that are outputs."""
    outputs: Known = {}
    for recipe in module.recipes.values():
        _visit(recipe.body, _layer_name, {}, partial(_same_layer, recipe, report))
        _visit(recipe.body, _output_path, outputs, partial(_same_place, report))
    everywhere = {
        posixpath.normpath(text.constant or ""): text.span
        for recipe in module.recipes.values()
        for statement, where in walk(recipe.body, module, calls=False)
        if where is module and (text := _output_path(statement)) is not None
    }
    for body in [*(recipe.body for recipe in module.recipes.values()), *(each.body for each in module.defs.values())]:
        for statement, _ in walk(body, module, calls=False):
            for text in _local_sources(statement):
                _overwritten(text, everywhere, report)


def _visit(body: syntax.Body, claim: Claim, known: Known, check: Callable[[syntax.Text, Known], None]) -> None:
    """Check each claim against those before it on its way; branches do not see each other's."""
    for statement in body:
        text = claim(statement)
        if text is not None:
            check(text, known)
            known.setdefault(text.constant or "", text.span)
        for inner in blocks(statement):
            apart = isinstance(statement, syntax.If)
            _visit(inner, claim, dict(known) if apart else known, check)


def _layer_name(statement: syntax.Statement) -> syntax.Text | None:
    named = isinstance(statement, syntax.Layer) and statement.name.constant is not None
    return statement.name if named and isinstance(statement, syntax.Layer) else None


def _output_path(statement: syntax.Statement) -> syntax.Text | None:
    if not isinstance(statement, syntax.Command) or statement.kind is None or statement.kind.text not in LOCAL_OUTPUTS:
        return None
    place = statement.operands[0] if statement.keyword.text == "output" else None
    return place if isinstance(place, syntax.Text) and place.constant else None


def _same_layer(recipe: Recipe, report: Report, text: syntax.Text, known: Known) -> None:
    if text.constant in known:
        report(
            Diagnostic(
                message=f'there is already a layer "{text.constant}" in {recipe.kind} `{recipe.name}`',
                span=text.span,
                hint="give it another name, or put the steps into one block",
                notes=(("the first one", known[text.constant]),),
            )
        )


def _same_place(report: Report, text: syntax.Text, known: Known) -> None:
    place = posixpath.normpath(text.constant or "")
    for other, span in known.items():
        path = posixpath.normpath(other)
        if place == path:
            message = f"two outputs are written to `{place}`"
        elif _holds(path, place) or _holds(place, path):
            message = f"the outputs `{path}` and `{place}` are one inside the other"
        else:
            continue
        report(
            Diagnostic(message=message, span=text.span, hint="give one another path", notes=(("the other one", span),))
        )
        return


def _holds(outer: str, inner: str) -> bool:
    return inner.startswith(outer.rstrip("/") + "/")


def _local_sources(statement: syntax.Statement) -> Iterator[syntax.Text]:
    """What a statement takes from the directory of the build."""
    if isinstance(statement, syntax.Command) and statement.keyword.text in ("copy", "unpack"):
        if statement.option("from") is None:
            yield from (operand for operand in statement.operands if isinstance(operand, syntax.Text))
    elif isinstance(statement, syntax.With):
        for grant in statement.grants:
            keys = {argument.key.text for argument in grant.arguments if argument.key}
            if grant.name.text == "mount" and "from" not in keys:
                yield from (argument.value for argument in grant.arguments if argument.key is None)


def _overwritten(text: syntax.Text, outputs: Known, report: Report) -> None:
    source = posixpath.normpath((text.constant or "").lstrip("/") or ".")
    if text.constant is not None and source in outputs:
        message = f"`{text.constant}` is written by an output, which would overwrite this source"
        notes = (("the output", outputs[source]),)
        report(Diagnostic(message=message, span=text.span, hint="give the output another path", notes=notes))
