"""The values of a file's params: what was given for them, or their defaults."""

from __future__ import annotations

from collections.abc import Mapping

from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic
from frontends.buildfile.evaluate import Evaluator, converted
from frontends.buildfile.model import Module, Parameter, Value
from frontends.buildfile.words import closest, did_you_mean, one_of

Given = Mapping[str, str | list[str]]


def param_values(module: Module, given: Given) -> dict[str, Value]:
    """The value of each param. Raises `SourceError` with all that is wrong with what was given."""
    diagnostics = [_unknown(name, module) for name in given if name not in module.params]
    made: dict[str, Value] = {}
    for parameter in module.params.values():
        try:
            made[parameter.name] = _value(parameter, given, made)
        except SourceError as error:
            diagnostics += error.diagnostics
        except KeyError:
            continue
    if diagnostics:
        raise SourceError(diagnostics)
    return made


def _unknown(name: str, module: Module) -> Diagnostic:
    known = set(module.params)
    hint = did_you_mean(name, known) or (f"it has {one_of(sorted(known), last='and')}" if known else "it has none")
    return Diagnostic(message=f"`{module.source.file}` has no param `{name}`", span=None, hint=hint)


def _value(parameter: Parameter, given: Given, known: Mapping[str, Value]) -> Value:
    if parameter.name in given:
        return _parse(parameter, given[parameter.name])
    if parameter.default is None:
        hint = f"give it with `--param {parameter.name}=…`, or write a default here"
        message = f"the param `{parameter.name}` has no value"
        raise SourceError([Diagnostic(message=message, span=parameter.span, hint=hint)])
    return converted(parameter, Evaluator(known, None).value(parameter.default), parameter.default.span)


def _parse(parameter: Parameter, given: str | list[str]) -> Value:
    kind = parameter.type.kind
    if kind == "list":
        words = given.split(",") if isinstance(given, str) else given
        return tuple(word.strip() for word in words if word.strip()) if isinstance(given, str) else tuple(words)
    if not isinstance(given, str):
        raise _refused(parameter, " ".join(given), "it takes one value, give it once")
    if kind == "int":
        digits = given.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            raise _refused(parameter, given, "write a whole number")
        return int(given)
    if kind == "bool":
        if given not in ("true", "false"):
            raise _refused(parameter, given, "write true or false")
        return given == "true"
    if parameter.type.choices and given not in parameter.type.choices:
        near = closest(given, set(parameter.type.choices))
        choices = one_of(parameter.type.choices)
        raise _refused(parameter, given, f"did you mean `{near}`?" if near else f"it is {choices}")
    if "\0" in given:
        raise _refused(parameter, given.replace("\0", "?"), "take the NUL character out")
    return given


def _refused(parameter: Parameter, given: str, hint: str) -> SourceError:
    message = f"the param `{parameter.name}` can't be `{given[:60]}`: it is {parameter.type}"
    return SourceError([Diagnostic(message=message, span=parameter.span, hint=hint)])
