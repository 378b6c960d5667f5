"""The way of a Dockerfile through this package: parse, arrange, lower for each platform, group into layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from buildkit_py import graph
from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import PybuildError, SourceError
from buildkit_py.graph.resolver import StaticResolver
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic
from frontends.dockerfile import syntax
from frontends.dockerfile.check_options import options_of
from frontends.dockerfile.checks import Checks
from frontends.dockerfile.checks import check_file as check_syntax
from frontends.dockerfile.faults import lowering
from frontends.dockerfile.layers import arrange_layers, idle_ranges
from frontends.dockerfile.lower.image import Image
from frontends.dockerfile.lower.lowering import Lowering
from frontends.dockerfile.parser import parse
from frontends.dockerfile.scope import Globals, global_scope, platform_arguments
from frontends.dockerfile.stages import Stages, arrange
from frontends.dockerfile.start_checks import default_bases, on_from
from frontends.dockerfile.unused import unknown_stages, unused_arguments

_OWN_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@](?!.*labs).*)?\Z")
NAMELESS = "image"
"""What an image is called whose stage has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One compilation: a parsed file, and all that is said about it from outside."""

    file: syntax.File
    name: str
    resolver: graph.Resolver
    given: Mapping[str, str]
    settings: graph.Settings
    hidden: tuple[str, ...]


def compile_file(
    source: str,
    *,
    file: str,
    resolver: graph.Resolver,
    given: Mapping[str, str],
    platforms: Sequence[Platform],
    targets: Sequence[str],
    hidden: tuple[str, ...],
    settings: graph.Settings | None,
) -> graph.Definition:
    """The definition of a Dockerfile's targets for all platforms; raises `SourceError`."""
    request = Request(
        file=parse(source, file),
        name=file,
        resolver=resolver,
        given=given,
        settings=settings or graph.Settings(),
        hidden=hidden,
    )
    return _Compilation(request).build(platforms or (Platform.host(),), targets or ("",))


def check_file(
    source: str,
    *,
    file: str,
    resolver: graph.Resolver | None,
    given: Mapping[str, str],
    targets: Sequence[str],
    settings: graph.Settings | None,
) -> list[Diagnostic]:
    """All that can be said against a Dockerfile, in the order of the text."""
    wishes = replace(settings or graph.Settings(), check=not targets)
    try:
        parsed = parse(source, file)
    except SourceError as error:
        return list(error.diagnostics)
    request = Request(
        file=parsed,
        name=file,
        resolver=resolver or StaticResolver(),
        given=given,
        settings=wishes,
        hidden=(),
    )
    return _Compilation(request).check(targets or ("",))


class _Compilation:
    """One graph under way; what is wrong is collected over all platforms and told once."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._graph = graph.GraphBuilder()
        self._checks = Checks(options_of(request.file, request.given))
        self._diagnostics: dict[Diagnostic, None] = {}
        self._unused: dict[Diagnostic, None] = {}

    def build(self, platforms: Sequence[Platform], targets: Sequence[str]) -> graph.Definition:
        """Lower all targets; raises `SourceError` with everything that is wrong."""
        check_syntax(self._request.file, self._checks)
        self._note_syntax()
        for platform in dict.fromkeys(platforms):
            for name in dict.fromkeys(targets):
                self._target(name, platform)
        self._raise_faults()
        fresh = unknown_stages(self._request.file, self._request.settings.fresh)
        for warning in dict.fromkeys((*self._unused, *fresh, *self._checks.warnings)):
            self._graph.warn(warning)
        with lowering(self._request.file.stages[-1].start.span):
            return self._graph.build()

    def check(self, targets: Sequence[str]) -> list[Diagnostic]:
        """Lower without an image in mind, and tell it all."""
        check_syntax(self._request.file, self._checks)
        for name in targets:
            try:
                self._lower(name, Platform.host())
            except SourceError as error:
                self._note(error)
            except PybuildError as error:
                self._diagnostics[Diagnostic(message=error.message, span=error.span, hint=error.hint)] = None
        found = [*self._diagnostics, *dict.fromkeys(self._checks.warnings)]
        return sorted(found, key=lambda item: (item.span is None, item.span and (item.span.line, item.span.column)))

    def _raise_faults(self) -> None:
        if self._diagnostics:
            raise SourceError(sorted(self._diagnostics, key=lambda item: item.span.line if item.span else 0))
        if self._checks.error and self._checks.warnings:
            raise SourceError([replace(warning, severity="error") for warning in self._checks.warnings])

    def _note(self, error: SourceError) -> None:
        self._diagnostics.update(dict.fromkeys(error.diagnostics))

    def _target(self, name: str, platform: Platform) -> None:
        try:
            stages, number, image = self._lower(name, platform)
        except SourceError as error:
            self._note(error)
            return
        if self._diagnostics:
            return
        request = self._request
        for warning in idle_ranges(request.settings.layers, request.file, image.layers):
            self._unused[warning] = None
        layers, history = arrange_layers(image.layers, image.history, request.settings.layers)
        start = stages.nodes[number].stage.start
        with lowering(start.span):
            self._graph.target(
                stages.nodes[number].stage.title or NAMELESS,
                base=image.base,
                layers=layers,
                platform=platform,
                config=image.config.frozen(request.settings.labels),
                annotations=request.settings.annotations,
                history=history,
                span=start.span,
            )

    def _note_syntax(self) -> None:
        """Say that no frontend is fetched, where another than the one that this is was asked for."""
        wanted = self._request.file.syntax
        if wanted and not _OWN_SYNTAX.match(wanted):
            self._graph.warn(
                Diagnostic(
                    message=f"the frontend {wanted} is not fetched: the file is read as a Dockerfile of today",
                    span=None,
                    severity="note",
                )
            )

    def _check_starts(self, stages: Stages, scope: Globals, predefined: Mapping[str, str]) -> None:
        default_bases(self._request.file, predefined, self._checks)
        for start in stages.starts:
            on_from(start, scope, self._checks)

    def _lower(self, name: str, platform: Platform) -> tuple[Stages, int, Image]:
        request = self._request
        last = request.file.stages[-1].title
        predefined = platform_arguments(Platform.host(), platform, name or (last or "").lower(), request.given)
        scope = global_scope(request.file, predefined, request.given)
        stages = arrange(request.file, scope, request.settings.contexts, self._note)
        self._check_starts(stages, scope, predefined)
        number = stages.target(name)
        lowered = Lowering(
            file=request.file,
            name=request.name,
            builder=self._graph,
            resolver=request.resolver,
            settings=request.settings,
            given=request.given,
            globals=scope,
            stages=stages,
            platform=platform,
            checks=self._checks,
            hidden=request.hidden,
        )
        image = lowered.run(number)
        self._diagnostics.update(dict.fromkeys(lowered.diagnostics))
        self._unused.update(dict.fromkeys(unused_arguments(request.file, request.given, predefined, lowered.fired)))
        return stages, number, image
