"""The Dockerfile frontend: text to a graph `Definition`. What it supports is listed in `spec/dockerfile.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildkit_py.graph import Definition, Resolver, Settings
    from buildkit_py.platform import Platform
    from buildkit_py.source import Diagnostic
    from frontends.dockerfile.conversion import Conversion
    from frontends.dockerfile.conversion.kinds import Kind
    from frontends.dockerfile.offers import Outline, Target
    from frontends.dockerfile.rules import Rule

BASES_MATTER = True
"""What is wrong with a Dockerfile depends on what its base images declare: `check` is better with a resolver."""

__all__ = ["build_checks", "check", "convert", "load", "outline", "targets"]


def load(
    source: str,
    *,
    file: str,
    resolver: Resolver,
    params: Mapping[str, str | list[str]] | None = None,
    platforms: Sequence[Platform] = (),
    targets: Sequence[str] = (),
    epoch: int = 0,
    hidden: Sequence[str] = (),
    settings: Settings | None = None,
) -> Definition:
    """Compile a Dockerfile.

    `file` is its path relative to the context: spans carry it, and its ignore file is looked for beside it. `params`
    are the build arguments. `platforms` and `targets` (names of stages) are those asked for; by default the host's, and
    the last stage. `hidden` are context paths that no COPY of a directory selects: the lock file; the Dockerfile itself
    is there as anything else. Dates are not this function's affair, so `epoch` means nothing here.

    Raises `SourceError` with everything that is wrong, and what the resolver raises, with a span.
    """
    from frontends.dockerfile.compile import compile_file

    return compile_file(
        source,
        file=file,
        resolver=resolver,
        given=_texts(params or {}),
        platforms=platforms,
        targets=targets,
        hidden=tuple(path for path in hidden if path != file),
        settings=settings,
    )


def check(
    source: str,
    *,
    file: str = "Dockerfile",
    resolver: Resolver | None = None,
    params: Mapping[str, str | list[str]] | None = None,
    targets: Sequence[str] = (),
    settings: Settings | None = None,
) -> list[Diagnostic]:
    """Everything that is wrong with a Dockerfile, and every build check that it fails, without building anything.

    Without a `resolver` nothing is known of base images. Without `targets` every stage is looked at.
    """
    from frontends.dockerfile.compile import check_file

    return check_file(
        source, file=file, resolver=resolver, given=_texts(params or {}), targets=targets, settings=settings
    )


def outline(
    source: str,
    *,
    file: str = "Dockerfile",
    params: Mapping[str, str | list[str]] | None = None,
    targets: Sequence[str] = (),
    settings: Settings | None = None,
) -> Outline:
    """What a stage (by default the last) offers to the person who builds it: arguments, secrets, agents, caches.

    Raises `SourceError`.
    """
    from frontends.dockerfile.offers import outline as outline_of
    from frontends.dockerfile.parser import parse

    contexts = settings.contexts if settings is not None else {}
    return outline_of(parse(source, file), targets[0] if targets else None, _texts(params or {}), contexts=contexts)


def targets(source: str, *, file: str = "Dockerfile") -> list[Target]:
    """The stages of a Dockerfile; raises `SourceError`."""
    from frontends.dockerfile.offers import targets as targets_of
    from frontends.dockerfile.parser import parse

    return targets_of(parse(source, file))


def convert(
    source: str,
    *,
    file: str = "Dockerfile",
    targets: Sequence[str] = (),
    find: Callable[[str], str | None] | None = None,
    look: Callable[[str], frozenset[Kind]] | None = None,
) -> Conversion:
    """The same as a Buildfile, as far as that can say it: the text, and notes about what it can't (errors), what is
    assumed (warnings) and what is good to know. The image is the stage of `targets`, by default the last.

    `find` gives the text of a file of the context (the ignore file), None where there is none. `look` says what a path
    or a pattern of the context stands for; without it, what the text says of it has to do. Raises `SourceError` for a
    Dockerfile that is wrong itself.
    """
    from frontends.dockerfile.conversion import convert_file

    return convert_file(source, file=file, target=targets[0] if targets else None, find=find, look=look)


def build_checks() -> Mapping[str, Rule]:
    """The build checks, by name."""
    from frontends.dockerfile.rules import RULES

    return RULES


def _texts(params: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The values of arguments; of one that was given several times the last."""
    return {name: value if isinstance(value, str) else value[-1] for name, value in params.items()}
