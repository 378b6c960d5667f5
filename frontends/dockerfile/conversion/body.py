"""A block under way: statements with the comments above them, what `with` gives them, and the blank lines between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from buildkit_py.dataclass import dataclass, field
from frontends.dockerfile.conversion.language import WIDTH, indented


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Lines of one statement. `grants` are what `with` gives it; `blank` asks for an empty line above."""

    lines: Sequence[str]
    grants: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    blank: bool = False


@dataclass(slots=True, kw_only=True)
class Body:
    """The statements of a block. What is said of the next one (`comments`, `blank`) waits for it."""

    statements: list[Statement] = field(default_factory=list)
    _comments: tuple[str, ...] = ()
    _blank: bool = False

    def expect(self, comments: tuple[str, ...], *, blank: bool) -> None:
        """Have comments, and perhaps an empty line, stand above the next statement."""
        self._comments += comments
        self._blank = self._blank or blank

    def add(self, *lines: str, grants: Sequence[str] = ()) -> None:
        """Add a statement."""
        made = Statement(lines=lines, grants=tuple(grants), comments=self._comments, blank=self._blank)
        self.statements.append(made)
        self._comments, self._blank = (), False

    def lines(self) -> Iterator[str]:
        """The text of the block; statements that are given the same share a block of `with`."""
        first = True
        for grants, run in groupby(self.statements, key=lambda item: item.grants):
            together = list(run)
            if together[0].blank and not first:
                yield ""
            first = False
            if not grants:
                yield from _plain(together)
            elif len(together) == 1:
                yield from _comments(together[0])
                yield _with(grants)
                yield from together[0].lines
            else:
                yield from _comments(together[0])
                yield f"{_with(grants)} {{"
                yield from indented(_plain([Statement(lines=together[0].lines), *together[1:]]))
                yield "}"
        yield from (f"# {line}" for line in self._comments)


def _plain(statements: list[Statement]) -> Iterator[str]:
    for number, statement in enumerate(statements):
        if statement.blank and number:
            yield ""
        yield from _comments(statement)
        yield from statement.lines


def _comments(statement: Statement) -> Iterator[str]:
    yield from (f"# {line}".rstrip() for line in statement.comments)


def _with(grants: tuple[str, ...]) -> str:
    line = f"with {', '.join(grants)}"
    return line if len(line) <= WIDTH else "with " + ",\n    ".join(grants)
