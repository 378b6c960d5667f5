"""Where the layers of an image come from: what its history says, and the line of a build file where that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.image.history import history_document
from buildkit_py.image.subject import Subject
from buildkit_py.scan.model import ScannedLayer

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage


def layers_of(image: StoredImage) -> tuple[ScannedLayer, ...]:
    """The layers of an image, lowest first."""
    subject = Subject(name="", manifest=image.manifest, config=image.config, platforms=())
    lines = [line for line in history_document(image.store, subject)["lines"] if line["layer"] is not None]
    return tuple(
        ScannedLayer(
            number=number,
            digest=line["layer"],
            size=line["size"],
            created_by=line["by"],
            line=line["at"],
            base=line["base"],
        )
        for number, line in enumerate(lines, 1)
    )
