"""Shell text: where it begins and ends, and which names it mentions. It is taken as written, never parsed."""

from __future__ import annotations

import re

from buildkit_py.dataclass import dataclass
from buildkit_py.source import Diagnostic
from frontends.buildfile.text import SourceText, dedent, fault

_LINE = re.compile(r"(?:[^\\\n]|\\[\s\S]|\\\Z)*")
_MENTION = re.compile(r"\$(?:\{[#!]?)?([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The shell text of one `run` or `host`, at `start` up to `end` of the source; a block's text is dedented."""

    start: int
    end: int
    text: str
    block: bool
    fault: Diagnostic | None = None

    @property
    def interpreter(self) -> tuple[str, ...]:
        """The words of a `#!` first line of a block; empty for the shell."""
        first = self.text.split("\n", 1)[0]
        return tuple(first[2:].split()) if self.block and first.startswith("#!") else ()


def mentions(text: str) -> list[str]:
    """The names that stand in shell text as `$name` or `${name…}`, each once, in order."""
    return list(dict.fromkeys(_MENTION.findall(text)))


def read_shell(source: SourceText, start: int, end: int) -> Shell | None:
    """The shell text after the word `run` or `host` at `start` to `end`; None for `run ["program"]` and for nothing.

    Raises `SourceError` for a block that is written on one line.
    """
    text = source.text
    at = end
    while at < len(text) and text[at] in " \t":
        at += 1
    if at == len(text) or text[at] in "\n;}":
        return None
    if text[at] == "[" and not text.startswith(("[ ", "[\t", "[["), at):
        return None
    if text[at] != "{":
        stop = _line_end(text, at)
        return Shell(start=at, end=stop, text=text[at:stop].rstrip(" \t"), block=False)
    return _read_block(source, start, at)


def _line_end(text: str, at: int) -> int:
    match = _LINE.match(text, at)
    return match.end() if match else at


def _read_block(source: SourceText, start: int, opener: int) -> Shell:
    text = source.text
    word = "run" if text.startswith("run", start) else "host"
    line_end = text.find("\n", opener)
    line_end = len(text) if line_end < 0 else line_end
    rest = text[opener + 1 : line_end].strip()
    if rest and not rest.startswith("#"):
        raise fault(
            f"the text of a `{word}` block begins on the line after its `{{`",
            source.span(opener + 1, line_end),
            hint=f"write `{word} {rest.rstrip('}').strip()}`, or put it on lines of its own between `{{` and `}}`",
        )
    indent = source.indent_at(start)
    first, stop, problem = _find_closing(source, line_end, indent, opener, word)
    body = text[line_end + 1 : first]
    return Shell(start=opener, end=stop, text=dedent(body).removesuffix("\n"), block=True, fault=problem)


def _find_closing(
    source: SourceText, line_end: int, indent: str, opener: int, word: str
) -> tuple[int, int, Diagnostic | None]:
    """Offsets of the closing line and after its `}`, and what is wrong with it."""
    text = source.text
    at = line_end + 1
    other: tuple[int, int] | None = None
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].rstrip()
        if line == indent + "}":
            return at, at + len(line), None
        if line.strip() == "}" and other is None:
            other = (at, at + len(line))
        at = end + 1
    span = source.span(opener, opener + 1)
    message = f"this `{word}` block is never closed"
    if other is None:
        problem = Diagnostic(message=message, span=span, hint=f"end it with a line that is only `}}`, below `{word}`")
        return len(text), len(text), problem
    problem = Diagnostic(
        message=message,
        span=span,
        hint=f"move the `}}` to column {len(indent) + 1}, where the line of `{word}` begins",
        notes=(("this `}` stands at another column", source.span(other[1] - 1, other[1])),),
    )
    return other[0], other[1], problem
