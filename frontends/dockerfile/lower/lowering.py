"""From stages to a graph, for one platform: what the target needs is lowered in the order of the file."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from buildkit_py import graph
from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import PybuildError, SourceError
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference, is_local
from buildkit_py.source import Diagnostic, Span
from buildkit_py.suggest import suggest
from frontends.dockerfile import syntax
from frontends.dockerfile.checks import Checks
from frontends.dockerfile.faults import fault
from frontends.dockerfile.ignore import IgnoreError, read_ignore
from frontends.dockerfile.lower.image import Config, Image
from frontends.dockerfile.lower.stage import StageLowering
from frontends.dockerfile.parser import parse_trigger
from frontends.dockerfile.scope import Globals
from frontends.dockerfile.stages import SCRATCH, Node, Stages, find_context
from frontends.dockerfile.start_checks import base_platform

_LOCAL = "local"
_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"


@dataclass(slots=True, kw_only=True)
class Lowering:
    """One compilation for one platform. `given` are the build arguments of the client, `hidden` context paths that no
    directory shows; `fired` become the triggers of base images."""

    file: syntax.File
    name: str
    builder: graph.GraphBuilder
    resolver: graph.Resolver
    settings: graph.Settings
    given: Mapping[str, str]
    globals: Globals
    stages: Stages
    platform: Platform
    checks: Checks
    hidden: tuple[str, ...] = ()
    diagnostics: list[Diagnostic] = field(default_factory=list)
    fired: list[syntax.Instruction] = field(default_factory=list)
    _images: dict[int, Image] = field(default_factory=dict)
    _triggers: dict[int, list[syntax.Instruction]] = field(default_factory=dict)
    _ignore: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _takes_in: set[str] = field(default_factory=set)
    _locals: dict[str, str] = field(default_factory=dict)

    def note(self, error: SourceError) -> None:
        """Keep what is wrong, and go on."""
        self.diagnostics += error.diagnostics

    def run(self, target: int) -> Image:
        """The image of a stage, all that it needs being lowered before; what is wrong is noted."""
        wanted = range(len(self.stages.nodes)) if self.settings.check else self.stages.reachable(target)
        for number in wanted:
            self.image(number)
        return self.image(target)

    def image(self, number: int) -> Image:
        """What a stage makes."""
        if number not in self._images:
            self._images[number] = self._make(number)
        return self._images[number]

    def tree(self, number: int) -> str:
        """The vertex of a stage's tree."""
        node = self.stages.nodes[number]
        return self.named(node.context, node.stage.start.span) if node.context is not None else self.image(number).tip

    def is_fresh(self, stage: syntax.Stage) -> bool:
        """Whether the client wants a stage made anew."""
        name = stage.title
        return name is not None and any(name.lower() == wanted.lower() for wanted in self.settings.fresh)

    # --- stages

    def _make(self, number: int) -> Image:
        node = self.stages.nodes[number]
        image, triggers = self._begin(node)
        stage = StageLowering(lowering=self, stage=node.stage, image=image, node=node.stage.start, checks=self.checks)
        if node.context is None:
            image.begin()
            stage.perform(triggers, fired=True)
            stage.perform(node.stage.instructions)
        self._triggers[number] = stage.triggers
        return image

    def _begin(self, node: Node) -> tuple[Image, list[syntax.Instruction]]:
        """The image that a stage stands on, and the triggers that it fires."""
        span = node.stage.start.span
        if node.context is not None:
            return self._from_context(node.context, node.platform or self.platform, node.stage), []
        if node.parent is not None:
            return self.image(node.parent).child(), self._triggers.get(node.parent, [])
        platform = node.platform or self.platform
        if node.base == SCRATCH:
            return self._empty(self.platform), []
        context = find_context(node.base, self.settings.contexts)
        if context is not None:
            image = self._from_context(context, platform, node.stage)
        else:
            image = self._from_image(node.base, platform, node.stage.start, hint=node.blank)
        fired = [parse_trigger(text, self.name, span) for text in image.config.on_build]
        image.config.on_build = ()
        self.fired += fired
        return image, fired

    def _empty(self, platform: Platform) -> Image:
        base = self.builder.add(graph.Scratch())
        return Image(platform=platform, base=base, tip=base, config=Config(workdir="/"), workdir_is_there=True)

    def _from_image(self, name: str, platform: Platform, start: syntax.From, *, hint: str | None = None) -> Image:
        span = start.base.span
        ref = _reference(name, span, hint)
        resolved = self._resolve(ref, platform, span, name)
        base_platform(name, platform, resolved.platform, start, self.checks)
        source = graph.ImageSource(ref=ref, platform=str(platform), digest=resolved.digest)
        vertex = self.builder.add(source, span=span)
        config = Config.of(resolved.config)
        if config.workdir:
            config.workdir = "/" + posixpath.normpath(posixpath.join("/", config.workdir)).lstrip("/")
        return Image(
            platform=platform,
            base=vertex,
            tip=vertex,
            config=config,
            workdir_is_there=config.workdir in ("", "/"),
            base_is_known=resolved.digest is not None,
        )

    def _resolve(self, ref: str, platform: Platform, span: Span, name: str) -> graph.ResolvedImage:
        try:
            return self.resolver.image(ref, platform)
        except PybuildError as error:
            error.span = error.span or span
            # A registry's own hint is about logins; of a name without a tag, a slip in that of a stage is likelier.
            close = suggest(name, self.stages.names()) if not set(":/@") & set(name) else None
            if close:
                error.hint = f"did you mean the stage `{close}`?"
            raise

    # --- trees from outside

    def context(self) -> str:
        """The vertex of the build context."""
        return self._local("context", self.hidden)

    def _local(self, name: str, hidden: tuple[str, ...] = ()) -> str:
        if name not in self._locals:
            source = graph.LocalSource(name=name, ignore=self.ignored(name), hidden=hidden, special=True)
            self._locals[name] = self.builder.add(source)
        return self._locals[name]

    def ignored(self, name: str) -> tuple[str, ...]:
        """The patterns of a context's ignore file; that which bears the Dockerfile's name goes before the other."""
        if name not in self._ignore:
            candidates = [".dockerignore"]
            if name == "context":
                candidates.insert(0, f"{self.name}.dockerignore")
            self._ignore[name] = ()
            for path in candidates:
                text = self.resolver.find(path, name)
                if text is not None:
                    self._ignore[name] = _patterns(text, path)
                    if any(line.strip().startswith("!") for line in text.splitlines()):
                        self._takes_in.add(name)
                    break
        return self._ignore[name]

    def surely_ignored(self) -> tuple[str, ...]:
        """The patterns of the context's ignore file, unless one takes something in again: then nobody can say."""
        patterns = self.ignored("context")
        return () if "context" in self._takes_in else patterns

    def foreign(self, name: str, span: Span) -> str:
        """The tree of what is no stage: nothing, a named context, or an image."""
        if name == SCRATCH:
            return self.builder.add(graph.Scratch())
        context = find_context(name, self.settings.contexts)
        if context is not None:
            return self.named(context, span)
        ref = _reference(name, span)
        resolved = self._resolve(ref, self.platform, span, name)
        return self.builder.add(
            graph.ImageSource(ref=ref, platform=str(self.platform), digest=resolved.digest), span=span
        )

    def named(self, name: str, span: Span) -> str:
        """The tree of a named context."""
        spec = self.settings.contexts[name]
        if spec == _LOCAL:
            return self._local(name)
        ref = _context_image(spec, span)
        resolved = self._resolve(ref, self.platform, span, ref)
        return self.builder.add(
            graph.ImageSource(ref=ref, platform=str(self.platform), digest=resolved.digest), span=span
        )

    def _from_context(self, name: str, platform: Platform, stage: syntax.Stage) -> Image:
        """A named context as a base: an image as it is, a directory as one layer on nothing."""
        span = stage.start.span
        spec = self.settings.contexts[name]
        if spec != _LOCAL:
            return self._from_image(_context_image(spec, span), platform, stage.start)
        image = self._empty(platform)
        op = graph.Copy(sources=("/",), dest="/", contents="always")
        tip = self.builder.add(op, span=span, inputs={"base": image.tip, "from": self._local(name)})
        image.layer(f"FROM {name}", tip, stage.number, span)
        return image


def _patterns(text: str, path: str) -> tuple[str, ...]:
    try:
        return read_ignore(text)
    except IgnoreError as error:
        span = Span(path, error.line, error.column, error.line, error.column + 1)
        raise fault(error.message, span, hint=error.hint) from None


def _context_image(spec: str, span: Span) -> str:
    if spec.startswith(_LAYOUT):
        return f"oci:{spec.removeprefix(_LAYOUT)}"
    return _reference(spec.removeprefix(_IMAGE), span)


def _reference(name: str, span: Span, hint: str | None = None) -> str:
    if is_local(name):
        return name
    try:
        return str(Reference.parse(name))
    except PybuildError as error:
        raise fault(error.message, span, hint=hint or error.hint) from None
