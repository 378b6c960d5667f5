"""`pybuild history`: what made each layer of an image."""

from __future__ import annotations

import json
from typing import Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.subject import IMAGE

_WIDTH = 60
_PLACE = 40


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument("image", metavar="IMAGE", help=IMAGE)
    parser.add_argument("--platform", metavar="P", help="of an image for several, as linux/arm64 (default: the host's)")
    parser.add_argument("--no-trunc", action="store_true", help="cut nothing short")
    add_json(parser)
    add_store(parser)


def run(args: Namespace, shell: Shell) -> int:
    """Show the history of one image."""
    from buildkit_py.cli.subject import subject_of
    from buildkit_py.image.history import history_document

    with shell.store(args.store, make=False) as store, store.lease():
        document = history_document(store, subject_of(store, args.image, args.platform))
    if args.json:
        shell.print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        shell.write(_table(document, whole=args.no_trunc))
    return 0


def _table(document: dict[str, Any], *, whole: bool) -> str:
    from buildkit_py.progress.text import clean, count, size, table

    rows = [("LAYER", "SIZE", "CREATED", "WHERE", "BY")]
    rows += [_row(line, whole=whole) for line in document["lines"]]
    layers = [line for line in document["lines"] if line["layer"] is not None]
    total = size(sum(line["size"] for line in layers))
    where = f"; built from {clean(document['file'])}" if document["file"] else ""
    return f"{table(rows, right=frozenset({1}))}{count(len(layers), 'layer')}, {total}, lowest first{where}\n"


def _row(line: dict[str, Any], *, whole: bool) -> tuple[str, str, str, str, str]:
    from buildkit_py.graph.title import clip, printable_line
    from buildkit_py.progress.text import clean, short_digest, size

    digest, created = line["layer"] or "-", clean(line["created"] or "-")
    where = " ".join(filter(None, (line["at"], f"(base {line['base']})" if line["base"] else ""))) or "-"
    by = line["by"] or line["comment"] or "-"
    if whole:
        return digest, size(line["size"]), created, printable_line(where), printable_line(by)
    short = short_digest(digest) if line["layer"] else "-"
    return short, size(line["size"]), created[:10], clip(where, _PLACE), clip(by, _WIDTH)


HISTORY = Command(
    "history",
    usage="[options] IMAGE",
    about=(
        "Show what made each layer of an image, lowest first, in the order of the build file: layer, size, time, the\n"
        "line of the build file where the store knows it, and the instruction. Lines of the base image are marked."
    ),
    examples=(
        ("pybuild history app:1", "to read"),
        ("pybuild history --no-trunc app:1", "whole digests and instructions"),
        ("pybuild history docker://docker.io/library/debian:12", "of an image that is not here; no layer is fetched"),
        ("pybuild history --json app:1", "for programs"),
    ),
    prepare=prepare,
    run=run,
)
