"""`--check` and `--call`: what is asked of a build file instead of building it, and how the answer is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from buildkit_py.cli.arguments import CALLS
from buildkit_py.cli.parser import Namespace
from buildkit_py.cli.shell import Shell
from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceError, UsageError

if TYPE_CHECKING:
    from buildkit_py.engine import BuildOptions, Engine
    from buildkit_py.engine.asking import Answer, Question

WARNED = 1
"""The exit code of a check that found something, where nothing is an error."""
_HINT = "write --call=check, outline or targets, and ,format=json behind it for JSON"
_FORMATS = ("text", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question. `lenient`: warnings leave the exit code alone."""

    question: Question
    format: Literal["text", "json"] = "text"
    lenient: bool = False


def call_of(args: Namespace) -> Call | None:
    """What the arguments ask for, None where they want a build; raises `UsageError`."""
    name, given, lenient = _parsed(args.call or ("check" if args.check else "build"))
    if args.check and name not in ("check", "build"):
        raise UsageError("--check and --call exclude each other", hint="--check is the same as --call=check")
    kind = args.format or given or "text"
    if kind not in _FORMATS:
        raise UsageError(f"--call: no such format: {kind!r}", hint="it is text or json")
    if name == "build" and not args.check:
        if args.format:
            raise UsageError("--format is of --check and --call", hint="--progress json is that of a build")
        return None
    question: Question = "outline" if name == "outline" else "targets" if name == "targets" else "check"
    return Call(question=question, format="json" if kind == "json" else "text", lenient=lenient)


def _parsed(text: str) -> tuple[str, str, bool]:
    name, fields = "", {"format": "", "ignorestatus": "false"}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals and not name:
            name = "check" if part == "lint" else part
        elif equals and key in fields:
            fields[key] = value
        else:
            raise UsageError(f"can't read --call {text!r}", hint=_HINT)
    if name not in CALLS:
        from buildkit_py.cli.near import hint

        raise UsageError(f"--call can't be {name!r}", hint=hint(name, CALLS) or _HINT)
    return name, fields["format"], fields["ignorestatus"] in ("true", "1")


def answer(call: Call, options: BuildOptions, engine: Engine, shell: Shell) -> int:
    """Ask, print, and give the exit code."""
    from buildkit_py.cli import told

    if options.graph is not None:
        raise UsageError("--call asks about a build file, and --graph names none")
    try:
        found = engine.ask(options, call.question)
    finally:
        shell.sources.update(engine.texts.files)
    if call.format == "json":
        shell.print(told.as_json(found, call.question))
    elif call.question == "check":
        _print_check(found, shell)
    else:
        shell.write(told.as_text(found, call.question))
    return _code(found, call)


def _print_check(found: Answer, shell: Shell) -> None:
    """Warnings where results go, errors where errors go."""
    from buildkit_py.cli import told

    shell.write(told.checked(found))
    errors = [item for item in found.value if item.severity == "error"]
    if errors:
        from buildkit_py.cli.faults import render_diagnostics

        shell.complain(render_diagnostics(errors, shell))


def _code(found: Answer, call: Call) -> int:
    if call.question != "check" or not found.value:
        return 0
    if any(item.severity == "error" for item in found.value):
        return SourceError.exit_code
    return 0 if call.lenient else WARNED
