"""One stage under way: instructions in their order change its image."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from buildkit_py import graph
from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import PybuildError, SourceError
from buildkit_py.giturl import Address, AddressError, read_address
from buildkit_py.source import joined
from frontends.dockerfile import syntax
from frontends.dockerfile.checks import Checks
from frontends.dockerfile.expand import expand, expand_words
from frontends.dockerfile.faults import expanding, fault, lowering
from frontends.dockerfile.lower import config
from frontends.dockerfile.lower.copy import copy, owner_of
from frontends.dockerfile.lower.image import Image
from frontends.dockerfile.lower.run import run
from frontends.dockerfile.stages import check_above
from frontends.dockerfile.step_checks import Single, on_workdir, undefined

if TYPE_CHECKING:
    from buildkit_py.source import Span
    from frontends.dockerfile.lower.lowering import Lowering


@dataclass(slots=True, kw_only=True)
class StageLowering:
    """A stage and the image that it has made so far. `node` is the instruction under way, `checks` what takes warnings
    about it. `command_set` says that this stage has a CMD of its own. `origin` is where an instruction comes from that
    this stage does not hold."""

    lowering: Lowering
    stage: syntax.Stage
    image: Image
    node: syntax.Instruction
    checks: Checks
    command_set: bool = False
    origin: str | None = None
    single: Single = field(default_factory=Single)
    triggers: list[syntax.Instruction] = field(default_factory=list)

    def perform(self, instructions: Iterable[syntax.Instruction], *, fired: bool = False) -> None:
        """Take instructions in order; `fired` are triggers of what the stage stands on. What is wrong with one is
        noted, and the next is taken all the same."""
        checks = self.lowering.checks
        for node in instructions:
            self.node = node
            self.checks = checks.at(self.stage.start.head) if fired else checks.above(node.comments)
            self.origin = f"it comes from ONBUILD of {self.stage.start.base.text}: {node.text}" if fired else None
            try:
                _INSTRUCTIONS[type(node)](self, node)
            except SourceError as error:
                found = [replace(item, hint=joined(item.hint, self.origin)) for item in error.diagnostics]
                self.lowering.note(SourceError(found))
            except PybuildError as error:
                error.span, error.hint = error.span or node.span, joined(error.hint, self.origin)
                raise

    # --- words

    def word(self, text: str, span: Span) -> str:
        """A word with its variables expanded and its quotes taken away."""
        with expanding(span):
            found = expand(text, self.image.env, escape=self.lowering.file.escape)
        self.look_at(found.unset, span)
        return found.text

    def look_at(self, unset: Iterable[str], span: Span) -> None:
        """Warn of variables without a value; where the base is not known, neither are its variables."""
        if unset and self.image.base_is_known:
            image = self.image
            undefined(unset, env=image.env, declared=image.args, node=self.node, word=span, checks=self.checks)

    def words(self, word: syntax.Word) -> tuple[str, ...]:
        """What a word stands for where a variable may hold several."""
        with expanding(word.span):
            return expand_words(word.text, self.image.env, escape=self.lowering.file.escape)[0]

    def address(self, text: str, span: Span) -> Address:
        """What kind of source a word of ADD is."""
        try:
            return read_address(text)
        except AddressError as error:
            raise fault(error.message, span, hint=error.hint) from None

    @contextmanager
    def at(self, span: Span) -> Iterator[None]:
        """What the world answers with a fault was asked for at `span`."""
        try:
            yield
        except PybuildError as error:
            error.span = error.span or span
            raise

    # --- vertices

    def add(self, op: graph.Op, span: Span, inputs: Mapping[str, str]) -> str:
        """A vertex; where the client wants this stage made anew, one that runs whatever is known of it."""
        digest = self.lowering.builder.add(op, span=span, inputs=inputs)
        if self.origin is not None:
            self.lowering.builder.hint(digest, self.origin)
        if self.lowering.is_fresh(self.stage):
            self.lowering.builder.fresh(digest)
        return digest

    def scratch(self) -> str:
        """The empty tree."""
        return self.lowering.builder.add(graph.Scratch())

    def copied_from(self, node: syntax.Copy) -> str:
        """The tree that a COPY takes from: a stage, an image, a named context, or the context."""
        flag = node.from_
        if flag is None:
            return self.lowering.context()
        name = flag.value or ""
        with expanding(flag.span):
            if expand(name, {}, escape=self.lowering.file.escape).text != name:
                raise fault(
                    "--from takes no variables",
                    flag.value_span or flag.span,
                    hint=f"give the image a stage of its own above: FROM {name} AS NAME, and write --from=NAME",
                )
        return self._tree(self.lowering.stages.source(flag), name, flag.span)

    def mounted(self, name: str | None, span: Span) -> str:
        """The tree that a mount shows: a stage, an image, a named context, nothing, or the context."""
        if not name:
            return self.lowering.context()
        return self._tree(self.lowering.stages.find(name), name, span)

    def _tree(self, number: int | None, name: str, span: Span) -> str:
        if number is None:
            return self.lowering.foreign(name, span)
        check_above(self.lowering.stages, number, self.stage.number, span)
        return self.lowering.tree(number)

    def make_workdir(self, span: Span) -> None:
        """Have the working directory there, as a container runtime would, before a process starts in it."""
        image = self.image
        if image.workdir_is_there or image.config.workdir in ("", "/"):
            return
        op = graph.Mkdir(path=image.config.workdir, keep_existing=True)
        image.tip = self.add(op, span, {"base": image.tip})
        image.workdir_is_there = True


def workdir(stage: StageLowering, node: syntax.Workdir) -> None:
    """WORKDIR: every directory that it makes belongs to USER; the root needs no layer.

    An empty path stays where it is, and an absolute one is kept as it is written.
    """
    image = stage.image
    written = stage.word(node.path.text, node.path.span)
    on_workdir(node, written, stage.checks, is_known=image.workdir_set)
    image.workdir_set = True
    path = written
    if not written.startswith("/"):
        path = "/" + posixpath.normpath(posixpath.join("/", image.config.workdir, written)).lstrip("/")
    image.config.workdir = path
    image.workdir_is_there = True
    if path == "/":
        image.note(f"WORKDIR {path}", node.span)
        return
    owner = owner_of(image.config.user or "0:0")
    op = graph.Mkdir(path=path, owner=owner, keep_existing=True, made="alike")
    with lowering(node.span):
        tip = stage.add(op, node.span, {"base": image.tip})
    image.layer(f"WORKDIR {path}", tip, stage.stage.number, node.span)


_INSTRUCTIONS: dict[type[syntax.Instruction], Callable[[StageLowering, Any], None]] = {
    syntax.Arg: config.arg,
    syntax.Cmd: config.cmd,
    syntax.Copy: copy,
    syntax.Entrypoint: config.entrypoint,
    syntax.Env: config.env,
    syntax.Expose: config.expose,
    syntax.Healthcheck: config.healthcheck,
    syntax.Label: config.label,
    syntax.Maintainer: config.maintainer,
    syntax.OnBuild: config.on_build,
    syntax.Run: run,
    syntax.Shell: config.shell,
    syntax.StopSignal: config.stop_signal,
    syntax.User: config.user,
    syntax.Volume: config.volume,
    syntax.Workdir: workdir,
}
