"""Shell text: how far it is sure to mean the same under `sh -eu` with pipefail as under plain `sh`, and its layout.

Nothing is guessed: text that is not a chain of simple commands joined by `&&` and `||`, or that says `set -eu` itself
before anything else, is taken for one that may behave otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from buildkit_py.dataclass import dataclass
from frontends.dockerfile.conversion.language import WIDTH

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+)|(?P<newline>\n)|(?P<operator>&&|\|\||;;|[|;&()])|(?P<comment>\#[^\n]*)
    |(?P<word>(?:[^\s|;&()'"\\`$]|\\[\s\S]|'[^']*'|"(?:[^"\\`$]|\\[\s\S]|\$\([^()`]*\)|\$(?!\())*"
    |\$\([^()`]*\)|\$(?!\())+)""",
    re.VERBOSE,
)
_INNER = re.compile(r"\$\(([^()]*)\)")
_SINGLE = re.compile(r"'[^']*'")
_VARIABLE = re.compile(
    r"\$(?:\{([#!]?)([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])([^}]?)|([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]))"
)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_STRICT = re.compile(r"set -([a-z]*)( pipefail)?[ \t]*(?:;|&&|\n)")
_COMPOUND = frozenset({"if", "for", "while", "until", "case", "{", "}", "[[", "function", "select", "then", "do"})
_OWN = frozenset(
    {"set", ".", "source", "eval", "trap", "shift", "command", "exec", "alias", "unset", "getopts", "wait"}
)
PLAIN = frozenset(
    {
        *(
            "mkdir",
            "rmdir",
            "rm",
            "mv",
            "cp",
            "ln",
            "chmod",
            "chown",
            "chgrp",
            "touch",
            "echo",
            "printf",
            "true",
            "false",
        ),
        *(
            "test",
            "[",
            "cat",
            "sed",
            "useradd",
            "groupadd",
            "usermod",
            "adduser",
            "addgroup",
            "install",
            "head",
            "tail",
        ),
        *(
            "cut",
            "sort",
            "tr",
            "tee",
            "ls",
            "id",
            "pwd",
            "cd",
            "export",
            "stat",
            "mkfifo",
            "mknod",
            "sha256sum",
            "grep",
        ),
        *("ldconfig", "truncate", "wc", "umask", "exit", ":"),
    }
)
"""Programs that need no network and whose result no variable changes but those that stand in the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of shell text."""

    kind: str
    text: str


def tokens(text: str) -> list[Token] | None:
    """Words, blanks, operators, comments; None where a text can't be parted surely."""
    found: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            return None
        kind = match.lastgroup
        if kind == "word" and found and found[-1].kind == "word":
            return None
        if kind == "word" and "<<" in match[0]:
            return None
        found.append(Token(kind=kind, text=match[0]))
        place = match.end()
    return found


def programs(text: str) -> set[str] | None:
    """The programs of a chain of simple commands; None for anything else."""
    found: set[str] = set()
    for command in _commands(text) or [[""]]:
        words = [word for word in command if not _ASSIGNMENT.match(word)]
        name = words[0] if words else ":"
        if name in _COMPOUND or name in _OWN or not re.fullmatch(r"[A-Za-z0-9_.+:\[/-]+", name):
            return None
        found.add(name)
        for word in command:
            for inner in _INNER.findall(_SINGLE.sub("", word)):
                below = programs(inner)
                if below is None:
                    return None
                found |= below
    return found


def _commands(text: str) -> list[list[str]] | None:
    """The words of each command of a chain."""
    parts = tokens(text)
    if parts is None or any(part.kind in ("newline", "comment") for part in parts):
        return None
    found: list[list[str]] = [[]]
    for part in parts:
        if part.text in ("&&", "||"):
            found.append([])
        elif part.kind == "operator":
            return None
        elif part.kind == "word":
            found[-1].append(part.text)
    return found if all(found) else None


def is_strict_alike(text: str, known: Set[str]) -> bool:
    """Whether a text is sure to do the same with `-eu` and pipefail; `known` are variables that are set."""
    said = _STRICT.match(text)
    if said and "e" in said[1]:
        if "o" in said[1] and not said[2]:
            return False
        return (_has_no_pipe(text) or "o" in said[1]) and ("u" in said[1] or _needed(text) <= known)
    if programs(text) is None:
        return False
    assigned: set[str] = set()
    for command in _commands(text) or []:
        if not _needed(" ".join(command)) <= known | assigned:
            return False
        plain = [word for word in command if not _ASSIGNMENT.match(word)]
        if not plain or plain[0] == "export":
            assigned |= {match[1] for word in command if (match := _ASSIGNMENT.match(word))}
    return True


def _has_no_pipe(text: str) -> bool:
    return "|" not in text.replace("||", "")


def _needed(text: str) -> set[str]:
    """The variables that have to be set for `-u`; a name that can't be one stands for what never is."""
    found: set[str] = set()
    for prefix, name, operator, plain in _VARIABLE.findall(_SINGLE.sub(" ", text)):
        if operator in ("-", "+", ":", "=", "?") and not prefix:
            continue
        if (name or plain) not in ("?", "$", "#", "@", "*", "-", "0"):
            found.add(name or plain)
    return found


def mentioned(text: str) -> set[str]:
    """The variables that a text names, as a Buildfile sees it: in quotes and comments too."""
    return set(re.findall(r"\$(?:\{[#!]?)?([A-Za-z_][A-Za-z0-9_]*)", text))


def layout(text: str) -> list[str]:
    """A text over several lines where it is long, broken before `&&` and where it was written with wide gaps."""
    parts = tokens(text)
    if parts is None or any(part.kind in ("newline", "comment") for part in parts):
        return text.split("\n")
    narrow = "".join(" " if part.kind == "blank" else part.text for part in parts)
    if len(narrow) <= WIDTH - 20:
        return [narrow]
    return list(_continued(list(_broken(parts))))


def _broken(parts: list[Token]) -> Iterator[str]:
    """The lines without the `\\` at their ends."""
    line, chained = "", False
    for number, part in enumerate(parts):
        after = parts[number + 1].text if number + 1 < len(parts) else ""
        if part.kind == "blank":
            wide = len(part.text) > 1 or "\t" in part.text
            if line.strip() and after in ("&&", "||"):
                yield line
                line, chained = "    ", True
            elif line.strip() and wide and not line.endswith(("&& ", "|| ")):
                yield line
                chained = chained or line.rstrip().endswith(";")
                line = "    " + "    " * (not line.rstrip().endswith(";") and chained)
            elif line.strip() and after:
                line += " "
            continue
        line += part.text
    if line.strip():
        yield line


def _continued(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{line.rstrip()} \\" if number < len(lines) - 1 else line.rstrip()
