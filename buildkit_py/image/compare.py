"""Comparing two images by their documents: configuration and layers. Files are `layer.treediff`'s affair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildkit_py.image.subject import Subject
    from buildkit_py.oci import Descriptor

_ELSEWHERE = ("config", "history", "rootfs")
Field = tuple[str, str | None]
"""A field's name in the specification, and a key where it holds several: ("Env", "PATH")."""


def compare_configs(one: Subject, other: Subject) -> list[dict[str, Any]]:
    """The fields that differ, sorted: `field`, `key` (of a variable, a label, …; else None), `change` (`added`,
    `removed`, `changed`), `before` and `after`. What is null counts as absent."""
    before, after = _fields(one), _fields(other)
    rows = []
    for name in sorted({*before, *after}, key=lambda item: (item[0], item[1] or "")):
        old, new = before.get(name), after.get(name)
        if old != new:
            change = "added" if old is None else "removed" if new is None else "changed"
            rows.append({"field": name[0], "key": name[1], "change": change, "before": old, "after": new})
    return rows


def _fields(subject: Subject) -> dict[Field, Any]:
    document: Mapping[str, Any] = json.loads(subject.config.raw)
    found: dict[Field, Any] = {(name, None): value for name, value in document.items() if name not in _ELSEWHERE}
    for name, value in subject.config.config.items():
        if name == "Env":
            found |= {(name, key): text for key, text in subject.config.env}
        elif isinstance(value, dict) and name != "Healthcheck":
            found |= {(name, key): item for key, item in value.items()}
        else:
            found[name, None] = value
    found["history", None] = [line.created_by for line in subject.config.history]
    found |= {("annotations", key): text for key, text in subject.manifest.annotations.items()}
    found["platforms", None] = sorted(subject.platforms)
    return {name: value for name, value in found.items() if value is not None}


def compare_layers(one: Subject, other: Subject) -> list[dict[str, Any]]:
    """Every layer of either, the lowest first, those that both share at the bottom before the rest of each: `in`
    (`both`, `before`, `after`; `repacked` where the other has the same bytes under another compression), `digest`,
    `diff_id`, `size` (bytes) and `by`, the line of history that made it."""
    count = shared(one, other)
    rows = [_row(one, place, "both") for place in range(count)]
    for mine, others, where in ((one, other, "before"), (other, one, "after")):
        digests, contents = {layer.digest for layer in others.layers}, set(others.diff_ids)
        for place in range(count, len(mine.layers)):
            if mine.layers[place].digest in digests:
                kind = "both"
            else:
                kind = "repacked" if mine.diff_ids[place] in contents else where
            if where == "before" or kind == where:
                rows.append(_row(mine, place, kind))
    return rows


def shared(one: Subject, other: Subject) -> int:
    """How many of the lowest layers are the same blobs in both."""
    pairs = zip(one.layers, other.layers, strict=False)
    return next(
        (place for place, (mine, theirs) in enumerate(pairs) if mine.digest != theirs.digest),
        min(len(one.layers), len(other.layers)),
    )


def _row(subject: Subject, place: int, where: str) -> dict[str, Any]:
    layer: Descriptor = subject.layers[place]
    filled = [line for line in subject.config.history if not line.empty_layer]
    return {
        "in": where,
        "digest": str(layer.digest),
        "diff_id": str(subject.diff_ids[place]),
        "size": layer.size,
        "by": filled[place].created_by if place < len(filled) else "",
    }
