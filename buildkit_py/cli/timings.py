"""`pybuild timings`, and what `pybuild build --timings` shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import NotFoundError, OutputError, UsageError

if TYPE_CHECKING:
    from buildkit_py.progress.timeline import Timeline
    from buildkit_py.store import Store

Draw = Callable[["Timeline"], str]


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "build", nargs="?", default="latest", metavar="BUILD",
        help="the id of a build, or how it begins (default: the newest)",
    )  # fmt: skip
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--format", choices=("text", "json"), default="text", metavar="KIND", help="text (default) or json"
    )
    add_json(shown)
    shown.add_argument("--svg", metavar="FILE", help="draw a timeline")
    shown.add_argument("--trace", metavar="FILE", help="write a trace for Perfetto or chrome://tracing")
    add_store(shown)


def run(args: Namespace, shell: Shell) -> int:
    """Show the table, and draw what is asked for."""
    from buildkit_py.cli.files import replace_file
    from buildkit_py.progress.timeline import timeline_of, to_plain

    with shell.store(args.store, make=False) as store:
        timeline = timeline_of(store.builds.get(args.build))
    for file, draw in ((args.svg, _svg), (args.trace, _trace)):
        if file:
            keep_others(file, draw)
            replace_file(file, draw(timeline))
    if args.json or args.format == "json":
        shell.print(json.dumps(to_plain(timeline), indent=2))
    else:
        shell.write(_table(timeline))
    return 0


def keep_others(file: str, draw: Draw) -> None:
    """Raise `OutputError` where a drawing would take the place of something else, or has no place."""
    if not Path(file).absolute().parent.is_dir():
        raise OutputError(f"can't draw into {file}: there is no directory {Path(file).parent}", hint="make it first")
    try:
        with Path(file).open("rb") as there:
            begins = there.read(_LOOKED_AT)
    except OSError:
        return
    if begins and not begins.startswith(_BEGINS[draw]):
        raise OutputError(
            f"{file} is there and is no drawing of pybuild's, so no drawing takes its place",
            hint="name another file, or remove it",
        )


def drawer(file: str) -> Draw:
    """What draws for a file of that name; raises `UsageError`."""
    for ending, draw in ((".svg", _svg), (".json", _trace)):
        if file.endswith(ending):
            return draw
    raise UsageError(
        f"--timings={file}: its name says no kind of drawing", hint="end it with .svg, or with .json for a trace"
    )


def show(store: Store, build: str, say: Callable[[str], None], file: str) -> None:
    """Show the table of a build that has just ended, and draw it into `file` where that is given."""
    from buildkit_py.progress.timeline import timeline_of

    try:
        timeline = timeline_of(store.builds.get(build))
    except NotFoundError:
        # It has been said that no record could be kept.
        return
    if file:
        from buildkit_py.cli.files import replace_file

        replace_file(file, drawer(file)(timeline))
    say(f"\n{_table(timeline)}")


def _table(timeline: Timeline) -> str:
    from buildkit_py.progress.timetable import render

    return render(timeline)


def _svg(timeline: Timeline) -> str:
    from buildkit_py.progress.timechart import render

    return render(timeline)


def _trace(timeline: Timeline) -> str:
    from buildkit_py.progress.trace import render

    return render(timeline)


_LOOKED_AT = 256
_BEGINS: Mapping[Draw, bytes] = {_svg: b"<svg ", _trace: b'{"displayTimeUnit"'}


TIMINGS = Command(
    "timings",
    usage="[options] [BUILD]",
    about=(
        "Show where the time of a build went: each step with its phases, the critical path that the end had to\n"
        "wait for, and sums. Every build leaves a record, a failed one too."
    ),
    examples=(
        ("pybuild timings", "of the newest build"),
        ("pybuild timings 6b07", "of the build whose id begins so"),
        ("pybuild timings --svg times.svg", "as a drawing as well"),
        ("pybuild timings --trace times.json", "for https://ui.perfetto.dev"),
    ),
    prepare=prepare,
    run=run,
)
