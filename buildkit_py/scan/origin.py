"""Where a layer comes from: what the image's history says of it, and the line of a build file where a build of this
store recorded that."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from buildkit_py.errors import NotFoundError
from buildkit_py.scan.model import ScannedLayer

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.store import Store

_RECORDS = 200


def layers_of(image: StoredImage) -> tuple[ScannedLayer, ...]:
    """The layers of an image, lowest first."""
    history = [line for line in image.config.history if not line.empty_layer]
    known = len(history) == len(image.layers)
    lines = _lines(image)
    return tuple(
        ScannedLayer(
            number=number,
            digest=str(layer.digest),
            size=layer.size,
            created_by=history[number - 1].created_by if known else "",
            line=lines.get(number),
        )
        for number, layer in enumerate(image.layers, 1)
    )


def _lines(image: StoredImage) -> Mapping[int, str]:
    """`FILE:LINE` by a layer's number: the layers that a build committed are the topmost ones of its image."""
    record = _record(image.store, str(image.descriptor.digest))
    if record is None:
        return {}
    commits = [node for node in record["nodes"].values() if node.get("kind") == "commit"]
    made = {item["digest"] for item in record["images"] if item.get("platform")}
    if len(made) > 1:
        # Which of them are this image's can't be told then.
        return {}
    below = len(image.layers) - len(commits)
    return {below + number: str(node["at"]) for number, node in enumerate(commits, 1) if node.get("at")}


def _record(store: Store, digest: str) -> Mapping[str, Any] | None:
    """The newest build that made an image."""
    for summary in store.builds.list(_RECORDS):
        with suppress(NotFoundError):
            record = store.builds.get(str(summary["id"]))
            if any(image.get("digest") == digest for image in record.get("images", ())):
                return record
    return None
