"""The closed set of functions of the language: what each takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buildkit_py.dataclass import dataclass
from frontends.buildfile.model import BOOL, LIST, STRING, Type, Value

MAX_LENGTH = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """Parameter types, result type, how it is written, and what it does."""

    parameters: tuple[tuple[Type, ...], ...]
    result: Type
    form: str
    apply: Callable[..., Value]


def _function(form: str, result: Type, apply: Callable[..., Value], *parameters: Any) -> Function:
    accepted = tuple(item if isinstance(item, tuple) else (item,) for item in parameters)
    return Function(parameters=accepted, result=result, form=form, apply=apply)


def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator)) if separator else tuple(text)


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old and text.count(old) * len(new) < MAX_LENGTH else text


FUNCTIONS = {
    "lower": _function("lower(text)", STRING, str.lower, STRING),
    "upper": _function("upper(text)", STRING, str.upper, STRING),
    "trim": _function("trim(text)", STRING, lambda text: text.strip(), STRING),
    "replace": _function("replace(text, old, new)", STRING, _replace, STRING, STRING, STRING),
    "remove_prefix": _function("remove_prefix(text, prefix)", STRING, str.removeprefix, STRING, STRING),
    "remove_suffix": _function("remove_suffix(text, suffix)", STRING, str.removesuffix, STRING, STRING),
    "split": _function("split(text, separator)", LIST, _split, STRING, STRING),
    "join": _function("join(list, separator)", STRING, lambda items, by: by.join(items), LIST, STRING),
    "starts_with": _function("starts_with(text, prefix)", BOOL, lambda a, b: a.startswith(b), STRING, STRING),
    "ends_with": _function("ends_with(text, suffix)", BOOL, lambda a, b: a.endswith(b), STRING, STRING),
    "contains": _function("contains(text or list, part)", BOOL, lambda a, b: b in a, (STRING, LIST), STRING),
}
