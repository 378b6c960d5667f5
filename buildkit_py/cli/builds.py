"""`pybuild builds`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.store import Store

_SHOWN = 20


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "-n", "--number", type=int, default=_SHOWN, metavar="N", help=f"show the newest N (default: {_SHOWN})"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print only ids")
    add_json(parser)
    add_store(parser)


def run(args: Namespace, shell: Shell) -> int:
    """List the records."""
    if args.number < 1:
        raise UsageError(f"can't show {args.number} builds", hint="write --number 1 or more")
    with shell.store(args.store, make=False) as store:
        rows = [_row(store, said) for said in store.builds.list(args.number)]
    if args.json:
        shell.print(json.dumps(rows, indent=2))
    elif args.quiet:
        for row in rows:
            shell.print(row["id"])
    else:
        shell.write(_listing(rows) if rows else "no build has left a record here\n")
    return 0


def _row(store: Store, said: dict[str, Any]) -> dict[str, Any]:
    """What the list says of one build; a damaged record tells only what stands beside it."""
    from buildkit_py.errors import NotFoundError

    row = {name: said.get(name, "") for name in ("id", "outcome", "file", "context")}
    row["ended"] = said.get("ended", said.get("created"))
    try:
        record = store.builds.get(said["id"])
    except NotFoundError:
        return {**row, "seconds": None, "ran": None, "images": [], "names": [], "error": "the record is damaged"}
    ran = sum(1 for node in record["nodes"].values() if "started" in node and node.get("kind") != "output")
    images = record.get("images", ())
    names = {"images": _once(image["name"] for image in images)}
    names["names"] = _once(name for image in images for name in image.get("names", ()))
    return {**row, "seconds": record.get("marks", {}).get("ended"), "ran": ran, **names}


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))


def _listing(rows: list[dict[str, Any]]) -> str:
    from buildkit_py.progress.text import clean, table
    from buildkit_py.progress.timetable import moment

    lines = [("BUILD", "ENDED", "TOOK", "OUTCOME", "RAN", "FILE", "IMAGES")]
    for row in rows:
        lines.append(
            (
                row["id"],
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["ended"])),
                moment(row["seconds"]) if row["seconds"] is not None else "?",
                row.get("error") or row["outcome"],
                str(row["ran"]) if row["ran"] is not None else "?",
                clean(row["file"]) or "-",
                clean(", ".join(row["names"] or row["images"])) or "-",
            )
        )
    return table(lines, right=frozenset({2, 4}))


BUILDS = Command(
    "builds",
    usage="[options]",
    about="List the builds that left a record, the newest first; failed ones too.",
    examples=(
        ("pybuild builds", "the newest twenty"),
        ("pybuild builds -n 1 --json", "the newest, for programs"),
        ("pybuild builds -q -n 1", "its id, as `pybuild timings` and `pybuild why --build` take it"),
    ),
    prepare=prepare,
    run=run,
)
