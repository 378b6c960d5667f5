"""`pybuild check` and `pybuild fmt`: build files as texts. Only a check that base images matter to opens a store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import PybuildError, SourceError, SourceInputError, UsageError
from buildkit_py.source import Diagnostic, renamed

if TYPE_CHECKING:
    from buildkit_py.engine.buildfile import BuildFile
    from buildkit_py.graph.resolver import ResolvedImage
    from buildkit_py.platform import Platform

NOT_FORMATTED = 1


def files_named(names: Sequence[str]) -> list[BuildFile]:
    """The build files that paths name: a directory stands for the one in it, nothing for the working directory."""
    from buildkit_py.engine.buildfile import find_build_file
    from buildkit_py.engine.options import BuildOptions

    found = []
    for name in names or ["."]:
        path = Path(name)
        folder = path.is_dir()
        found.append(find_build_file(BuildOptions(context=path if folder else Path(), file=None if folder else path)))
    return found


def standard_input(shell: Shell) -> BuildFile:
    """The build file on standard input."""
    from buildkit_py.engine.buildfile import BuildFile, decoded, frontend_of

    text = decoded(shell.stdin.buffer.read(), "-")
    return BuildFile(path=Path("-"), frontend=frontend_of("-", text), text=text, shown="-")


def _frontend(file: BuildFile) -> Any:
    from buildkit_py.engine.compile import load_frontend

    return load_frontend(file.frontend)


def prepare_check(parser: Parser) -> None:
    """Add the arguments of `check`."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="build files, directories that hold one, or - for standard input (default: .)",
    )
    parser.add_argument(
        "-C", "--context", metavar="DIR", help="where imports are looked for (default: beside each file)"
    )
    add_json(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", metavar="KIND", help="text, or json as --json does"
    )


def run_check(args: Namespace, shell: Shell) -> int:
    """Show everything that is wrong; errors give the exit code of a wrong build file."""
    if "-" in args.files and len(args.files) > 1:
        raise UsageError("- stands alone: it reads standard input")
    found: list[Diagnostic] = []
    for file in [standard_input(shell)] if args.files == ["-"] else files_named(args.files):
        found += _Checker(Path(args.context) if args.context else file.path.parent, shell).check(file)
    if args.json or args.format == "json":
        import json

        shell.print(json.dumps([_plain(item) for item in found], indent=2))
    elif found:
        from buildkit_py.cli.faults import render_diagnostics

        shell.complain(render_diagnostics(found, shell))
    return SourceError.exit_code if any(item.severity == "error" for item in found) else 0


