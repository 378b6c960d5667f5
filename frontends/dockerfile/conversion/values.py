"""Variables of a stage while it is converted, and what words become that use them.

$NAME                  a mark: of the param, of `env.NAME`, of `platform.arch`
${NAME:-word}          one text where NAME is known; else a case for an empty NAME, and one for another
${NAME#w} ${NAME%w}    `remove_prefix`, `remove_suffix`; `${NAME//a/b}` is `replace`; other patterns of a value that
                       is not known have no equivalent
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.source import Span
from frontends.dockerfile.conversion.language import Marks, UntoldError, is_variable
from frontends.dockerfile.conversion.notes import Notes
from frontends.dockerfile.expand import Expansion, expand
from frontends.dockerfile.faults import expanding

_OPERATION = re.compile(r"\$\{(\w+)(:?[-+?]|##?|%%?|//?)")
_PATTERN = re.compile(r"\$\{(\w+)(?:([#%])([^{}$\\*?\[\]/'\"#%]+)|//([^{}$\\*?\[\]/'\"]+)/([^{}$\\/'\"]*))\}")
_MOST_CASES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable. `text` is what a word gets of it; `known` is its value as far as that is known, marks included.

    `param` is the name of the param that it is, with `filled` where nothing empty is to be expected.
    """

    kind: Literal["env", "argument"]
    text: str
    known: str | None
    param: str | None = None
    filled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What some words are where a condition holds; None: everywhere, or where no condition above does."""

    condition: str | None
    texts: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Scope:
    """The variables that are set at a place. `base_is_known` is false below an image that may bring others along;
    `arguments` are names that are no image's, since an ARG of the file declares them somewhere."""

    marks: Marks
    notes: Notes
    escape: str
    variables: dict[str, Variable] = field(default_factory=dict)
    base_is_known: bool = False
    arguments: frozenset[str] = frozenset()

    def child(self) -> Scope:
        """A copy for a stage that stands on this one."""
        return replace(self, variables=dict(self.variables))

    def env(self, name: str, known: str | None) -> None:
        """A variable of the image."""
        self.variables[name] = Variable(kind="env", text=self.marks.mark(f"env.{name}"), known=known)

    def cases(
        self, words: Sequence[str], span: Span, *, quotes: Literal["strip", "keep"] = "strip", escape: str | None = None
    ) -> list[Case]:
        """What words are, in every case that has to be told apart. Raises `UntoldError`, and `SourceError`."""
        return _Reading(self, span, quotes, escape or self.escape).cases(words)

    def text(self, word: str, span: Span) -> str:
        """What a word is; of several cases the one where nothing is empty."""
        return self.cases([word], span)[-1].texts[0]


class _Reading:
    """One reading of some words."""

    def __init__(self, scope: Scope, span: Span, quotes: Literal["strip", "keep"], escape: str) -> None:
        self._scope = scope
        self._span = span
        self._quotes = quotes
        self._escape = escape

    def cases(self, words: Sequence[str]) -> list[Case]:
        words = list(words)
        used = _operations(words)
        env = self._environment(used)
        words = [self._without_patterns(word, env) for word in words]
        doubtful = [name for name in used if self._is_doubtful(name)]
        if len(doubtful) > _MOST_CASES:
            raise UntoldError("this depends on too many arguments that may be empty")
        self._add_base(words, used, env)
        found = [
            Case(condition=self._condition(doubtful, empty), texts=self._texts(words, env, doubtful, empty))
            for empty in product((True, False), repeat=len(doubtful))
        ]
        return self._needed(found, doubtful)

    def _environment(self, used: Mapping[str, str]) -> dict[str, str]:
        """Variables as texts; those that an operator looks into by their values, where these are known."""
        env = {}
        for name, variable in self._scope.variables.items():
            known = variable.known
            look = name in used and known is not None and not self._scope.marks.names(known)
            env[name] = known if look and known is not None else variable.text
        return env

    def _is_doubtful(self, name: str) -> bool:
        variable = self._scope.variables.get(name)
        return variable is not None and variable.param is not None and not variable.filled

    def _without_patterns(self, word: str, env: dict[str, str]) -> str:
        """The word with `${NAME#w}` and its like as variables of their own, where the value is not known."""
        marks = self._scope.marks

        def made(match: re.Match[str]) -> str:
            name, operator, part, old, new = match.groups()
            text = env.get(name)
            if text is None or not marks.names(text):
                return match[0]
            function = {"#": "remove_prefix", "%": "remove_suffix", None: "replace"}[operator]
            given = [part] if operator else [old, new]
            code = f"{function}({', '.join([marks.expression(text), *map(marks.string, given)])})"
            key = f"pattern{len(env)}"
            env[key] = marks.mark(code)
            return f"${{{key}}}"

        word = _PATTERN.sub(made, word)
        for name, operator in _operations([word]).items():
            if operator[0] in "#%/" and marks.names(env.get(name, "")):
                raise UntoldError(
                    f"${{{name}{operator}…}} takes a part of a value that is known only when it is built",
                    f"give that part an argument of its own, or work on ${name} in a step",
                )
        return word

    def _add_base(self, words: Sequence[str], used: Mapping[str, str], env: dict[str, str]) -> None:
        """Take what nobody sets for variables of the base image, where one may have them."""
        scope = self._scope
        if scope.base_is_known:
            return
        for name in sorted({name for word in words for name in self._expand(word, env).unset}):
            if name in scope.arguments:
                continue
            if name in used:
                scope.notes.warn(
                    f"{name} is taken for not set: nothing here sets it, but the base image may", self._span
                )
            elif is_variable(name):
                env[name] = scope.marks.mark(f"env.{name}")
                if name != "PATH":
                    hint = f"where it has none, the build says so: take ${name} out"
                    scope.notes.remark(f"{name} is taken for a variable of the base image", self._span, hint)

    def _expand(self, word: str, env: Mapping[str, str]) -> Expansion:
        with expanding(self._span):
            return expand(word, env, escape=self._escape, quotes=self._quotes)

    def _texts(
        self, words: Sequence[str], env: Mapping[str, str], doubtful: Sequence[str], empty: Sequence[bool]
    ) -> tuple[str, ...]:
        gone = {name for name, is_empty in zip(doubtful, empty, strict=True) if is_empty}
        rest = {name: text for name, text in env.items() if name not in gone}
        return tuple(self._expand(word, rest).text for word in words)

    def _condition(self, doubtful: Sequence[str], empty: Sequence[bool]) -> str | None:
        params = [self._scope.variables[name].param for name, is_empty in zip(doubtful, empty, strict=True) if is_empty]
        return " and ".join(f'{param} == ""' for param in params) or None

    def _needed(self, found: list[Case], doubtful: Sequence[str]) -> list[Case]:
        """The cases that are not said by the last one with an empty value in it."""
        last = found[-1]
        nothing = {self._scope.variables[name].text: "" for name in doubtful}
        plain = tuple(_replaced(text, nothing) for text in last.texts)
        if all(case.texts in (plain, last.texts) for case in found):
            return [last]
        return found


def _operations(words: Sequence[str]) -> dict[str, str]:
    """The variables that words do more with than to take their value, and what."""
    return {match[1]: match[2] for word in words for match in _OPERATION.finditer(word)}


def _replaced(text: str, parts: Mapping[str, str]) -> str:
    for old, new in parts.items():
        text = text.replace(old, new)
    return text
