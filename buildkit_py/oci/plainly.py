"""Whether a JSON value fits a schema of pydantic's core, for the few kinds of schema that documents here are made of.

A second reader of the same schemas, that can only say yes or "I don't know". What it says yes to, pydantic accepts in
strict mode; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

Schema = Mapping[str, Any]


def is_plain(schema: Schema, value: Any) -> bool:
    """True only if the value is well-formed."""
    return _KINDS[schema["type"]](schema, value)


def _text(schema: Schema, value: Any) -> bool:
    fits = type(value) is str and len(value) <= schema.get("max_length", len(value))
    pattern = schema.get("pattern")
    # pydantic refuses what is not UTF-8, and anchors by itself mean the same in both.
    return fits and _encodable(value) and (pattern is None or _compiled(pattern).fullmatch(value) is not None)


def _number(schema: Schema, value: Any) -> bool:
    if type(value) is not int:
        return False
    return bool(schema.get("ge", value) <= value <= schema.get("le", value) and value < schema.get("lt", value + 1))


def _record(schema: Schema, value: Any) -> bool:
    if type(value) is not dict:
        return False
    fields: Mapping[str, Schema] = schema["fields"]
    known = all(
        is_plain(field["schema"], value[name]) if name in value else not field["required"]
        for name, field in fields.items()
    )
    return known and all(type(name) is str and _encodable(name) for name in value)


def _table(schema: Schema, value: Any) -> bool:
    if type(value) is not dict or len(value) > schema.get("max_length", len(value)):
        return False
    keys, values = schema["keys_schema"], schema.get("values_schema")
    return all(is_plain(keys, key) and (values is None or is_plain(values, each)) for key, each in value.items())


def _list(schema: Schema, value: Any) -> bool:
    fits = type(value) is list and len(value) <= schema["max_length"]
    return fits and all(is_plain(schema["items_schema"], each) for each in value)


def _asked(schema: Schema, value: Any) -> bool:
    """Its function raises `ValueError` for what is wrong; before or after, both must be content."""
    if not is_plain(schema["schema"], value):
        return False
    try:
        schema["function"]["function"](value)
    except ValueError:
        return False
    return True


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_KINDS: Mapping[str, Callable[[Schema, Any], bool]] = {
    "str": _text,
    "int": _number,
    "bool": lambda schema, value: type(value) is bool,
    "literal": lambda schema, value: any(type(value) is type(each) and value == each for each in schema["expected"]),
    "nullable": lambda schema, value: value is None or is_plain(schema["schema"], value),
    "typed-dict": _record,
    "dict": _table,
    "list": _list,
    "function-before": _asked,
    "function-after": _asked,
}
