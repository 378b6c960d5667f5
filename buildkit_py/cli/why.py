"""`pybuild why`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.engine.why import Why


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "step", nargs="?", metavar="STEP",
        help="a step's number, as #3; a part of its title; or its line, as Dockerfile:12",
    )  # fmt: skip
    what = parser.add_argument_group("what is explained")
    what.add_argument("--all", action="store_true", help="every step that ran")
    what.add_argument("--build", default="latest", metavar="BUILD", help="the id of a build (default: the newest)")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--format", choices=("text", "json"), default="text", metavar="KIND", help="text (default) or json"
    )
    add_json(shown)
    add_store(shown)


def run(args: Namespace, shell: Shell) -> int:
    """Explain."""
    from buildkit_py.cli.reasons import as_plain, as_text
    from buildkit_py.engine.why import Why

    if (args.step is None) == (not args.all):
        raise UsageError("`pybuild why` takes a STEP, or --all", hint="`pybuild timings` lists the steps of a build")
    with shell.store(args.store, make=False) as store:
        why = Why(store, store.builds.get(args.build))
        steps = why.ran() if args.all else why.find(args.step)
        if args.json or args.format == "json":
            shell.print(json.dumps(as_plain(why, steps), indent=2))
        else:
            shell.write(as_text(why, steps) if steps else _nothing(why))
    return 0


def _nothing(why: Why) -> str:
    return f"nothing ran in the build {why.record['id']}: everything was known before\n"


WHY = Command(
    "why",
    usage="[options] STEP | --all",
    about=(
        "Say what made a step run again: which named part of its key is not what it was in the last build that had\n"
        "the step, the old value and the new one, the files that changed, and the step that it all comes from."
    ),
    examples=(
        ("pybuild why '#3'", "by the number that the build showed"),
        ("pybuild why 'pip install'", "by a part of its title"),
        ("pybuild why Dockerfile:12", "by its line"),
        ("pybuild why --all", "every step that ran"),
        ("pybuild why --all --build 6b07 --json", "of an earlier build, for programs"),
    ),
    prepare=prepare,
    run=run,
)
