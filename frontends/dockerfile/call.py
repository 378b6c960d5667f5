"""One instruction on its way from a logical line to a node: what all instructions have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.dockerfile.faults import fault
from frontends.dockerfile.flags import Command, Given, Kind, read_flags, split_command
from frontends.dockerfile.lines import Logical
from frontends.dockerfile.syntax import Heredoc
from frontends.dockerfile.text import Part


class Common(TypedDict):
    """The fields that every node has."""

    keyword: str
    text: str
    comments: tuple[str, ...]
    span: Span
    head: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An instruction to be read. `escape` is the file's. What is wrong with it, but does not keep it from being read
    on, is collected in `faults`."""

    command: Command
    end: int
    escape: str
    comments: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    is_lost: bool = False
    faults: list[Diagnostic] = field(default_factory=list)

    @classmethod
    def of(cls, logical: Logical, escape: str) -> Call:
        """The instruction of a logical line."""
        return cls(
            command=logical.command,
            end=logical.end,
            escape=escape,
            comments=logical.comments,
            heredocs=logical.heredocs,
            is_lost=logical.is_lost,
        )

    @property
    def name(self) -> str:
        """The instruction's name in capitals."""
        return self.command.keyword.text.upper()

    @property
    def head(self) -> Part:
        """The keyword."""
        return self.command.keyword

    @property
    def args(self) -> Part:
        """All behind the flags."""
        return self.command.args

    def common(self) -> Common:
        """The fields that every node has."""
        head = self.head.span
        whole = self.command.whole
        line, column = whole.line.source.end(head, self.end)
        span = Span(head.file, head.line, head.column, line, column)
        return Common(keyword=self.head.text, text=whole.text, comments=self.comments, span=span, head=head)

    def flags(self, known: Mapping[str, Kind]) -> Given:
        """The flags among those that the instruction takes. What is wrong with them is collected."""
        given = read_flags(self.name, self.command.flags, known)
        self.faults.extend(given.faults)
        return given

    def inner(self) -> Call:
        """The instruction that the arguments of this one are."""
        return replace(self, command=split_command(self.args), comments=())

    def require(self, example: str) -> None:
        """Refuse an instruction without arguments; raises `SourceError`."""
        if not self.args.text:
            raise self.wrong(f"{self.name} needs an argument", f"write {example}")

    def wrong(self, message: str, hint: str, part: Part | None = None) -> SourceError:
        """A fault of this instruction, at its keyword or at a part of it, ready to be raised."""
        return fault(message, (part or self.head).span, hint=hint)
