"""Texts with fields of a JSON value in them: `{{.Digest}}`, `{{.Config.Env}}`, `{{json .Layers}}`.

A field is named as in the value, in any case and without its underscores; a name with other signs stands in quotes,
as `{{.Config.Labels."org.example.name"}}`; a number picks an entry of a list. Texts and numbers stand as they are, all
else as JSON; with `json` everything does. `\\n` and `\\t` are a line end and a tab.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from buildkit_py.errors import UsageError

_NAME = r'(?:[A-Za-z0-9_-]+|"[^"]*")'
_FIELD = re.compile(rf"\{{\{{\s*(json\s+)?(\.|(?:\.{_NAME})+)\s*\}}\}}")
_NAMES = re.compile(rf"\.({_NAME})")
_HINT = "write fields as {{.Digest}}, {{.Config.Env}} or {{json .Layers}}"


def fill(template: str, *values: Any) -> str:
    """The template with its fields filled in, each from the first of `values` that has it; raises `UsageError`."""

    def one(match: re.Match[str]) -> str:
        found = _find([name.strip('"') for name in _NAMES.findall(match[2])], values)
        plain = not match[1] and isinstance(found, str | int) and not isinstance(found, bool)
        return str(found) if plain else json.dumps(found, ensure_ascii=False)

    rest = _FIELD.sub("", template)
    if "{{" in rest or "}}" in rest:
        raise UsageError(f"can't read the template {template!r}", hint=_HINT)
    text = template.replace("\\n", "\n").replace("\\t", "\t")
    return _FIELD.sub(one, text)


def _find(path: Sequence[str], values: Sequence[Any]) -> Any:
    if not path:
        return values[0]
    known: list[str] = []
    for value in values:
        name = _key(value, path[0])
        if name is not None:
            return _below(value, path)
        known += [each.title().replace("_", "") for each in value]
    raise UsageError(f"an image has no field {path[0]!r}", hint=f"it has {', '.join(dict.fromkeys(known))}")


def _below(value: Any, path: Sequence[str]) -> Any:
    for place, part in enumerate(path):
        name = _key(value, part)
        if name is None:
            raise UsageError(f"there is no field {'.'.join(path[: place + 1])!r} in this image")
        value = value[name]
    return value


def _key(value: Any, name: str) -> str | int | None:
    """What a part of a path means in a value."""
    if isinstance(value, list):
        return int(name) if name.isascii() and name.isdigit() and int(name) < len(value) else None
    if not isinstance(value, dict):
        return None
    if name in value:
        return name
    plain = name.replace("_", "").lower()
    return next((key for key in value if key.replace("_", "").lower() == plain), None)
