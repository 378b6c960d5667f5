"""Warnings about what a file declares and nothing uses, shell text that looks like another tool's, and open secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from buildkit_py.dataclass import fields, is_dataclass
from buildkit_py.secret_names import sounds_secret
from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax
from frontends.buildfile.contents import walk
from frontends.buildfile.model import Module
from frontends.buildfile.shell import Shell, mentions

Report = Callable[[Diagnostic], None]
_FLAG = re.compile(r"--(mount|network|security)=(\S*)")
_GIVEN = {"cache": "cache(/path)", "secret": "secret(NAME)", "ssh": "ssh", "tmpfs": "tmpfs(/path)"}


def warn(module: Module, report: Report) -> None:
    """Report all warnings of a module that has no errors."""

    def warning(message: str, span: Span, hint: str) -> None:
        report(Diagnostic(message=message, span=span, severity="warning", hint=hint))

    _unused(module, warning)
    for param in module.params.values():
        _open_secret("param", param.name, param.span, warning)
    for body in [*(recipe.body for recipe in module.recipes.values()), *(each.body for each in module.defs.values())]:
        given: set[str] = set()
        for statement, _ in walk(body, module, calls=False):
            if isinstance(statement, syntax.With):
                given |= set(_variables(statement))
            elif isinstance(statement, syntax.Command) and statement.keyword.text == "env" and statement.kind:
                _open_secret("env", statement.kind.text, statement.kind.span, warning)
        for statement, _ in walk(body, module, calls=False):
            if isinstance(statement, syntax.Exec) and isinstance(statement.program, Shell):
                _shell(statement, statement.program, module, given, warning)


Warn = Callable[[str, Span, str], None]


def _open_secret(what: str, name: str, span: Span, warning: Warn) -> None:
    if sounds_secret(name):
        hint = f"declare it by `secret`, and give it to a step: `with secret(NAME, env: {name})`"
        warning(f"the {what} `{name}` sounds like a secret, and would be kept in the image and its cache", span, hint)


def _unused(module: Module, warning: Warn) -> None:
    if not module.main:
        return
    bodies = [*(recipe.body for recipe in module.recipes.values()), *(each.body for each in module.defs.values())]
    defaults = [item.default for item in module.params.values()]
    inner = [item.default for each in module.defs.values() for item in each.parameters]
    used = set(_names([*bodies, *defaults, *inner]))
    for name, param in module.params.items():
        if ("name", name) not in used:
            warning(f"nothing uses the param `{name}`", param.span, "take it out")
    for name, secret in module.secrets.items():
        if ("secret", name) not in used:
            warning(f"nothing uses the secret `{name}`", secret.span, f"give it to a step: `with secret({name})`")
    for name, definition in module.defs.items():
        if ("call", name) not in used:
            warning(f"nothing calls the def `{name}`", definition.span, f"write `{name}(…)` where it is wanted")
    for name, recipe in module.recipes.items():
        if recipe.kind == "stage" and ("recipe", name) not in used:
            hint = "it is built where `--target` asks for it alone"
            warning(f"nothing starts or copies from stage `{name}`", recipe.span, hint)


def _names(node: object) -> Iterator[tuple[str, str]]:
    """What is named anywhere below a node: (kind, name)."""
    if isinstance(node, Shell):
        yield from (("name", name) for name in mentions(node.text))
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _names(item)
    elif is_dataclass(node) and not isinstance(node, Span | syntax.Word):
        yield from _named_by(node)
        for field in fields(node):
            yield from _names(getattr(node, field.name))


def _named_by(node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, syntax.Name):
        yield "name", node.name
    elif isinstance(node, syntax.Call):
        yield "call", str(node.target)
    elif isinstance(node, syntax.Reference):
        yield "recipe", str(node)
    elif isinstance(node, syntax.Grant):
        for argument in node.arguments:
            kind = "recipe" if argument.key else "secret"
            yield kind, argument.value.constant or ""


def _variables(node: syntax.With) -> Iterator[str]:
    """The variables that secrets are put in."""
    for grant in node.grants:
        for argument in grant.arguments:
            if grant.name.text == "secret" and argument.key and argument.key.text == "env":
                yield argument.value.constant or ""


def _shell(node: syntax.Exec, program: Shell, module: Module, given: set[str], warning: Warn) -> None:
    word = node.keyword.text
    flag = _FLAG.match(program.text)
    if flag is not None:
        kind = re.search(r"type=(\w+)", flag.group(2))
        grant = "network" if flag.group(1) == "network" else _GIVEN.get(kind.group(1) if kind else "", "mount(…)")
        message = f"`{word}` has no options: `--{flag.group(1)}=…` is shell text"
        warning(message, node.span, f"write `with {grant}` on the line above")
    for name in mentions(program.text):
        known = name in module.params or name in given
        if name in module.secrets and not known and not re.search(rf"(?m)\b{name}=", program.text):
            message = f"`${name}` is no variable here: a secret is a file, unless it is given as a variable"
            hint = f"write `with secret({name}, env: {name})`, or read /run/secrets/{name}"
            warning(message, node.span, hint)
