"""What `with` gives: the checks of its grants."""

from __future__ import annotations

from collections.abc import Callable

from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.buildfile import syntax, values
from frontends.buildfile.commands import GRANTS, GrantSpec
from frontends.buildfile.contents import reference_of
from frontends.buildfile.model import Module
from frontends.buildfile.typecheck import Types
from frontends.buildfile.words import did_you_mean, one_of

Report = Callable[[Diagnostic], None]


def check_grants(node: syntax.With, module: Module, programs: set[str], types: Types, report: Report) -> None:
    """Check each grant of a `with`; `programs` are the kinds of programs (`run`, `host`) that it is for."""
    if not programs:
        message = "there is no `run` and no `host` here that `with` could give something to"
        report(Diagnostic(message=message, span=node.span, hint="other steps need nothing granted: take `with` out"))
    for grant in node.grants:
        _Grant(grant, module, types, report).check(programs)


class _Grant:
    def __init__(self, grant: syntax.Grant, module: Module, types: Types, report: Report) -> None:
        self.grant = grant
        self.module = module
        self.types = types
        self.report = report
        self.name = grant.name.text

    def fault(self, message: str, span: Span, hint: str | None = None) -> None:
        self.report(Diagnostic(message=message, span=span, hint=hint))

    def check(self, programs: set[str]) -> None:
        spec = GRANTS.get(self.name)
        if spec is None:
            hint = did_you_mean(self.name, set(GRANTS)) or f"it can give {one_of(list(GRANTS), last='and')}"
            self.fault(f"`with` can't give `{self.name}`", self.grant.name.span, hint)
            return
        if spec.only and programs and not programs & {spec.only, "?"}:
            instead = "a `run` step has the programs of the image: install it there" if spec.only == "host" else None
            self.fault(f"`{self.name}` is for `{spec.only}` steps, there is none here", self.grant.span, instead)
        self.positions(spec)
        self.keys(spec)
        rules = getattr(self, f"rules_{self.name}", None)
        if rules is not None:
            rules()

    def positions(self, spec: GrantSpec) -> None:
        found = [argument.value for argument in self.grant.arguments if argument.key is None]
        if not self.grant.arguments and spec.required:
            self.fault(f"`{self.name}` needs to be told which", self.grant.span, f"write `with {spec.form}`")
        limit = 0 if spec.position is None else len(found) if spec.many else 1
        if len(found) > limit:
            self.fault(f"this does not belong to `{self.name}`", found[limit].span, f"write `with {spec.form}`")
        for value in found[:limit]:
            assert spec.position is not None
            self.value(value, spec.position)

    def keys(self, spec: GrantSpec) -> None:
        seen: set[str] = set()
        keyed = [argument.key.text for argument in self.grant.arguments if argument.key]
        if spec.required and keyed and len(keyed) == len(self.grant.arguments) and set(keyed) <= set(spec.keys):
            self.fault(f"`{self.name}` needs to be told which", self.grant.span, f"write `with {spec.form}`")
        for argument in self.grant.arguments:
            key = argument.key
            if key is None:
                continue
            if key.text not in spec.keys:
                hint = did_you_mean(key.text, set(spec.keys))
                if hint is None:
                    hint = f"it has {one_of(list(spec.keys), last='and')}" if spec.keys else f"write `with {spec.form}`"
                if self.name == "tools":
                    hint = 'an image reference is written in quotes: `with tools("debian:12")`'
                self.fault(f"`{self.name}` has no `{key.text}`", key.span, hint)
                continue
            if key.text in seen:
                self.fault(f"`{key.text}` stands here twice", key.span)
            seen.add(key.text)
            self.value(argument.value, spec.keys[key.text])

    def value(self, text: syntax.Text, check: values.Check) -> None:
        self.types.of(text)
        if text.constant is not None:
            try:
                check(text.constant, text.span)
            except SourceError as error:
                self.report(error.diagnostics[0])

    def argument(self, key: str | None) -> syntax.Text | None:
        return next((item.value for item in self.grant.arguments if (item.key.text if item.key else None) == key), None)

    # --- grants with rules of their own

    def rules_secret(self) -> None:
        name = self.argument(None)
        if name is None:
            return
        if name.constant is None:
            self.fault("the name of a secret is written as it is", name.span)
        elif name.constant not in self.module.secrets and name.constant not in self.module.broken:
            near = did_you_mean(name.constant, set(self.module.secrets))
            hint = near or f'declare it at the top: `secret {name.constant} "what it is for"`'
            self.fault(f"there is no secret `{name.constant}`", name.span, hint)

    def rules_mount(self) -> None:
        if self.argument("at") is None and self.argument(None) is not None:
            hint = "write `with mount(./tests, at: /tests)`"
            self.fault("`mount` needs `at:`, the place where the step sees it", self.grant.span, hint)
        origin = self.argument("from")
        if origin is None or origin.constant is None:
            return
        if not origin.bare:
            self.value(origin, values.image)
            return
        reference = reference_of(origin)
        if self.module.find_recipe(reference) is None and not self.module.hides(reference):
            near = did_you_mean(origin.constant, set(self.module.recipes))
            quoted = f'for an image of a registry, write it in quotes: `from: "{origin.constant}"`'
            self.fault(f"there is no stage or image `{origin.constant}`", origin.span, near or quoted)

    def rules_tool(self) -> None:
        names = [item for item in self.grant.arguments if item.key is None]
        package = self.argument("package")
        if package is not None and len(names) > 1:
            self.fault("one `package` can't be that of several tools", package.span, "write a `tool(…)` for each")
