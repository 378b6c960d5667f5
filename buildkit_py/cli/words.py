"""Command lines as other build tools read them, put into the form that argparse reads.

A switch may be told its value (`--push=false`), an option takes the word after it whatever that begins with
(`--memory-swap -1`), and options may stand before and after the directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from argparse import Action

    from buildkit_py.cli.parser import Parser

_END = "--"
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


def plain(words: Sequence[str], parser: Parser) -> list[str]:
    """The same command line for argparse; raises `UsageError` where a switch gets what is neither true nor false."""
    made: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == _END:
            return [*made, word, *waiting]
        name, equals, value = word.partition("=")
        action = parser.option(name)
        if action is None:
            made.append(word)
        elif action.nargs == "?":
            # Its value stands behind an equals sign alone: the next word is something else.
            made.append(word if equals else f"{name}=")
        elif action.nargs == 0:
            _switch(made, action, word, value if equals else None)
        else:
            made.extend([word] if equals else _joined(word, waiting))
            if made[-1] == _END or (equals and value == _END):
                raise UsageError(
                    f"{name} can't be {_END!r}, which ends the options", hint=f"`{parser.prog} --help` says more"
                )
    return made


def _switch(made: list[str], action: Action, word: str, value: str | None) -> None:
    """Add a switch that is on; one that is off takes back those before it."""
    name = word.partition("=")[0]
    if value is None or value in _TRUE:
        made.append(name)
    elif value in _FALSE:
        made[:] = [each for each in made if each not in action.option_strings]
    else:
        raise UsageError(f"{name} is true or false, not {value!r}", hint=f"write {name}, or {name}=false")


def _joined(option: str, waiting: Iterator[str]) -> Iterator[str]:
    """An option and the word after it, in one word where argparse would take the second for an option."""
    value = next(waiting, None)
    if value is None:
        yield option
    elif len(value) > 1 and value.startswith("-") and value != _END:
        yield f"{option}={value}"
    else:
        yield from (option, value)