class _Checker:
    """Checks one build file and its imports, which lie below `context`.

    A frontend knows files by their paths below the context; a person knows them by their paths from where they are.
    """

    def __init__(self, context: Path, shell: Shell) -> None:
        self._context = context
        self._shell = shell
        self._missed: dict[str, PybuildError] = {}

    def check(self, file: BuildFile) -> list[Diagnostic]:
        """Everything that is wrong."""
        name = os.path.relpath(file.path, self._context)
        self._shell.sources[self._shown(name)] = file.text
        from buildkit_py.engine.asking import Unbuilt, offer

        frontend = _frontend(file)
        with ExitStack() as stack:
            images = self._bases(stack) if getattr(frontend, "BASES_MATTER", False) else _unknown
            try:
                found: Sequence[Diagnostic] = offer(
                    frontend.check, file.text, file=name, read=self.text, resolver=Unbuilt(images, self)
                )
            except SourceError as error:
                found = error.diagnostics
        return [renamed(item, self._shown) for item in found] + [
            Diagnostic(
                message=f"nothing is known of {ref}, so what depends on it is not checked: {error.message}",
                span=None,
                severity="note",
                hint=error.hint,
            )
            for ref, error in self._missed.items()
        ]

    def _bases(self, stack: ExitStack) -> Callable[[str, Platform], ResolvedImage]:
        """What base images declare, as far as the store or a registry tells; of others nothing is known."""
        from buildkit_py.engine import BuildOptions
        from buildkit_py.engine.asking import lenient

        engine = stack.enter_context(self._shell.engine(None))
        return lenient(engine.bases(BuildOptions(context=self._context)), _unknown, self._missed)

    def _shown(self, name: str) -> str:
        return os.path.relpath(self._context / name)

    def text(self, path: str) -> str:
        """The text of an import; a path that leaves the context, by links too, is refused."""
        text = self.find(path)
        if text is None:
            raise SourceInputError(f"{path} can't be read: {os.strerror(errno.ENOENT)}")
        self._shell.sources[self._shown(path)] = text
        return text

    def find(self, path: str, context: str = "context") -> str | None:
        """The text of a file of the context, None where there is none."""
        from buildkit_py.engine.buildfile import MAX_BYTES, decoded
        from buildkit_py.layer.openat import open_beneath

        try:
            with open_beneath(self._context, path) as file:
                return decoded(file.read(MAX_BYTES), path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceInputError(f"{path} can't be read: {error.strerror}") from None


def _unknown(ref: str, platform: Platform) -> ResolvedImage:
    """Nothing is known of an image."""
    from buildkit_py.graph.resolver import ImageConfig, ResolvedImage

    return ResolvedImage(digest=None, config=ImageConfig())


def _plain(item: Diagnostic) -> dict[str, Any]:
    from buildkit_py.graph.codec import encode_span

    return {
        "severity": item.severity,
        "message": item.message,
        "span": encode_span(item.span) if item.span else None,
        "hint": item.hint,
        "rule": item.rule,
        "notes": [{"message": text, "span": encode_span(span)} for text, span in item.notes],
    }


def prepare_fmt(parser: Parser) -> None:
    """Add the arguments of `fmt`."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="build files, directories that hold one, or - for standard input (default: .)",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; name the files that would change, exit code 1"
    )
    parser.add_argument("--diff", action="store_true", help="write nothing; show what would change")


def run_fmt(args: Namespace, shell: Shell) -> int:
    """Format in place, or say what would change."""
    if "-" in args.files:
        if len(args.files) > 1:
            raise UsageError("- stands alone: it reads standard input and writes standard output")
        return _filter(args, shell)
    changed, failed = 0, None
    for file in files_named(args.files):
        shell.sources[file.shown] = file.text
        try:
            text = _format(file)
        except PybuildError as error:
            # The other files are independent of this one.
            from buildkit_py.cli.faults import report

            report(error, shell)
            failed = error
            continue
        if text != file.text:
            changed += 1
            _change(file, text, args, shell)
    if failed is not None:
        return failed.exit_code
    return NOT_FORMATTED if changed and args.check else 0


def _format(file: BuildFile) -> str:
    frontend = _frontend(file)
    if not hasattr(frontend, "format_text"):
        raise UsageError(f"{file.shown}: files of this kind have no usual form")
    try:
        formatted: str = frontend.format_text(file.text)
    except SourceError as error:
        raise SourceError([renamed(item, lambda _: file.shown) for item in error.diagnostics]) from None
    return formatted


def _change(file: BuildFile, text: str, args: Namespace, shell: Shell) -> None:
    if args.diff:
        shell.write(_diff(file, text))
    if args.check:
        shell.complain(f"would format {file.shown}\n")
    elif not args.diff:
        from buildkit_py.cli.files import replace_file

        replace_file(file.path, text)
        shell.complain(f"formatted {file.shown}\n")


def _diff(file: BuildFile, text: str) -> str:
    from difflib import unified_diff

    before, after = file.text.splitlines(keepends=True), text.splitlines(keepends=True)
    lines = unified_diff(before, after, file.shown, f"{file.shown} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _filter(args: Namespace, shell: Shell) -> int:
    file = standard_input(shell)
    text = file.text
    shell.sources[file.shown] = text
    formatted = _format(file)
    if args.diff:
        shell.write(_diff(file, formatted))
    elif not args.check:
        shell.write(formatted)
    return NOT_FORMATTED if args.check and formatted != text else 0


CHECK = Command(
    "check",
    usage="[options] [FILE ...]",
    about=(
        "Look for mistakes in build files and what they import: syntax, names, types, cycles.\n"
        "Nothing is built. Of the base images of a Dockerfile the configuration is read, where it can be had."
    ),
    examples=(
        ("pybuild check", "./Buildfile, else ./Dockerfile"),
        ("pybuild check web.build lib/", "several"),
        ("pybuild check --json", "for editors and other programs"),
    ),
    prepare=prepare_check,
    run=run_check,
)
FMT = Command(
    "fmt",
    usage="[options] [FILE ...]",
    about="Write build files in the one usual way. What a file means never changes, so no step runs again.",
    examples=(
        ("pybuild fmt", "./Buildfile, in place"),
        ("pybuild fmt --check --diff", "in CI"),
        ("pybuild fmt - < Buildfile", "as a filter, for editors"),
    ),
    prepare=prepare_fmt,
    run=run_fmt,
)
