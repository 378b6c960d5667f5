"""The end of a build that succeeded: what was made, of what, where it went, and what took the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.graph.title import clip
from buildkit_py.progress.text import clean, count, duration, short_digest, size, table

if TYPE_CHECKING:
    from buildkit_py.events import ImageDone, LayerDone, OutputDone
    from buildkit_py.progress.model import Model

_TITLE = 60


def render(model: Model) -> str:
    """The summary as plain aligned text, ending with a line end."""
    blocks = [_image(image, _layers(model, image)) for image in model.images]
    if model.outputs:
        blocks.append(_outputs(model.outputs))
    blocks.append(_work(model))
    return "\n".join(block for block in blocks if block)


def _layers(model: Model, image: ImageDone) -> list[LayerDone]:
    return [layer for layer in model.layers if (layer.image, layer.platform) == (image.image, image.platform)]


def _image(image: ImageDone, layers: list[LayerDone]) -> str:
    platform = image.platform or "all platforms"
    blobs = f", {size(image.size)} in {count(len(layers), 'layer')}" if layers else ""
    names = clean(", ".join(image.names or (image.image,)))
    head = f"image {names} ({platform}{blobs})\n  {image.digest}\n"
    rows = [
        (
            clip(layer.name, _TITLE) or "-",
            short_digest(layer.digest),
            size(layer.size),
            "from the base" if layer.from_base else "reused" if layer.reused else "new",
        )
        for layer in layers
    ]
    return head + table(rows, right=frozenset({2}), indent="    ")


def _outputs(outputs: list[OutputDone]) -> str:
    rows = [(output.kind, clean(output.value), _how(output)) for output in outputs]
    return "outputs\n" + table(rows, indent="    ")


def _how(output: OutputDone) -> str:
    if output.skipped:
        return f"skipped: {clean(output.skipped)}"
    return f"written ({output.platform} alone)" if output.platform else "written"


def _work(model: Model) -> str:
    end = model.end
    if end is None:
        return ""
    skipped = f", skipped {end.skipped}" if end.skipped else ""
    head = f"ran {end.ran}, cached {end.cached}{skipped} in {duration(end.at)}\n"
    rows = [(duration(step.seconds), clip(step.title, _TITLE)) for step in model.slowest()]
    return head + table(rows, right=frozenset({0}), indent="    ")
