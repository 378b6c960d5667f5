"""Masking: the text made ready for the grammar, every character kept at its place.

    run make   # quick        →  run \\x02\\x02…          shell text, to the end of the line or of its block
    env A = "x;${b}"  # why   →  env A = "\\x01\\x01…"     the inside of strings and of `${…}`; comments are blank

So the grammar sees neither shell, nor strings, nor comments, and an offset in the masked text is one in the source.
"""

from __future__ import annotations

import re

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic
from frontends.buildfile.shell import Shell, read_shell
from frontends.buildfile.text import SourceText
from frontends.buildfile.words import STATEMENTS

STRING, SHELL, BROKEN = "\x01", "\x02", "\x03"
MAX_NESTING = 40
MAX_FAULTS = 20
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TOKEN = re.compile(
    r"""(?P<newline>\n)|(?P<blank>[ \t]+)|(?P<continuation>\\[ \t]*\n)|(?P<comment>\#[^\n]*)|(?P<string>")
    |(?P<single>')|(?P<open>[(\[])|(?P<close>[)\]])|(?P<begin>\{)|(?P<end>\})|(?P<semicolon>;)|(?P<comma>,)
    |(?P<expression>\$\{)|(?P<word>(?:[^\s"'(){}\[\];,$\\]|\$(?!\{)|\\(?![ \t]*\n))+)|(?P<other>.)""",
    re.VERBOSE,
)
_LONE_END = re.compile(r"(?m)^[ \t]*\}(?=[ \t]*$)")
_WORD_START = re.compile(r"[ \t]*(?:([a-z_]+)[ \t]+[^ \t\n,)\]=:]|[{}])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment with its `#`, without the blanks before it."""

    start: int
    end: int


@dataclass(slots=True, kw_only=True)
class Masked:
    """The masked text and what was taken out of it."""

    text: str
    shells: dict[int, Shell] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    faults: list[tuple[int, Diagnostic]] = field(default_factory=list)


def mask(source: SourceText, start: int = 0, end: int | None = None) -> Masked:
    """Mask a whole text, or the expression between two offsets."""
    return _Scanner(source, start, len(source.text) if end is None else end).run()


class _Scanner:
    def __init__(self, source: SourceText, start: int, end: int) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.text = source.text
        self.at = start
        self.out = list(self.text[start:end])
        self.masked = Masked(text="")
        self.brackets: list[int] = []
        self.braces: list[int] = []
        self.fresh = start == 0
        self.after_comma = False
        self.cut = False

    def run(self) -> Masked:
        for match in _CONTROL.finditer(self.text, self.start, self.end):
            code = ord(match.group())
            self.fill(match.start(), match.end(), "?")
            self.fault(match.start(), match.end(), f"the file holds a control character (code {code})", "take it out")
        while self.at < self.end:
            if len(self.masked.faults) >= MAX_FAULTS:
                self.brackets.clear()
                self.braces.clear()
                self.skip_rest()
                break
            token = _TOKEN.match(self.text, self.at, self.end)
            if token is None or token.lastgroup is None:
                break
            self.at = token.end()
            getattr(self, f"on_{token.lastgroup}")(token.start(), token.end())
        if self.brackets:
            self.unclosed_bracket()
        if self.braces:
            self.unclosed_brace()
        self.masked.text = "".join(self.out)
        return self.masked

    # --- one method a token: offsets of its start and end

    def on_newline(self, start: int, end: int) -> None:
        if self.brackets and self.next_is_statement(end):
            self.unclosed_bracket()
        if self.brackets or self.after_comma:
            self.fill(start, end, " ")
            return
        self.fresh = True

    def on_blank(self, start: int, end: int) -> None:
        pass

    def on_continuation(self, start: int, end: int) -> None:
        self.fill(start, end, " ")

    def on_comment(self, start: int, end: int) -> None:
        self.masked.comments.append(Comment(start=start, end=end))
        self.fill(start, end, " ")

    def on_string(self, start: int, end: int) -> None:
        self.leave_line()
        stop = string_end(self.text, start, self.end)
        if stop is None:
            stop = self.unclosed_string(start)
        self.fill(start, stop, STRING)
        if stop - start > 1:
            self.fill(start, start + 1, '"')
            self.fill(stop - 1, stop, '"')
        self.at = stop

    def unclosed_string(self, start: int) -> int:
        """Report a string without an end; where to go on."""
        line_end = self.line_end(start)
        if self.text.startswith('"""', start):
            self.fault(start, start + 3, 'this text has no closing `"""`', 'end it with `"""`')
            self.cut = True
            return self.end
        opened = self.text.rfind("${", start, line_end)
        if opened >= 0 and "}" not in self.text[opened:line_end]:
            self.fault(opened, opened + 2, "this `${` is never closed", "end it with `}` before the closing quote")
        else:
            self.fault(start, line_end, "this string has no closing quote", 'end it with `"` on the same line')
        return line_end

    def on_single(self, start: int, end: int) -> None:
        self.leave_line()
        closing = self.text.find("'", end, self.line_end(start))
        stop = closing + 1 if closing >= 0 else end
        self.fill(start, stop, STRING)
        self.at = stop
        hint = f'write "{self.text[end : stop - 1]}"' if closing >= 0 else None
        self.fault(start, stop, "strings are written in double quotes", hint)

    def on_open(self, start: int, end: int) -> None:
        self.leave_line()
        self.brackets.append(start)
        if len(self.brackets) > MAX_NESTING:
            self.fault(start, end, f"brackets are nested more than {MAX_NESTING} deep", "make it simpler")
            self.brackets.clear()
            self.skip_rest()

    def on_close(self, start: int, end: int) -> None:
        self.leave_line()
        opener = {")": "(", "]": "["}[self.text[start]]
        if not self.brackets:
            self.fault(start, end, f"nothing is open that this `{self.text[start]}` could close", "take it out")
        elif self.text[self.brackets[-1]] != opener:
            begin = self.brackets.pop()
            closing = {"(": ")", "[": "]"}[self.text[begin]]
            self.fault(start, end, f"`{self.text[begin]}` is closed by `{self.text[start]}`", f"write `{closing}` here")
        else:
            self.brackets.pop()

    def on_begin(self, start: int, end: int) -> None:
        if self.brackets:
            self.unclosed_bracket()
        self.braces.append(start)
        self.fresh, self.after_comma = True, False
        if len(self.braces) > MAX_NESTING:
            self.fault(start, end, f"blocks are nested more than {MAX_NESTING} deep", "make it simpler")
            self.braces.clear()
            self.skip_rest()

    def on_end(self, start: int, end: int) -> None:
        if self.brackets:
            self.unclosed_bracket()
        self.fresh, self.after_comma = True, False
        if self.braces:
            self.braces.pop()
            return
        self.fill(start, end, " ")
        self.fault(start, end, "nothing is open that this `}` could close", "take it out", blank=False)

    def on_semicolon(self, start: int, end: int) -> None:
        self.fresh, self.after_comma = True, False

    def on_comma(self, start: int, end: int) -> None:
        self.fresh, self.after_comma = False, True

    def on_expression(self, start: int, end: int) -> None:
        self.leave_line()
        stop = expression_end(self.text, end, self.end)
        if stop is None:
            stop = self.line_end(start)
            self.fault(start, stop, "this `${` is never closed", "end it with `}` on the same line")
        self.fill(start, stop, STRING)
        self.at = stop

    def on_word(self, start: int, end: int) -> None:
        fresh = self.fresh and not self.brackets
        self.leave_line()
        if fresh and self.text[start:end] in ("run", "host"):
            self.shell(start, end)

    def on_other(self, start: int, end: int) -> None:
        self.leave_line()

    # --- helpers

    def shell(self, start: int, end: int) -> None:
        try:
            shell = read_shell(self.source, start, end)
        except SourceError as error:
            stop = self.line_end(start)
            self.masked.faults.append((start, error.diagnostics[0]))
            self.fill(end, stop, BROKEN)
            self.at = stop
            return
        if shell is None:
            return
        shell = self.without_closing(shell)
        self.masked.shells[shell.start] = shell
        self.fill(shell.start, shell.end, SHELL)
        self.at = shell.end
        if shell.fault is not None:
            self.cut = self.cut or shell.end == self.end
            self.masked.faults.append((start, shell.fault))

    def without_closing(self, shell: Shell) -> Shell:
        """Shell text that swallowed the `}` of a block that began on its line: a fault, and the text without it."""
        line = self.source.position(shell.start)[0]
        one_line = self.braces and self.source.position(self.braces[-1])[0] == line
        if shell.block or not one_line or not shell.text.endswith("}"):
            return shell
        if shell.text.count("}") <= shell.text.count("{"):
            return shell
        at = shell.start + len(shell.text) - 1
        word = "host" if self.text[: shell.start].rstrip().endswith("host") else "run"
        hint = f"`{word}` takes the rest of the line: write the `}}` on the next one"
        self.fault(at, at + 1, "shell text takes the rest of its line, this `}` too", hint, blank=False)
        return replace(shell, end=at, text=shell.text[:-1].rstrip(" \t"))

    def leave_line(self) -> None:
        self.fresh, self.after_comma = False, False

    def fill(self, start: int, end: int, char: str) -> None:
        self.out[start - self.start : end - self.start] = char * (end - start)

    def line_end(self, offset: int) -> int:
        found = self.text.find("\n", offset, self.end)
        return self.end if found < 0 else found

    def fault(self, start: int, end: int, message: str, hint: str | None, *, blank: bool = True) -> None:
        """Note a fault; `blank` says that the statement around it can't be parsed."""
        diagnostic = Diagnostic(message=message, span=self.source.span(start, end), hint=hint)
        self.masked.faults.append((start if blank else -1, diagnostic))

    def skip_rest(self) -> None:
        self.fill(self.at, self.end, " ")
        self.at = self.end

    def next_is_statement(self, offset: int) -> bool:
        match = _WORD_START.match(self.text, offset, self.end)
        return match is not None and (match.group(1) is None or match.group(1) in STATEMENTS)

    def unclosed_bracket(self) -> None:
        begin = self.brackets[0]
        closing = {"(": ")", "[": "]"}[self.text[begin]]
        self.fault(begin, begin + 1, f"this `{self.text[begin]}` is never closed", f"close it with `{closing}`")
        self.brackets.clear()

    def unclosed_brace(self) -> None:
        begin = self.braces[-1]
        if not self.cut and not self.misplaced_end():
            self.fault(begin, begin + 1, "this `{` is never closed", "close it with `}`", blank=False)
        self.out.append("\n" + "}" * len(self.braces))

    def misplaced_end(self) -> bool:
        """Report a shell block that took a `}` of another column for text, and the one after it for its end."""
        for shell in self.masked.shells.values():
            found = _LONE_END.search(self.text, shell.start + 1, shell.end - 1)
            if not shell.block or shell.fault or not found or shell.text.count("}") <= shell.text.count("{"):
                continue
            word = "host" if self.text[: shell.start].rstrip().endswith("host") else "run"
            column = len(self.source.indent_at(shell.start)) + 1
            span = self.source.span(shell.start, shell.start + 1)
            notes = (("this `}` stands at another column", self.source.span(found.end() - 1, found.end())),)
            hint = f"move the `}}` to column {column}, where the line of `{word}` begins"
            problem = Diagnostic(message=f"this `{word}` block is never closed", span=span, hint=hint, notes=notes)
            self.masked.faults.append((-1, problem))
            return True
        return False


def string_end(text: str, start: int, limit: int, depth: int = 0) -> int | None:
    """The offset after the string literal that begins at `start`; None where it is not closed."""
    triple = text.startswith('"""', start)
    at = start + (3 if triple else 1)
    while at < limit:
        char = text[at]
        if char == "\\" and (triple or not text.startswith("\n", at + 1)):
            at += 2
        elif char in "\\\n" and not triple:
            return None
        elif text.startswith('"""', at) if triple else char == '"':
            end = at + (3 if triple else 1)
            return end if end <= limit else None
        elif text.startswith("${", at):
            end_or_none = expression_end(text, at + 2, limit, depth + 1)
            if end_or_none is None:
                return None
            at = end_or_none
        else:
            at += 1
    return None


def expression_end(text: str, at: int, limit: int, depth: int = 0) -> int | None:
    """The offset after the `}` of a `${` whose inside begins at `at`; None where it is not closed on its line."""
    while at < limit and depth < 5:
        char = text[at]
        if char == "\n" or char == "{":
            return None
        if char == "}":
            return at + 1
        if char == '"':
            end = string_end(text, at, limit, depth + 1)
            if end is None:
                return None
            at = end
        else:
            at += 1
    return None
