"""Text to syntax: every instruction is read by itself, so one run tells all that is wrong.

text ──directives──▶ escape ──lines──▶ logical lines ──instructions──▶ nodes ──▶ stages
"""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.dataclass import replace
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.dockerfile import syntax
from frontends.dockerfile.call import Call
from frontends.dockerfile.directives import ESCAPES, Directives, read_directives
from frontends.dockerfile.faults import fault
from frontends.dockerfile.instructions import read
from frontends.dockerfile.lines import Lines, Logical
from frontends.dockerfile.text import MAX_CHARACTERS, Source

MAX_FAULTS = 50
"""Who has more than that to mend has enough to begin with."""


def parse(source: str, file: str) -> syntax.File:
    """Parse a Dockerfile; raises `SourceError` with all that is wrong, in the order of the text."""
    _check_length(source, file)
    text = Source.of(source, file)
    directives = read_directives(text)
    parser = _Parser(directives)
    parser.read(Lines(text, directives).read())
    if parser.faults:
        raise SourceError(sorted(parser.faults, key=_position))
    if not parser.stages:
        raise _no_stage(file, parser.globals)
    return syntax.File(
        globals=tuple(parser.globals),
        stages=tuple(parser.stages),
        escape=directives.escape,
        syntax=directives.syntax,
        check=directives.check,
        warnings=tuple(parser.warnings),
    )


def parse_trigger(text: str, file: str, span: Span) -> syntax.Instruction:
    """Parse an ONBUILD trigger from a base image's configuration. Every span is `span`, that of the FROM.

    Raises `SourceError`.
    """
    _check_length(text, file)
    source = Source.of(text, file, place=span)
    found: list[syntax.Instruction] = []
    try:
        for logical in Lines(source, Directives()).read():
            found.append(_instruction(logical, ESCAPES[0]))
            if len(found) > 1:
                raise fault("it is more than one instruction", span)
        if not found:
            raise fault("it holds no instruction", span)
        if isinstance(found[0], syntax.From):
            raise fault("it can't be a FROM", span)
    except SourceError as error:
        raise SourceError([_of_trigger(each, text) for each in error.diagnostics]) from None
    return found[0]


def _of_trigger(diagnostic: Diagnostic, text: str) -> Diagnostic:
    shown = text.split("\n", 1)[0]
    message = f"the base image's ONBUILD {shown[:80]!r} can't be run: {diagnostic.message}"
    return replace(diagnostic, message=message, notes=())


def _check_length(text: str, file: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise fault(
            f"a Dockerfile may have {MAX_CHARACTERS} characters, {file} has {len(text)}",
            None,
            hint="copy large texts from files of the context",
        )


def _no_stage(file: str, arguments: list[syntax.Arg]) -> SourceError:
    if arguments:
        return fault(
            "no stage begins in this file", arguments[-1].head, hint="write FROM image below the global arguments"
        )
    place = Span(file, 1, 1, 1, 1)
    return fault("there is no instruction in this file", place, hint="a Dockerfile begins with FROM image")


def _position(diagnostic: Diagnostic) -> tuple[int, int]:
    return (diagnostic.span.line, diagnostic.span.column) if diagnostic.span else (0, 0)


def _instruction(logical: Logical, escape: str) -> syntax.Instruction:
    """Read one logical line; raises `SourceError`."""
    if logical.fault is not None:
        raise SourceError([logical.fault])
    call = Call.of(logical, escape)
    try:
        node = read(call)
    except SourceError as error:
        raise SourceError([*call.faults, *error.diagnostics]) from None
    if call.faults:
        raise SourceError(call.faults)
    return node


def _at_head(diagnostic: Diagnostic, head: Span) -> Diagnostic:
    """A fault is named by the line that its instruction begins on; where it stands farther down, a note says so."""
    span = diagnostic.span
    if span is None or span.line == head.line:
        return diagnostic
    return replace(diagnostic, span=head, notes=(("it stands here", span), *diagnostic.notes))


class _Parser:
    """Puts instructions into stages."""

    def __init__(self, directives: Directives) -> None:
        self.globals: list[syntax.Arg] = []
        self.stages: list[syntax.Stage] = []
        self.warnings: list[Diagnostic] = []
        self.faults = list(directives.faults)
        self._escape = directives.escape
        self._start: syntax.From | None = None
        self._body: list[syntax.Instruction] = []
        self._is_lost = False

    def read(self, lines: Iterator[Logical]) -> None:
        """Read all lines, or as many as it takes to find more faults than anybody wants to know."""
        for logical in lines:
            if len(self.faults) >= MAX_FAULTS:
                return
            if logical.warning is not None:
                self.warnings.append(logical.warning)
            try:
                self._take(_instruction(logical, self._escape))
            except SourceError as error:
                head = logical.command.keyword
                self.faults.extend(_at_head(each, head.span) for each in error.diagnostics)
                self._is_lost = self._is_lost or head.text.lower() == "from"
        self._close()

    def _take(self, node: syntax.Instruction) -> None:
        if isinstance(node, syntax.From):
            self._close()
            self._start = node
        elif self._start is not None:
            self._body.append(node)
        elif isinstance(node, syntax.Arg):
            self.globals.append(node)
        elif not self._is_lost:
            # One of these is enough: what follows up to the first FROM has the same fault.
            self._is_lost = True
            hint = "only ARG may stand above the first FROM; write FROM image first"
            raise fault(f"{node.name} stands above the first FROM", node.head, hint=hint)

    def _close(self) -> None:
        """End the stage that is open."""
        if self._start is None:
            return
        stage = syntax.Stage(
            number=len(self.stages), start=self._start, instructions=tuple(self._body), doc=_doc(self._start)
        )
        self.stages.append(stage)
        self._start = None
        self._body.clear()


def _doc(start: syntax.From) -> str:
    """The first comment above a FROM that begins with the stage's name, without it."""
    if start.stage is None:
        return ""
    name = f"{start.stage.text.lower()} "
    return next((comment.removeprefix(name) for comment in start.comments if comment.startswith(name)), "")
