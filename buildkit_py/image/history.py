"""What `pybuild history` shows: each line of an image's history with its layer, and where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from buildkit_py.image.subject import Subject
from buildkit_py.oci import History

if TYPE_CHECKING:
    from buildkit_py.store import Store

_GENERIC = "pybuild: layer "


def history_document(store: Store, subject: Subject) -> dict[str, Any]:
    """The history of an image, lowest first: `name`, `digest`, `platform`; `context` and `file`, the directory and the
    build file of the last build here that made it (None where nobody knows); and `lines`.

    A line has `layer` (digest of the blob), `diff_id` and `size` (bytes), None, None and 0 where it made no layer;
    `created`, `by` and `comment` as the image itself says; `at` (`file:line`) and `steps` (each with `title` and
    perhaps `at`) as the build remembers; and `base`, the name of the image that it was taken over from.
    """
    known = store.lines.get(str(subject.manifest.config.digest)) or {}
    lines = _lines(subject)
    told = known.get("lines", [])
    places = told if len(told) == len(lines) else repeat({}, len(lines))
    return {
        "name": subject.name,
        "digest": str(subject.manifest.digest),
        "platform": subject.platform,
        "context": known.get("context"),
        "file": known.get("file"),
        "lines": [_told(line, place) for line, place in zip(lines, places, strict=True)],
    }


def _lines(subject: Subject) -> list[dict[str, Any]]:
    """The lines that the image itself has, and one for each layer that those do not tell of."""
    layers = iter(zip(subject.layers, subject.diff_ids, strict=True))
    made: list[dict[str, Any]] = []
    for line in chain(subject.config.history, _further(subject)):
        found = None if line.empty_layer else next(layers, None)
        if found is None and not line.empty_layer:
            continue
        made.append(
            {
                "layer": str(found[0].digest) if found else None,
                "diff_id": str(found[1]) if found else None,
                "size": found[0].size if found else 0,
                "created": line.created,
                "by": line.created_by,
                "comment": line.comment,
            }
        )
    return made


def _further(subject: Subject) -> Iterator[History]:
    told = sum(not line.empty_layer for line in subject.config.history)
    return repeat(History(), max(0, len(subject.layers) - told))


def _told(line: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    steps = place.get("steps", [])
    if steps and line["by"].startswith(_GENERIC):
        line = {**line, "by": "; ".join(step["title"] for step in steps)}
    return {**line, "at": place.get("at"), "steps": steps, "base": place.get("base")}
