"""What `from` names: a stage of the file, or an image."""

from __future__ import annotations

from buildkit_py.source import Span
from frontends.dockerfile.conversion.language import UntoldError
from frontends.dockerfile.conversion.stage import StageConversion
from frontends.dockerfile.stages import SCRATCH
from frontends.dockerfile.syntax import Flag


def stage_of(stage: StageConversion, name: str, span: Span) -> int | None:
    """The number of the stage that a name means; None for an image."""
    return stage.shared.stages.source(Flag(name="from", value=name, span=span))


def origin_of(stage: StageConversion, name: str, span: Span) -> str:
    """The name of a stage, or an image in quotes."""
    number = stage_of(stage, name, span)
    if number is not None:
        return stage.shared.names[number]
    if name == SCRATCH:
        raise UntoldError("nothing can be taken from scratch")
    return stage.marks.string(name)
