"""The one layout of all Buildfiles (`pybuild fmt`): indents, blanks between words, blank lines. Line breaks, comments,
strings and shell text stay as they are, so the graph of the file stays the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceError
from frontends.buildfile.mask import Masked, mask
from frontends.buildfile.parser import parse
from frontends.buildfile.shell import Shell
from frontends.buildfile.text import SourceText
from frontends.buildfile.words import STATEMENTS

INDENT = "    "
_COARSE = re.compile(r'"[^"]*"|[{}()\[\],;]|\x02+|[^\s{}()\[\],;"\x02]+')
_FINE = re.compile(
    r'"[^"]*"|[{}()\[\],;.]|\x02+|==|!=|[=|+:]|-?[0-9]+|[A-Za-z_][A-Za-z0-9_-]*|[^\s{}()\[\],;".\x02=|+:A-Za-z_0-9]+'
)
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*[ \t]*:")
_WORDY = frozenset({"param", "def", "env", "label", "annotation", "if", "else", "for", "entrypoint", "command"})
_SPACED = frozenset({"and", "or", "not", "in", "if", "=", "==", "!=", "+", ",", "|", ":"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A word, mark, string, comment or shell text, and the offsets that it covers."""

    start: int
    end: int
    text: str
    shell: Shell | None = None
    comment: bool = False


def format_source(text: str) -> str:
    """The formatted text; raises `SourceError` where it can't be parsed."""
    source = SourceText.of(text, "Buildfile")
    _, diagnostics = parse(source)
    if diagnostics:
        raise SourceError(diagnostics)
    masked = mask(source)
    items = sorted([*_words(source, masked), *_comments(source, masked)], key=lambda item: item.start)
    return _Printer(source).run(items)


def _comments(source: SourceText, masked: Masked) -> Iterator[_Item]:
    for comment in masked.comments:
        text = source.text[comment.start : comment.end].rstrip()
        yield _Item(start=comment.start, end=comment.end, text=text, comment=True)


def _words(source: SourceText, masked: Masked) -> Iterator[_Item]:
    at, fresh, fine, called, before = 0, True, False, False, ""
    text = masked.text
    while at < len(text):
        char = text[at]
        if char in " \t\n":
            fresh = fresh or char == "\n"
            called = called and char != "\n"
            at += 1
            continue
        if fresh:
            first = _COARSE.match(text, at)
            word = first.group() if first else ""
            fine = word in _WORDY or (word not in STATEMENTS and word not in "{};")
        # Only between the brackets of a call, at the start of an argument, a word may be the name of one.
        key = _KEY.match(text, at) if called and before in ("(", ",") and not fine else None
        match = key or (_FINE if fine else _COARSE).match(text, at) or _COARSE.match(text, at)
        end = match.end() if match else at + 1
        fresh = char in "{};"
        written = source.text[at:end] if key is None else "".join(key.group().split())
        yield _Item(start=at, end=end, text=written, shell=masked.shells.get(at))
        called, before = char == "(" or (called and char != ")"), text[end - 1]
        at = end


class _Printer:
    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.lines: list[str] = []
        self.comments: dict[int, str] = {}
        self.line = ""
        self.previous: _Item | None = None
        self.last_mark = ""
        self.depth = 0
        self.brackets = 0
        self.continued = False

    def run(self, items: list[_Item]) -> str:
        for index, item in enumerate(items):
            following = items[index + 1] if index + 1 < len(items) else None
            if item.text == ";" and self.useless(item, following):
                continue
            self.put(item)
        self.flush()
        self.align()
        return "".join(line + "\n" for line in self.lines)

    def align(self) -> None:
        """Put the comments that follow something on lines one below the other into one column."""
        for first in self.comments:
            if first - 1 in self.comments:
                continue
            run = [first]
            while run[-1] + 1 in self.comments:
                run.append(run[-1] + 1)
            bare = {number: self.lines[number].removesuffix(self.comments[number]).rstrip() for number in run}
            column = max(len(line) for line in bare.values()) + 2
            for number, line in bare.items():
                self.lines[number] = line.ljust(column) + self.comments[number]

    def useless(self, item: _Item, following: _Item | None) -> bool:
        """Whether a `;` ends nothing that is not ended anyway."""
        if following is None or following.text in ("}", ";") or following.comment:
            return True
        if self.previous is None or self.previous.text in ("{", ";"):
            return True
        return "\n" in self.source.text[item.end : following.start]

    def put(self, item: _Item) -> None:
        if self.previous is not None:
            gap = self.source.text[self.previous.end : item.start]
            if "\n" in gap:
                self.break_line(gap, item)
        if item.text in ("}", ")", "]") and item.shell is None:
            self.depth -= 1
            self.brackets -= item.text != "}"
        if not self.line:
            self.line = INDENT * (self.depth + self.continued)
        elif self.previous is not None:
            self.line += self.between(self.previous, item)
        self.line += item.text if item.shell is None or not item.shell.block else self.block(item)
        if item.text in ("{", "(", "[") and item.shell is None:
            self.depth += 1
            self.brackets += item.text != "{"
        self.previous = item
        if not item.comment:
            self.last_mark = item.text

    def break_line(self, gap: str, item: _Item) -> None:
        assert self.previous is not None
        continues = "\\" in gap
        if continues:
            self.line += " \\"
        listing = self.last_mark == "," and not self.brackets
        self.flush()
        self.continued = continues or listing
        blank = gap.count("\n") > 1 and self.previous.text != "{" and item.text != "}"
        if blank and not continues:
            self.lines.append("")

    def block(self, item: _Item) -> str:
        """A shell block, its text one step deeper than its first line."""
        assert item.shell is not None
        indent = self.line[: len(self.line) - len(self.line.lstrip())]
        head = item.text.split("\n", 1)[0][1:].strip()
        body = "".join(f"{indent}{INDENT}{line}\n" if line else "\n" for line in item.shell.text.split("\n"))
        return "{" + (f"  {head}" if head else "") + "\n" + body + indent + "}"

    def between(self, left: _Item, right: _Item) -> str:
        """The blanks between two items of one line."""
        if right.comment:
            return "  "
        if left.shell is None and (left.text in ("(", "[") or left.text == "."):
            return ""
        if right.text in (")", "]", ",", ";", ".", ":") and right.shell is None:
            return ""
        if right.text == "(" and left.text not in _SPACED and left.text[-1] not in "([":
            return ""
        return " "

    def flush(self) -> None:
        if self.line:
            last = self.previous
            if last is not None and last.comment and self.line.strip() != last.text and "\n" not in self.line:
                self.comments[len(self.lines)] = last.text
            self.lines.append(self.line.rstrip(" \t"))
        self.line = ""
