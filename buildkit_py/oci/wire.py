"""What foreign documents may look like. Imported only where foreign bytes are parsed.

The schemas are those of pydantic's core: they check, and records are made of the JSON value itself. What is plainly
well-formed is seen by `oci/plainly.py`, which reads the same schemas; the library decides about everything else, and
says what is wrong. Loading it for documents that nobody finds fault with would take a tenth of a small cold build.
Unknown fields are allowed, as the specifications demand, unless they differ from a known one only in case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci.plainly import Schema, is_plain

MAX_SIZE = 1 << 44
MAX_ITEMS = 1024
_MANY = 10_000
_MEDIA_TYPE = r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$"


def check(schema: Schema, plain: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """`plain` itself, if it is a well-formed document; raises `IntegrityError` that names the first wrong field."""
    if is_plain(schema, plain):
        return plain
    from pydantic_core import SchemaValidator, ValidationError

    wanted: Any = schema
    try:
        SchemaValidator(wanted).validate_python(plain, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise IntegrityError(f"a {what} is malformed: {place[:100]}: {first['msg'][:200]}") from None
    return plain


def _object(needed: Mapping[str, Schema], others: Mapping[str, Schema]) -> Schema:
    """An object that has the `needed` fields, and may have the `others`."""
    fields = {
        name: {"type": "typed-dict-field", "schema": schema, "required": name in needed}
        for name, schema in {**needed, **others}.items()
    }
    record = {"type": "typed-dict", "fields": fields, "extra_behavior": "allow"}
    return {"type": "function-before", "schema": record, "function": _plainly(_no_lookalikes(frozenset(fields)))}


def _no_lookalikes(known: frozenset[str]) -> Callable[[Any], Any]:
    folded = {name.lower(): name for name in known}

    def refuse(value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if name not in known and name.lower() in folded:
                raise ValueError(f"has a field {name[:40]!r}, which is not {folded[name.lower()]!r}")
        return value

    return refuse


def _digest(text: str) -> str:
    try:
        return str(Digest.parse(text))
    except IntegrityError as error:
        raise ValueError(error.message) from None


def _plainly(function: Callable[[Any], Any]) -> Schema:
    return {"type": "no-info", "function": function}


def _maybe(schema: Schema) -> Schema:
    return {"type": "nullable", "schema": schema}


def _list(items: Schema, most: int) -> Schema:
    return {"type": "list", "items_schema": items, "max_length": most}


def _table(values: Schema) -> Schema:
    return {"type": "dict", "keys_schema": {"type": "str"}, "values_schema": values, "max_length": _MANY}


_text: Schema = {"type": "str", "max_length": 1 << 20}
_digest_text: Schema = {"type": "function-after", "schema": {"type": "str"}, "function": _plainly(_digest)}
_any_object: Schema = {"type": "dict", "keys_schema": {"type": "str"}}
_version: Schema = {"type": "literal", "expected": [2]}
_flag: Schema = {"type": "bool"}
_words = _maybe(_list(_text, _MANY))
_texts = _maybe(_table(_text))
_names = _maybe(_table(_any_object))

_platform = _object({}, {"architecture": _text, "os": _text, "variant": _maybe(_text)})
_descriptor = _object(
    {
        "mediaType": {"type": "str", "pattern": _MEDIA_TYPE},
        "digest": _digest_text,
        "size": {"type": "int", "ge": 0, "le": MAX_SIZE},
    },
    {"platform": _maybe(_platform), "annotations": _texts, "artifactType": _maybe(_text)},
)
_descriptors = _list(_descriptor, MAX_ITEMS)
# Artifacts that borrow the configuration's type may lack the diff ids.
_rootfs = _object(
    {"type": {"type": "literal", "expected": ["layers"]}}, {"diff_ids": _maybe(_list(_digest_text, MAX_ITEMS))}
)
_history = _object(
    {},
    {**dict.fromkeys(("created", "created_by", "comment", "author"), _maybe(_text)), "empty_layer": _maybe(_flag)},
)
_settings = _object(
    {},
    {
        **dict.fromkeys(("User", "WorkingDir", "StopSignal"), _maybe(_text)),
        **dict.fromkeys(("Env", "Entrypoint", "Cmd", "Shell", "OnBuild"), _words),
        **dict.fromkeys(("ExposedPorts", "Volumes"), _names),
        "Labels": _texts,
        "Healthcheck": _maybe(_any_object),
        "StopTimeout": _maybe({"type": "int", "ge": -1, "lt": 1 << 63}),
        "ArgsEscaped": _maybe(_flag),
    },
)

DESCRIPTOR = _descriptor
"""What points at a manifest, an index, a configuration or a layer."""
MANIFEST = _object(
    {"schemaVersion": _version, "config": _descriptor, "layers": _descriptors},
    {"annotations": _texts, "artifactType": _maybe(_text), "subject": _maybe(_descriptor)},
)
"""An OCI image manifest, or Docker's of schema 2."""
INDEX = _object({"schemaVersion": _version, "manifests": _descriptors}, {"annotations": _texts})
"""An OCI image index, or Docker's manifest list."""
CONFIG = _object(
    {"rootfs": _rootfs},
    {
        **dict.fromkeys(("architecture", "os"), _text),
        **dict.fromkeys(("variant", "created", "author"), _maybe(_text)),
        "config": _maybe(_settings),
        "history": _maybe(_list(_history, _MANY)),
    },
)
"""An OCI image configuration, or Docker's."""
