"""What a command line says to a Dockerfile that heeds none of it: probably a slip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from buildkit_py.source import Diagnostic
from buildkit_py.suggest import suggest
from frontends.dockerfile import syntax
from frontends.dockerfile.scope import BUILTIN, PROXIES


def unused_arguments(
    file: syntax.File, given: Mapping[str, str], predefined: Iterable[str], fired: Iterable[syntax.Instruction]
) -> Iterator[Diagnostic]:
    """Arguments that are given and that no ARG declares; `fired` are triggers of bases, which may declare some."""
    everywhere = [*file.globals, *fired, *(each for stage in file.stages for each in stage.instructions)]
    declared = dict.fromkeys(pair.name for each in everywhere for pair in _pairs(each))
    for name in given:
        if name not in declared and name not in {*BUILTIN, *PROXIES, *predefined}:
            close = suggest(name, [*declared, *predefined])
            yield Diagnostic(
                message=f"the build argument {name} is given, and no ARG declares it",
                span=None,
                severity="warning",
                hint=f"did you mean {close}?"
                if close
                else "write ARG with its name above its first use, or leave it out",
            )


def _pairs(instruction: syntax.Instruction) -> tuple[syntax.Pair, ...]:
    if isinstance(instruction, syntax.OnBuild):
        return _pairs(instruction.trigger)
    return instruction.pairs if isinstance(instruction, syntax.Arg) else ()


def unknown_stages(file: syntax.File, fresh: Iterable[str]) -> Iterator[Diagnostic]:
    """Names of stages to be made anew that no stage has."""
    known = [stage.title.lower() for stage in file.stages if stage.title]
    for name in fresh:
        if name.lower() not in known:
            close = suggest(name.lower(), known)
            yield Diagnostic(
                message=f"--no-cache-filter names {name!r}, which no stage is called",
                span=None,
                severity="warning",
                hint=f"did you mean {close}?" if close else f"stages are: {', '.join(known) or 'none has a name'}",
            )
