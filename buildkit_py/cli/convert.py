"""`pybuild convert`: a build file of another kind written as a Buildfile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Namespace, Parser
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import OutputError, PybuildError, SourceError, SourceInputError, UsageError
from buildkit_py.source import renamed

if TYPE_CHECKING:
    from buildkit_py.engine.buildfile import BuildFile

UNTOLD = 1


def prepare_convert(parser: Parser) -> None:
    """Add the arguments of `convert`."""
    what = "the file, or - for standard input (default: Dockerfile)"
    parser.add_argument("file", nargs="?", default="Dockerfile", metavar="FILE", help=what)
    where = "the Buildfile to write; never one that is there (default: -)"
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help=where)
    beside = "the directory that it is built from (default: beside FILE)"
    parser.add_argument("-C", "--context", metavar="DIR", help=beside)
    parser.add_argument("--target", metavar="NAME", help="the stage to convert (default: the last)")
    parser.add_argument(
        "--force", action="store_true", help="write what can be said, with a comment in place of what has no equivalent"
    )


def run_convert(args: Namespace, shell: Shell) -> int:
    """Write the Buildfile, and say what it can't."""
    file = _file(args, shell)
    if args.output != "-" and os.path.lexists(args.output):
        raise OutputError(f"{args.output} is there already", hint="write to another file, or remove it first")
    shell.sources[file.shown] = file.text
    made = _converted(
        file, Path(args.context) if args.context else file.path.parent, [args.target] if args.target else []
    )
    from buildkit_py.cli.faults import render_diagnostics

    if made.notes:
        shell.complain(render_diagnostics([renamed(note, lambda _: file.shown) for note in made.notes], shell))
    if any(note.severity == "error" for note in made.notes) and not args.force:
        shell.complain("nothing was written; --force writes the rest, with comments at these places\n")
        return UNTOLD
    text = _formatted(made.text)
    if args.output == "-":
        shell.write(text)
        return 0
    from buildkit_py.cli.files import replace_file

    replace_file(args.output, text)
    shell.complain(f"wrote {args.output}\n")
    return 0


def _file(args: Namespace, shell: Shell) -> BuildFile:
    from buildkit_py.cli.source import files_named, standard_input

    return standard_input(shell) if args.file == "-" else files_named([args.file])[0]


def _converted(file: BuildFile, context: Path, targets: list[str]) -> Any:
    from buildkit_py.engine.asking import offer
    from buildkit_py.engine.compile import load_frontend

    frontend = load_frontend(file.frontend)
    if not hasattr(frontend, "convert"):
        raise UsageError(f"{file.shown} is a Buildfile already")
    if not context.is_dir():
        raise SourceInputError(f"{context} is no directory")
    beside = Beside(context)
    name = os.path.relpath(file.path, context)
    try:
        return offer(frontend.convert, file.text, file=name, targets=targets, find=beside.find, look=beside.look)
    except SourceError as error:
        raise SourceError([renamed(item, lambda _: file.shown) for item in error.diagnostics]) from None


class Beside:
    """What a frontend is told of the directory that a file is built from."""

    def __init__(self, context: Path) -> None:
        self._context = context

    def find(self, path: str) -> str | None:
        """The text of a file, None where there is none."""
        from buildkit_py.engine.buildfile import MAX_BYTES, decoded
        from buildkit_py.layer.openat import open_beneath

        try:
            with open_beneath(self._context, path) as file:
                return decoded(file.read(MAX_BYTES), path)
        except OSError:
            return None

    def look(self, path: str) -> frozenset[str]:
        """What the things are that a path or a pattern stands for."""
        relative = path.strip("/")
        found = self._context.glob(relative) if relative else [self._context]
        return frozenset("directory" if each.is_dir() else "file" for each in found)


def _formatted(text: str) -> str:
    """The text in the usual form; what the language itself refuses is no conversion."""
    from buildkit_py.engine.buildfile import OWN
    from buildkit_py.engine.compile import load_frontend

    frontend = load_frontend(OWN)
    try:
        formatted: str = frontend.format_text(text)
        wrong = [item for item in frontend.check(formatted) if item.severity == "error"]
    except SourceError as error:
        wrong = list(error.diagnostics)
    if wrong:
        raise PybuildError(
            f"what was made of it is no valid Buildfile: {wrong[0].message}",
            hint="this is a fault of pybuild: please send the file to its authors",
        )
    return formatted


CONVERT = Command(
    "convert",
    usage="[options] [FILE]",
    about=(
        "Write a Dockerfile as a Buildfile that builds to the same files and configuration.\n"
        "What has no equivalent is said, with its line, and nothing is written."
    ),
    examples=(
        ("pybuild convert > Buildfile", "./Dockerfile"),
        ("pybuild convert -o web.build web/Dockerfile", "another one"),
        ("pybuild convert --force -o Buildfile", "what can be said, comments for the rest"),
    ),
    prepare=prepare_convert,
    run=run_convert,
)
