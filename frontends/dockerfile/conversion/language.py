"""The Buildfile language as far as it is written here: words, strings, lists, names; `spec/buildfile.md` defines it.

A text under way may hold marks: single characters of a plane that nobody writes in, each of which stands for an
expression of the language. So a text that depends on a param is a text like others, until it is printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from buildkit_py.dataclass import dataclass, field

_FIRST = 0xF0000
_MARK = re.compile("[\U000f0000-\U000ffffd]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BARE = re.compile(r"[A-Za-z0-9_./@%+*?\U000f0000-\U000ffffd][A-Za-z0-9_./@%+*?:=~^-]*|:[A-Za-z0-9_.-]+\Z")
_VARIABLE = re.compile(r"\$(?=[A-Za-z_{])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_SHELL_NAMES = frozenset({"PATH", "HOME", "ROOTFS", "SOURCE_DATE_EPOCH", "IFS", "PWD", "SHELL", "USER", "ENV"})
KEYWORDS = frozenset(
    {
        *("buildfile", "param", "secret", "def", "import", "stage", "image", "layer", "if", "else", "for", "with"),
        *("test", "run", "host", "from", "copy", "mkdir", "write", "symlink", "remove", "chmod", "chown", "unpack"),
        *("fetch", "git", "platforms", "env", "user", "workdir", "entrypoint", "command", "expose", "volume", "label"),
        *("annotation", "stop_signal", "healthcheck", "unset", "output", "file", "absent", "owner", "mode", "text"),
        *("and", "or", "not", "in", "true", "false", "as", "to", "at", "platform", "scratch", "none", "string", "int"),
        *("bool", "list", "exclude", "digest", "strip", "subdir", "interval", "timeout", "start_period", "retries"),
        *("optional", "recursive"),
    }
)
WIDTH = 100
INDENT = "    "


class UntoldError(Exception):
    """Something has no equivalent in a Buildfile; the message says why, the hint what may be done instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def is_variable(name: str) -> bool:
    """Whether the language can name a variable so."""
    return _NAME.match(name) is not None


def is_param(name: str) -> bool:
    """Whether a param may be called so."""
    return is_variable(name) and name not in KEYWORDS | _SHELL_NAMES


def indented(lines: Iterable[str]) -> list[str]:
    """Lines one step deeper."""
    return [INDENT + line if line else line for line in lines]


@dataclass(slots=True, kw_only=True)
class Marks:
    """The expressions that marks stand for."""

    _codes: dict[str, str] = field(default_factory=dict)

    def mark(self, code: str) -> str:
        """The mark of an expression, always the same."""
        if code not in self._codes:
            self._codes[code] = chr(_FIRST + len(self._codes))
        return self._codes[code]

    def names(self, text: str) -> set[str]:
        """The expressions that stand in a text."""
        found = set(_MARK.findall(text))
        return {code for code, mark in self._codes.items() if mark in found}

    def only(self, text: str) -> str | None:
        """The expression that a text is and nothing else."""
        return self._code(text) if len(text) == 1 and _MARK.match(text) else None

    def _code(self, mark: str) -> str:
        return next(code for code, known in self._codes.items() if known == mark)

    def _shown(self, text: str) -> str:
        return _MARK.sub(lambda match: f"${{{self._code(match[0])}}}", text)

    # --- how texts are written

    def string(self, text: str) -> str:
        """A text in double quotes."""
        _refuse(text)
        return '"' + self._shown(_VARIABLE.sub(r"\\$", text.translate(_ESCAPES))) + '"'

    def expression(self, text: str) -> str:
        """A text where an expression may stand."""
        return self.only(text) or self.string(text)

    def word(self, text: str) -> str:
        """A text where a word is wanted: bare where that may be."""
        if _BARE.fullmatch(text) and text not in KEYWORDS and "(" not in self._shown(text):
            return self._shown(text)
        return self.string(text)

    def words(self, texts: Iterable[str]) -> str:
        """Words with commas between them."""
        return ", ".join(map(self.word, texts))

    def items(self, texts: Iterable[str]) -> list[str]:
        """A list, on lines of its own where it is long."""
        found = [self.expression(text) for text in texts]
        line = f"[{', '.join(found)}]"
        return [line] if len(line) <= WIDTH else ["[", *indented(f"{item}," for item in found), "]"]

    def paragraph(self, text: str) -> list[str]:
        """The text of a file, on lines of its own where it has several."""
        lines = text.split("\n")
        is_short = text.count("\n") < 2 and len(text) < WIDTH
        if is_short or not _is_even(lines) or "\r" in text:
            return [self.string(text)]
        _refuse(text)
        body = [self._shown(_VARIABLE.sub(r"\\$", _quoted(line))) for line in lines]
        if body[-1].endswith('"'):
            body[-1] = f'{body[-1][:-1]}\\"'
        if text.endswith("\n"):
            return ['"""', *indented(body[:-1]), INDENT + '"""']
        return ['"""', *indented([*body[:-1], body[-1] + '"""'])]


def _is_even(lines: list[str]) -> bool:
    """Whether lines survive that what they all begin with is taken away, and blanks where there is nothing else."""
    written = [line for line in lines if line]
    return not any(line.isspace() for line in written) and any(line[0] not in " \t" for line in written)


def _quoted(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _refuse(text: str) -> None:
    found = _CONTROL.search(text)
    if found:
        raise UntoldError(f"a Buildfile can't hold the control character {ord(found[0])}")
