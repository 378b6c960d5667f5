"""Arguments: argparse with messages that say what to write instead, and help that ends with examples."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import IO, Any, NoReturn

from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

Namespace = argparse.Namespace
Group = argparse._ArgumentGroup
_CHOICE = re.compile(r"argument (\S+?)(?:/\S+)?: invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
_VALUE = re.compile(r"argument (.*?): (.*)", re.DOTALL)
_TOGETHER = re.compile(r"argument (\S+?)(?:/\S+)?: ignored explicit argument '(.*)'", re.DOTALL)
_MISSING = re.compile(r"the following arguments are required: (.*)")
_HELP_COLUMN = 30


class Command:
    """One command: its texts, its arguments, and what it does.

    `prepare` adds the arguments to a parser. `words` puts a command line into the form that the parser reads.
    """

    def __init__(
        self,
        name: str,
        *,
        usage: str = "[options]",
        about: str,
        examples: Sequence[tuple[str, str]],
        prepare: Callable[[Parser], None],
        run: Callable[[Namespace, Shell], int],
        words: Callable[[Sequence[str], Parser], list[str]] | None = None,
    ) -> None:
        self.name = name
        self._words = words
        self._usage = usage
        self._about = about
        self._examples = examples
        self._prepare = prepare
        self._run = run

    def parser(self) -> Parser:
        """The parser of this command's words."""
        width = max((len(line) for line, _ in self._examples), default=0)
        lines = "".join(f"  {line.ljust(width)}  {text}".rstrip() + "\n" for line, text in self._examples)
        parser = Parser(
            prog=f"pybuild {self.name}",
            usage=f"pybuild {self.name} {self._usage}",
            description=self._about,
            epilog=f"examples:\n{lines}" if lines else None,
            formatter_class=_formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self._prepare(parser)
        parser.add_help_option()
        return parser

    def run_words(self, words: Sequence[str], shell: Shell) -> int:
        """Parse the words and run the command; returns the exit code."""
        return self._run(self.parsed(words, shell), shell)

    def parsed(self, words: Sequence[str], shell: Shell) -> Namespace:
        """The words as arguments; raises `UsageError`."""
        parser = self.parser()
        parser.out = shell.out
        return parser.parse(self._words(words, parser) if self._words else words)


class Parser(argparse.ArgumentParser):
    """A parser whose faults are `UsageError`s."""

    out: IO[str] | None = None

    def parse(self, words: Sequence[str]) -> Namespace:
        """Parse; an unknown option is answered with the nearest one that there is."""
        args, rest = self.parse_known_args(list(words))
        if rest:
            option = rest[0].split("=")[0]
            if option.startswith("-"):
                from buildkit_py.cli.near import hint

                raise UsageError(
                    f"`{self.prog}` has no option {option}",
                    hint=hint(option, self._option_string_actions) or f"`{self.prog} --help` lists them",
                )
            raise UsageError(f"`{self.prog}` takes no further argument: {rest[0]!r}", hint=self._short_usage())
        return args

    def add_help_option(self) -> None:
        """Add `--help` to the last group, so that no group of its own stands first."""
        self._positionals.title = "arguments"
        self._action_groups[-1].add_argument("-h", "--help", action="help", help="show this and stop")

    def options(self) -> list[str]:
        """Every option that help shows, for completion."""
        return sorted(
            name for name, action in self._option_string_actions.items() if action.help is not argparse.SUPPRESS
        )

    def option(self, name: str) -> argparse.Action | None:
        """The option of exactly that name."""
        return self._option_string_actions.get(name)

    def error(self, message: str) -> NoReturn:
        """Turn argparse's words into a `UsageError`."""
        if match := _CHOICE.match(message):
            from buildkit_py.cli.near import hint

            option, given, choices = match.groups()
            near = hint(given, [choice.strip("'\" ") for choice in choices.split(",")])
            listed = f"it is one of {choices.replace(chr(39), '')}"
            raise UsageError(f"{option} can't be {given!r}", hint=f"{near} {listed}" if near else listed)
        if match := _MISSING.match(message):
            raise UsageError(f"`{self.prog}` needs {match[1]}", hint=self._short_usage())
        if match := _TOGETHER.match(message):
            raise UsageError(
                f"`{self.prog}` has no option -{match[2]} that can stand behind {match[1]}",
                hint=f"`{self.prog} --help` lists them",
            )
        if match := _VALUE.match(message):
            raise UsageError(f"{match[1]}: {match[2]}", hint=f"`{self.prog} --help` says more")
        raise UsageError(message, hint=f"`{self.prog} --help` says more")

    def print_help(self, file: Any = None) -> None:
        """Write the help to where results go."""
        super().print_help(file or self.out)

    def _short_usage(self) -> str:
        return " ".join(self.format_usage().split())


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=_HELP_COLUMN)


def at_least(least: int) -> Callable[[str], int]:
    """An argument type: an integer that is not below `least`."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"not a number of at least {least}: {text!r}")
        return int(text)

    return number


def add_store(parser: Parser | Group) -> None:
    """The option that every command with a store has."""
    parser.add_argument(
        "--store", metavar="DIR", help="where the store is (default: $PYBUILD_STORE, or the user's own)"
    )


def add_json(parser: Parser | Group) -> None:
    """The option of commands whose result programs may want."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_policy(parser: Parser | Group) -> None:
    """The option of commands that take in images."""
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="the trust policy that images must meet (default: $PYBUILD_POLICY, else containers/policy.json)",
    )


def repeatable(parser: Parser | Group, name: str, metavar: str, text: str) -> None:
    """An option that may be given several times; `name` may begin with a short form."""
    parser.add_argument(*name.split(), action="append", default=[], metavar=metavar, help=text)


def add_definition(parser: Parser) -> None:
    """What names a build: the directory, the file, and what is chosen of it."""
    parser.add_argument(
        "context",
        nargs="?",
        default=".",
        metavar="DIR",
        help="the directory to build from, a URL (git, or of a tar archive), or - for standard input (default: .)",
    )
    what = parser.add_argument_group("what to build")
    what.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="the build file, or - for standard input (default: Buildfile, Dockerfile or Containerfile in DIR)",
    )
    what.add_argument("--graph", metavar="FILE", help="build a graph that another program made, as JSON")
    repeatable(
        what, "--target", "NAME", "an image or a stage to build; repeatable (default: all images, the last stage)"
    )
    repeatable(what, "--platform", "P[,P]", "as linux/arm64; repeatable (default: what the file names)")
    repeatable(what, "--param", "NAME=VALUE", "give a param its value; repeat a name for a list")
    repeatable(what, "--build-arg", "NAME[=VALUE]", "the same as a Dockerfile calls it; NAME alone: as the environment")
    repeatable(
        what,
        "--build-context",
        "NAME=PLACE",
        "a further directory, docker-image://, oci-layout:// or URL that has a name",
    )
    what.add_argument("--locked", action="store_true", help="fail rather than change the lock file")
    what.add_argument("--lock", action="store_true", default=None, help="keep a lock file beside a Dockerfile too")
    what.add_argument("--pull", action="store_true", help="ask the registry anew for what tags stand for")
    add_policy(what)
